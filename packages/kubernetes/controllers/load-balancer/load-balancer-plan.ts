import {
  LoadBalancer_State,
  type EnsureLoadBalancerRequest,
  type LoadBalancer,
} from '@hypernetes/proto/kubestack';
import type { PlatformError } from '@hypernetes/foundation/errors';
import type { Condition, EndpointSlice, Network, Service } from '../../client/index.ts';
import { withCondition } from '../machinery/conditions.ts';
import { servingTargets } from '../service-tables/service-entry.ts';

/** Whether the service is to be reachable from outside by addresses of its own. */
export function wantsAddresses({ metadata, spec }: Service): boolean {
  if (metadata.deletionTimestamp !== undefined || spec === undefined || spec.type === 'ExternalName')
    return false;
  return spec.type === 'LoadBalancer' || (spec.externalIPs ?? []).length > 0;
}

/** What is asked of the provider for a service on a tenant network. */
export function loadBalancerRequest(
  service: Service,
  network: Network,
  slices: readonly EndpointSlice[],
): EnsureLoadBalancerRequest {
  const { metadata, spec } = service;
  const chosen = spec?.externalIPs ?? [];
  const wished =
    spec?.loadBalancerIP === undefined || spec.loadBalancerIP === '' ? [] : [spec.loadBalancerIP];
  return {
    uid: metadata.uid ?? '',
    name: `${metadata.namespace ?? ''}/${metadata.name}`,
    tenantId: network.spec.tenantID,
    networkUid: network.metadata.uid ?? '',
    addresses: chosen.length > 0 ? [...chosen] : wished,
    listeners: (spec?.ports ?? []).map(({ name = '', protocol = 'TCP', port }) => ({
      name,
      protocol,
      port,
      members: servingTargets(slices, name, protocol),
    })),
    affinityTimeoutS:
      spec?.sessionAffinity === 'ClientIP'
        ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? 10_800)
        : 0,
    sourceRanges: [...(spec?.loadBalancerSourceRanges ?? [])],
  };
}

/** What came of it: in words, for the condition and the event. */
export interface LoadBalancerVerdict {
  readonly ready: boolean;
  readonly reason: string;
  readonly message: string;
  readonly addresses: readonly string[];
}

/** The provider's answer as a verdict. */
export function verdictOfLoadBalancer({ addresses, message, state }: LoadBalancer): LoadBalancerVerdict {
  if (state === LoadBalancer_State.ACTIVE) {
    return {
      ready: true,
      reason: 'LoadBalancerActive',
      message: `serving on ${addresses.join(', ')}`,
      addresses,
    };
  }
  return { ready: false, reason: 'LoadBalancerPending', message, addresses: [] };
}

/** The provider's refusal as a verdict; all of them are tried again. */
export function verdictOfLoadBalancerError(error: PlatformError): LoadBalancerVerdict {
  const reasons: Partial<Record<PlatformError['reason'], string>> = {
    AlreadyExists: 'AddressConflict',
    Unavailable: 'ProviderUnavailable',
    DeadlineExceeded: 'ProviderUnavailable',
    Invalid: 'InvalidLoadBalancer',
    Exhausted: 'NoFreeAddress',
    NotFound: 'NetworkNotReady',
  };
  const reason = reasons[error.reason] ?? 'ProviderError';
  return { ready: false, reason, message: error.message, addresses: [] };
}

/**
 * The service with the verdict in its status. Addresses are shown for type LoadBalancer only, as the API demands; they stay while the
 * provider cannot be reached.
 */
export function withLoadBalancerStatus(
  service: Service,
  verdict: LoadBalancerVerdict,
  nowMs: number,
): Service {
  const conditions = withCondition(
    service.status?.conditions as Condition[] | undefined,
    {
      type: 'LoadBalancerReady',
      status: verdict.ready ? 'True' : 'False',
      reason: verdict.reason,
      message: verdict.message,
      ...(service.metadata.generation === undefined
        ? {}
        : { observedGeneration: service.metadata.generation }),
    },
    nowMs,
  );
  const keep = verdict.reason === 'ProviderUnavailable';
  const ingress = verdict.addresses.map((ip) => ({ ip, ipMode: 'VIP' }));
  const shown =
    service.spec?.type === 'LoadBalancer' ? (keep ? service.status?.loadBalancer?.ingress : ingress) : [];
  return {
    ...service,
    status: {
      ...service.status,
      loadBalancer: shown === undefined || shown.length === 0 ? {} : { ingress: shown },
      conditions: conditions as NonNullable<NonNullable<Service['status']>['conditions']>,
    },
  };
}

/** The service without what a load balancer left in its status. */
export function withoutLoadBalancerStatus(service: Service): Service {
  const { conditions, ...status } = service.status ?? {};
  const others = (conditions ?? []).filter(({ type }) => type !== 'LoadBalancerReady');
  return {
    ...service,
    status: { ...status, loadBalancer: {}, ...(others.length === 0 ? {} : { conditions: others }) },
  };
}
