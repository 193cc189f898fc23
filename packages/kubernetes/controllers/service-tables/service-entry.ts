import type {
  NamedEndpoint,
  Service as ServiceEntry,
  ServicePort as EntryPort,
  ServiceTarget,
} from '@hypernetes/proto/kubestack';
import type { EndpointSlice, Service } from '../../client/index.ts';

const defaultAffinityTimeoutS = 10_800;

/** The Service whose ClusterIP every network answers at its own gateway. */
export const dnsServiceKey = 'kube-system/kube-dns';

type SlicePort = NonNullable<EndpointSlice['ports']>[number];

function portOf(slice: EndpointSlice, name: string, protocol: string): number | undefined {
  return slice.ports?.find(
    (port: SlicePort) => (port.name ?? '') === name && (port.protocol ?? 'TCP') === protocol,
  )?.port;
}

function byAddress(a: { address: string; port?: number }, b: { address: string; port?: number }): number {
  if (a.address !== b.address) return a.address < b.address ? -1 : 1;
  return (a.port ?? 0) - (b.port ?? 0);
}

/** The ready endpoints of one port, each once, in a fixed order; where none is ready, those that still serve while they end. */
export function servingTargets(
  slices: readonly EndpointSlice[],
  name: string,
  protocol: string,
): ServiceTarget[] {
  const ready = new Map<string, ServiceTarget>();
  const ending = new Map<string, ServiceTarget>();
  for (const slice of slices) {
    if (slice.addressType !== 'IPv4') continue;
    const port = portOf(slice, name, protocol);
    if (port === undefined) continue;
    for (const { addresses, conditions } of slice.endpoints) {
      const [address] = addresses;
      if (address === undefined) continue;
      // discovery/v1: an unknown ready condition counts as ready.
      if (conditions?.ready !== false) ready.set(`${address}:${port}`, { address, port });
      else if (conditions.serving === true && conditions.terminating === true) {
        ending.set(`${address}:${port}`, { address, port });
      }
    }
  }
  return [...(ready.size > 0 ? ready : ending).values()].sort(byAddress);
}

function namedEndpoints(slices: readonly EndpointSlice[]): NamedEndpoint[] {
  const endpoints = new Map<string, NamedEndpoint>();
  for (const slice of slices) {
    if (slice.addressType !== 'IPv4') continue;
    for (const { addresses, conditions, hostname, targetRef } of slice.endpoints) {
      const [address] = addresses;
      if (address === undefined) continue;
      const pod =
        targetRef?.kind === 'Pod'
          ? { namespace: targetRef.namespace ?? '', name: targetRef.name ?? '', uid: targetRef.uid ?? '' }
          : undefined;
      endpoints.set(address, { address, hostname: hostname ?? '', ready: conditions?.ready !== false, pod });
    }
  }
  return [...endpoints.values()].sort(byAddress);
}

/** A Service and its slices as a line of the service table of its network, whose gateway serves names. */
export function serviceEntry(
  service: Service,
  slices: readonly EndpointSlice[],
  gateway: string | undefined,
): ServiceEntry {
  const { metadata, spec } = service;
  const key = { namespace: metadata.namespace ?? '', name: metadata.name };
  const isDns = `${key.namespace}/${key.name}` === dnsServiceKey && gateway !== undefined;
  const external = spec?.type === 'ExternalName';
  const clusterIps = (spec?.clusterIPs ?? (spec?.clusterIP === undefined ? [] : [spec.clusterIP])).filter(
    (address) => address !== '' && address !== 'None',
  );
  const headless = !external && clusterIps.length === 0;
  const ports: EntryPort[] = external
    ? []
    : (spec?.ports ?? []).map(({ name = '', protocol = 'TCP', port }) => ({
        name,
        protocol,
        port,
        targets: isDns ? [{ address: gateway, port: 53 }] : servingTargets(slices, name, protocol),
      }));
  return {
    key,
    clusterIps: external ? [] : clusterIps,
    ports,
    affinityTimeoutS:
      spec?.sessionAffinity === 'ClientIP'
        ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? defaultAffinityTimeoutS)
        : 0,
    externalName: external ? (spec.externalName ?? '') : '',
    publishNotReady: spec?.publishNotReadyAddresses === true,
    endpoints: headless ? namedEndpoints(slices) : [],
  };
}
