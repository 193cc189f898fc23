import { PlatformError } from '@hypernetes/foundation/errors';
import { handleServerStream, handleUnary } from '@hypernetes/foundation/grpc';
import { createLogger } from '@hypernetes/foundation/logging';
import {
  TenantEvent_Type,
  type IdentityServer,
  type TenantEvent as TenantEventMessage,
} from '@hypernetes/proto/kubestack';
import {
  tenantRoles,
  type IdentityProvider,
  type NetworkProvider,
  type TenantEvent,
  type TenantRole,
  type VolumeProvider,
} from '../provider-api/index.ts';
import { checkCount, checkSize, optionalIdentifier, requireIdentifier, requireText } from './validation.ts';

const log = createLogger('kubestack:server');
const tokenLengthMax = 4_096;

function parseRole(role: string): TenantRole {
  const known = tenantRoles.find((candidate) => candidate === role);
  if (known === undefined) {
    throw new PlatformError('Invalid', `roles: "${role.slice(0, 64)}" is none of ${tenantRoles.join(', ')}`);
  }
  return known;
}

function formatEvent(event: TenantEvent): TenantEventMessage {
  switch (event.kind) {
    case 'synced':
      return { type: TenantEvent_Type.SYNCED, tenant: undefined };
    case 'upserted':
      return { type: TenantEvent_Type.UPSERTED, tenant: event.tenant };
    case 'deleted':
      return { type: TenantEvent_Type.DELETED, tenant: event.tenant };
  }
}

async function* formatEvents(events: AsyncIterable<TenantEvent>): AsyncGenerator<TenantEventMessage> {
  for await (const event of events) yield formatEvent(event);
}

async function refuseWhileInUse(
  id: string,
  networks: NetworkProvider,
  volumes: VolumeProvider,
): Promise<void> {
  const used = [
    ...(await networks.listNetworks())
      .filter((network) => network.tenantId === id)
      .map((network) => `network "${network.name}"`),
    ...(await volumes.listVolumes(id)).map((volume) => `volume ${volume.id}`),
  ];
  if (used.length === 0) return;
  const more = used.length > 5 ? ` and ${used.length - 5} more` : '';
  throw new PlatformError('Precondition', `tenant ${id}: still has ${used.slice(0, 5).join(', ')}${more}`);
}

/** kubestack.v1 Identity. */
export function identityService(
  identity: IdentityProvider,
  networks: NetworkProvider,
  volumes: VolumeProvider,
): IdentityServer {
  return {
    createTenant: handleUnary(log, 'CreateTenant', async (request) =>
      identity.createTenant({
        id: optionalIdentifier('id', request.id),
        name: requireText('name', request.name),
      }),
    ),
    getTenant: handleUnary(log, 'GetTenant', async ({ id }) =>
      identity.getTenant(requireIdentifier('id', id)),
    ),
    listTenants: handleUnary(log, 'ListTenants', async () => ({
      tenants: [...(await identity.listTenants())],
    })),
    deleteTenant: handleUnary(log, 'DeleteTenant', async ({ id }) => {
      await refuseWhileInUse(requireIdentifier('id', id), networks, volumes);
      await identity.deleteTenant(id);
      return {};
    }),
    watchTenants: handleServerStream(log, 'WatchTenants', (_request, signal) =>
      formatEvents(identity.watchTenants(signal)),
    ),
    issueToken: handleUnary(log, 'IssueToken', async (request) => {
      const issued = await identity.issueToken({
        tenantId: requireIdentifier('tenant_id', request.tenantId),
        userName: requireText('user_name', request.userName),
        roles: checkCount('roles', request.roles, tenantRoles.length).map(parseRole),
        lifetimeS: checkSize('lifetime_s', request.lifetimeS),
      });
      return { token: issued.token, expiresAtS: BigInt(issued.expiresAtS) };
    }),
    authenticateToken: handleUnary(log, 'AuthenticateToken', async ({ token }) => {
      if (token === '' || token.length > tokenLengthMax) {
        throw new PlatformError('Unauthenticated', 'token: unknown or expired');
      }
      const user = await identity.authenticateToken(token);
      return { ...user, roles: [...user.roles], expiresAtS: BigInt(user.expiresAtS) };
    }),
  };
}
