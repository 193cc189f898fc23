import type { PlatformError } from '@hypernetes/foundation/errors';
import {
  Network_State,
  type EnsureNetworkRequest,
  type Network as ProviderNetwork,
} from '@hypernetes/proto/kubestack';
import type { Network } from '../../client/index.ts';
import { withCondition } from '../machinery/conditions.ts';

export const defaultNetworkRequest: EnsureNetworkRequest = {
  uid: 'default',
  name: 'default',
  tenantId: '',
  subnets: [
    { name: 'default', cidr: '10.244.0.0/16', gateway: '10.244.0.1', dnsServers: [], hostRoutes: [] },
  ],
  providerNetworkId: '',
};

/** What the provider is asked for. */
export function networkRequest({ metadata, spec }: Network): EnsureNetworkRequest {
  return {
    uid: metadata.uid ?? '',
    name: metadata.name,
    tenantId: spec.tenantID,
    subnets: Object.entries(spec.subnets ?? {})
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, { cidr, gateway }]) => ({ name, cidr, gateway, dnsServers: [], hostRoutes: [] })),
    providerNetworkId: spec.providerNetworkID ?? '',
  };
}

type Phase = NonNullable<NonNullable<Network['status']>['phase']>;

/** What is to be said about a network, and when to look again without anything having happened. */
export interface NetworkVerdict {
  readonly phase: Phase;
  readonly reason: string;
  readonly message: string;
  readonly tenantExists?: boolean;
  readonly providerNetworkId?: string;
  readonly retryAfterMs?: number;
}

const soonMs = 2_000;
const laterMs = 30_000;

/** The provider's answer as a verdict. */
export function verdictOfAnswer(answer: ProviderNetwork): NetworkVerdict {
  const found = { tenantExists: true, providerNetworkId: answer.providerId };
  switch (answer.state) {
    case Network_State.ACTIVE:
      return {
        ...found,
        phase: 'Active',
        reason: 'NetworkActive',
        message: 'subnets and router are in place',
      };
    case Network_State.FAILED:
      return {
        ...found,
        phase: 'Failed',
        reason: 'ProviderFailed',
        message: answer.message,
        retryAfterMs: laterMs,
      };
    case Network_State.PENDING:
    case Network_State.STATE_UNSPECIFIED:
    case Network_State.UNRECOGNIZED:
      return {
        ...found,
        phase: 'Pending',
        reason: 'ProviderPending',
        message: answer.message,
        retryAfterMs: soonMs,
      };
  }
}

/**
 * The provider's refusal as a verdict. Only what nobody but the author of the network can mend is Failed; everything else is Pending and tried
 * again: by an event when there is one to wait for (the tenant), else after a time.
 */
export function verdictOfError(error: PlatformError, network: Network): NetworkVerdict {
  const { message } = error;
  switch (error.reason) {
    case 'NotFound':
      return {
        phase: 'Pending',
        reason: 'TenantNotFound',
        message: `tenant ${network.spec.tenantID} does not exist; the network becomes active when it does`,
        tenantExists: false,
        retryAfterMs: laterMs,
      };
    case 'Unavailable':
    case 'DeadlineExceeded':
    case 'Canceled':
      return { phase: 'Pending', reason: 'ProviderUnavailable', message, retryAfterMs: soonMs };
    case 'Invalid':
      return { phase: 'Failed', reason: 'InvalidNetwork', message, retryAfterMs: laterMs };
    case 'Forbidden':
    case 'Unauthenticated':
      return { phase: 'Failed', reason: 'Forbidden', message, retryAfterMs: laterMs };
    case 'AlreadyExists':
    case 'Conflict':
    case 'Precondition':
    case 'Exhausted':
      return { phase: 'Pending', reason: `Provider${error.reason}`, message, retryAfterMs: laterMs };
    case 'Expired':
    case 'Unimplemented':
    case 'Internal':
      return { phase: 'Pending', reason: 'ProviderError', message, retryAfterMs: laterMs };
  }
}

/** Who keeps a network from being deleted, by name; empty when nobody does. */
export function deletionBlockers(namespaces: readonly string[], pods: readonly string[]): string {
  const name = (what: string, names: readonly string[]): string[] => {
    if (names.length === 0) return [];
    const shown = names.slice(0, 5).join(', ');
    return [`${what} ${shown}${names.length > 5 ? ` and ${names.length - 5} more` : ''}`];
  };
  return [...name('namespaces', namespaces.toSorted()), ...name('pods', pods.toSorted())].join(', ');
}

/** The network with the verdict in its status. */
export function withVerdict(network: Network, verdict: NetworkVerdict, nowMs: number): Network {
  const observed =
    network.metadata.generation === undefined ? {} : { observedGeneration: network.metadata.generation };
  const { reason: _reason, message: _message, ...kept } = network.status ?? {};
  const active = verdict.phase === 'Active';
  let conditions = withCondition(
    kept.conditions,
    {
      type: 'Ready',
      status: active ? 'True' : 'False',
      reason: verdict.reason,
      message: verdict.message,
      ...observed,
    },
    nowMs,
  );
  if (verdict.tenantExists !== undefined) {
    conditions = withCondition(
      conditions,
      {
        type: 'TenantExists',
        status: verdict.tenantExists ? 'True' : 'False',
        reason: verdict.tenantExists ? 'TenantFound' : 'TenantNotFound',
        message: verdict.tenantExists ? '' : verdict.message,
        ...observed,
      },
      nowMs,
    );
  }
  if (verdict.phase === 'Terminating') {
    conditions = withCondition(
      conditions,
      { type: 'Deletable', status: 'False', reason: verdict.reason, message: verdict.message, ...observed },
      nowMs,
    );
  }
  return {
    ...network,
    status: {
      ...kept,
      phase: verdict.phase,
      conditions,
      ...(active ? {} : { reason: verdict.reason, message: verdict.message }),
      ...(verdict.providerNetworkId === undefined || verdict.providerNetworkId === ''
        ? {}
        : { providerNetworkID: verdict.providerNetworkId }),
    },
  };
}
