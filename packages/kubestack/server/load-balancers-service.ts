import { PlatformError } from '@hypernetes/foundation/errors';
import { handleUnary } from '@hypernetes/foundation/grpc';
import { createLogger } from '@hypernetes/foundation/logging';
import {
  LoadBalancer_State,
  type EnsureLoadBalancerRequest,
  type Listener as ListenerMessage,
  type LoadBalancer as LoadBalancerMessage,
  type LoadBalancersServer,
} from '@hypernetes/proto/kubestack';
import {
  defaultNetworkUid,
  type Listener,
  type LoadBalancer,
  type LoadBalancerProvider,
  type LoadBalancerSpec,
} from '../provider-api/index.ts';
import { parseTarget } from './service-tables-service.ts';
import { checkCount, checkPort, checkText, optionalIdentifier, requireIdentifier } from './validation.ts';

const log = createLogger('kubestack:server');
const listenersMax = 1_000;
const membersMax = 10_000;
const addressesMax = 64;
const sourceRangesMax = 1_000;
/** ClientIP affinity of a Service lasts at most a day. */
const affinityTimeoutMaxS = 86_400;

const states = {
  Active: LoadBalancer_State.ACTIVE,
  Pending: LoadBalancer_State.PENDING,
  Failed: LoadBalancer_State.FAILED,
} as const;

function parseListener(listener: ListenerMessage): Listener {
  const { protocol } = listener;
  if (protocol !== 'TCP' && protocol !== 'UDP') {
    throw new PlatformError(
      'Unimplemented',
      `listener.protocol "${protocol.slice(0, 16)}": load balancers have TCP and UDP`,
    );
  }
  return {
    name: checkText('listener.name', listener.name),
    protocol,
    port: checkPort('listener.port', listener.port),
    members: checkCount('listener.members', listener.members, membersMax).map(parseTarget),
  };
}

function parseLoadBalancer(request: EnsureLoadBalancerRequest): LoadBalancerSpec {
  if (request.affinityTimeoutS > affinityTimeoutMaxS) {
    throw new PlatformError(
      'Invalid',
      `affinity_timeout_s ${request.affinityTimeoutS}: more than ${affinityTimeoutMaxS}`,
    );
  }
  return {
    uid: requireIdentifier('uid', request.uid),
    name: checkText('name', request.name),
    tenantId: optionalIdentifier('tenant_id', request.tenantId),
    networkUid: optionalIdentifier('network_uid', request.networkUid) || defaultNetworkUid,
    addresses: checkCount('addresses', request.addresses, addressesMax).map((address) =>
      checkText('addresses', address),
    ),
    listeners: checkCount('listeners', request.listeners, listenersMax).map(parseListener),
    affinityTimeoutS: request.affinityTimeoutS,
    sourceRanges: checkCount('source_ranges', request.sourceRanges, sourceRangesMax).map((range) =>
      checkText('source_ranges', range),
    ),
  };
}

function formatLoadBalancer(balancer: LoadBalancer): LoadBalancerMessage {
  return {
    ...balancer,
    addresses: [...balancer.addresses],
    listeners: balancer.listeners.map((listener) => ({
      ...listener,
      members: listener.members.map((member) => ({ ...member })),
    })),
    state: states[balancer.state],
  };
}

/** kubestack.v1 LoadBalancers. */
export function loadBalancersService(balancers: LoadBalancerProvider): LoadBalancersServer {
  return {
    ensureLoadBalancer: handleUnary(log, 'EnsureLoadBalancer', async (request) =>
      formatLoadBalancer(await balancers.ensureLoadBalancer(parseLoadBalancer(request))),
    ),
    getLoadBalancer: handleUnary(log, 'GetLoadBalancer', async ({ uid }) =>
      formatLoadBalancer(await balancers.getLoadBalancer(requireIdentifier('uid', uid))),
    ),
    listLoadBalancers: handleUnary(log, 'ListLoadBalancers', async () => ({
      loadBalancers: (await balancers.listLoadBalancers()).map(formatLoadBalancer),
    })),
    deleteLoadBalancer: handleUnary(log, 'DeleteLoadBalancer', async ({ uid }) => {
      await balancers.deleteLoadBalancer(requireIdentifier('uid', uid));
      return {};
    }),
  };
}
