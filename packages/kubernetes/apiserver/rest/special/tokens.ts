import { badRequest, type ApiObject } from '../../../api/index.ts';
import type { NamedObject, TokenClaims } from '../../authentication/service-account-tokens.ts';
import { tokenIssuer } from '../../authentication/service-account-tokens.ts';
import { conflict } from '../../http/status-error.ts';
import { formatTime } from '../../registry/deletion.ts';
import { readObject } from '../request-body.ts';
import { subresourceOf, type ResourceCall, type SpecialHandler } from '../resource-handler.ts';
import { answer, requireVerb, specOf } from './answers.ts';
import type { SpecialDependencies } from './dependencies.ts';

const defaultLifetimeSeconds = 3_600;
const minLifetimeSeconds = 600;
const maxLifetimeSeconds = 48 * 3_600;

/** serviceaccounts/<name>/token and tokenreviews. */
export function tokenHandlers(dependencies: SpecialDependencies): [string, SpecialHandler][] {
  return [
    ['/serviceaccounts/token', async (call) => requestToken(dependencies, call)],
    ['authentication.k8s.io/tokenreviews/', async (call) => reviewToken(dependencies, call)],
  ];
}

async function requestToken(dependencies: SpecialDependencies, call: ResourceCall): Promise<void> {
  requireVerb(call, 'create');
  const { context, info, storage } = call;
  const request = await readObject(context, dependencies.schemas, subresourceOf(call));
  const account = await storage.get(info);
  const spec = specOf(request);
  const lifetimeSeconds = lifetimeOf(spec['expirationSeconds']);
  const audiences = audiencesOf(spec['audiences']);
  const claims: TokenClaims = {
    namespace: info.namespace,
    serviceAccount: { name: info.name, uid: account.metadata.uid ?? '' },
    ...(await boundPod(dependencies, call, spec['boundObjectRef'])),
    audiences,
    lifetimeSeconds,
  };
  const { token, expiresAtMs } = await dependencies.tokens.issue(claims);
  await answer(
    context,
    {
      ...request,
      metadata: {
        name: info.name,
        namespace: info.namespace,
        creationTimestamp: formatTime(dependencies.clock.now()),
      },
      spec: { ...spec, audiences, expirationSeconds: lifetimeSeconds },
      status: { token, expirationTimestamp: formatTime(expiresAtMs) },
    },
    201,
  );
}

function lifetimeOf(value: unknown): number {
  const seconds = value === undefined || value === null ? defaultLifetimeSeconds : Number(value);
  if (!Number.isSafeInteger(seconds) || seconds < minLifetimeSeconds) {
    throw badRequest(`spec.expirationSeconds: may not specify a duration less than 10 minutes`);
  }
  return Math.min(seconds, maxLifetimeSeconds);
}

function audiencesOf(value: unknown): string[] {
  const audiences = Array.isArray(value) ? value.filter((each) => typeof each === 'string') : [];
  return audiences.length === 0 ? [tokenIssuer] : audiences;
}

async function boundPod(
  { catalogue }: SpecialDependencies,
  { info }: ResourceCall,
  value: unknown,
): Promise<{ pod?: NamedObject; node?: { name: string } }> {
  if (value === undefined || value === null) return {};
  const { kind, name, uid } = value as Record<string, unknown>;
  if (kind !== 'Pod' || typeof name !== 'string') {
    throw badRequest('spec.boundObjectRef: only pods can be bound to, by name');
  }
  const pod = await catalogue.get('', 'v1', 'pods').get({ namespace: info.namespace, name });
  const actual = pod.metadata.uid ?? '';
  if (typeof uid === 'string' && uid !== '' && uid !== actual) {
    throw conflict(
      { group: '', plural: 'pods' },
      name,
      `the UID in the bound object reference (${uid}) does not match the UID in record. The object might have been deleted and then recreated`,
    );
  }
  const spec = pod['spec'] as { serviceAccountName?: string; nodeName?: string } | undefined;
  if (spec?.serviceAccountName !== info.name) {
    throw badRequest(`pod ${name} does not run as service account ${info.name}`);
  }
  return {
    pod: { name, uid: actual },
    ...(spec.nodeName === undefined ? {} : { node: { name: spec.nodeName } }),
  };
}

async function reviewToken(dependencies: SpecialDependencies, call: ResourceCall): Promise<void> {
  requireVerb(call, 'create');
  const { context, storage } = call;
  const review = await readObject(context, dependencies.schemas, storage.registration.kind);
  const { token, audiences } = specOf(review);
  await answer(
    context,
    { ...review, status: await statusOf(dependencies, token, audiencesOf(audiences)) },
    201,
  );
}

async function statusOf(
  { authenticator }: SpecialDependencies,
  token: unknown,
  audiences: readonly string[],
): Promise<ApiObject | Record<string, unknown>> {
  if (typeof token !== 'string' || token === '') return { authenticated: false, error: 'no token given' };
  for (const audience of audiences) {
    const user = await authenticator.verifyToken(token, audience);
    if (user === undefined) continue;
    const { name, uid, groups, extra } = user;
    return {
      authenticated: true,
      user: { username: name, ...(uid === undefined ? {} : { uid }), groups, extra },
      audiences: [audience],
    };
  }
  return { authenticated: false, error: 'invalid bearer token' };
}
