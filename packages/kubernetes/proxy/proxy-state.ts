import { createHash } from 'node:crypto';
import type { EndpointSlice, Namespace, Service } from '../client/index.ts';

export type Protocol = 'tcp' | 'udp' | 'sctp';

/** One port of a Service as the rules see it. */
export interface ServicePort {
  /** namespace/name:port */
  readonly name: string;
  /** Part of the names of its chains and sets; made of `name`, so that it is the same after a restart. */
  readonly id: string;
  readonly protocol: Protocol;
  /** `address . protocol . port`: where it is reached, cluster, external and load balancer addresses alike. */
  readonly addresses: readonly string[];
  /** `protocol . port` on the node's own addresses. */
  readonly nodePorts: readonly string[];
  /** `address . port`, sorted. */
  readonly endpoints: readonly string[];
  /** Seconds a client stays with its endpoint; 0: no affinity. */
  readonly affinityS: number;
  /** The client's address is kept (externalTrafficPolicy Local): no masquerade for what comes in from outside. */
  readonly keepsClientAddress: boolean;
}

/** All ports the proxy serves, by name, and the cluster addresses it answers for. */
export interface ProxyState {
  readonly ports: ReadonlyMap<string, ServicePort>;
  readonly clusterAddresses: ReadonlySet<string>;
}

export const emptyState: ProxyState = { ports: new Map(), clusterAddresses: new Set() };

const defaultAffinityS = 10_800;
const addressForm = /^(?:\d{1,3}\.){3}\d{1,3}$/;

function isIpv4(text: string | undefined): text is string {
  return text !== undefined && addressForm.test(text) && text.split('.').every((part) => Number(part) < 256);
}

function toProtocol(protocol: string | undefined): Protocol | undefined {
  const lower = (protocol ?? 'TCP').toLowerCase();
  return lower === 'tcp' || lower === 'udp' || lower === 'sctp' ? lower : undefined;
}

const tenantIdKey = 'hypernetes.io/tenant-id';

/**
 * What is to be served on the host: the Services of all namespaces without a Network. Where two Services want the same address and port the
 * first by name has it. Addresses outside the Service range are taken away from whoever has them, the host included, so only the
 * operator's namespaces get any: those known to be no tenant's.
 */
export function compileState(
  services: readonly Service[],
  slices: readonly EndpointSlice[],
  namespaces: readonly Namespace[],
): ProxyState {
  const onNetwork = new Set(
    namespaces.filter(({ spec }) => (spec?.network ?? '') !== '').map(({ metadata }) => metadata.name),
  );
  const operators = new Set(
    namespaces
      .filter(({ metadata }) => (metadata.annotations?.[tenantIdKey] ?? '') === '')
      .map(({ metadata }) => metadata.name),
  );
  const clusterIps = new Set(services.map(({ spec }) => spec?.clusterIP));
  const slicesOf = groupSlices(slices);
  const ports = new Map<string, ServicePort>();
  const clusterAddresses = new Set<string>();
  const taken = new Set<string>();
  const claim = (key: string): boolean => !taken.has(key) && taken.add(key).size > 0;
  const sorted = services.toSorted((left, right) => (nameOf(left) < nameOf(right) ? -1 : 1));
  for (const service of sorted) {
    if (onNetwork.has(service.metadata.namespace ?? '') || service.spec?.type === 'ExternalName') continue;
    const own = slicesOf.get(nameOf(service)) ?? [];
    const external = operators.has(service.metadata.namespace ?? '')
      ? externalAddressesOf(service).filter((address) => !clusterIps.has(address))
      : [];
    for (const port of portsOf(service, own, external)) {
      const addresses = port.addresses.filter(claim);
      const nodePorts = port.nodePorts.filter((key) => claim(`node ${key}`));
      if (addresses.length + nodePorts.length === 0) continue;
      ports.set(port.name, { ...port, addresses, nodePorts });
      if (isIpv4(service.spec?.clusterIP)) clusterAddresses.add(service.spec.clusterIP);
    }
  }
  return { ports, clusterAddresses };
}

function nameOf(object: {
  readonly metadata: { readonly name: string; readonly namespace?: string };
}): string {
  return `${object.metadata.namespace ?? ''}/${object.metadata.name}`;
}

function groupSlices(slices: readonly EndpointSlice[]): Map<string, EndpointSlice[]> {
  const result = new Map<string, EndpointSlice[]>();
  for (const slice of slices) {
    const service = slice.metadata.labels?.['kubernetes.io/service-name'];
    if (service === undefined || slice.addressType !== 'IPv4') continue;
    const key = `${slice.metadata.namespace ?? ''}/${service}`;
    result.set(key, [...(result.get(key) ?? []), slice]);
  }
  return result;
}

function externalAddressesOf({ spec = {}, status }: Service): (string | undefined)[] {
  return [...(spec.externalIPs ?? []), ...(status?.loadBalancer?.ingress ?? []).map(({ ip }) => ip)];
}

function portsOf(
  service: Service,
  slices: readonly EndpointSlice[],
  external: readonly (string | undefined)[],
): ServicePort[] {
  const { spec = {} } = service;
  const addresses = [spec.clusterIP, ...external].filter(isIpv4);
  const result: ServicePort[] = [];
  for (const port of spec.ports ?? []) {
    const protocol = toProtocol(port.protocol);
    if (protocol === undefined) continue;
    const name = `${nameOf(service)}:${port.name ?? ''}${port.name === undefined ? port.port : ''}`;
    result.push({
      name,
      id: createHash('sha256').update(`${name}/${protocol}`).digest('hex').slice(0, 12),
      protocol,
      addresses: [...new Set(addresses)].map((address) => `${address} . ${protocol} . ${port.port}`),
      nodePorts: port.nodePort === undefined || port.nodePort === 0 ? [] : [`${protocol} . ${port.nodePort}`],
      endpoints: endpointsOf(slices, port.name ?? '', protocol),
      affinityS:
        spec.sessionAffinity === 'ClientIP'
          ? (spec.sessionAffinityConfig?.clientIP?.timeoutSeconds ?? defaultAffinityS)
          : 0,
      keepsClientAddress: spec.externalTrafficPolicy === 'Local',
    });
  }
  return result;
}

/** The ready endpoints; where none is ready, those that still serve while they end. */
function endpointsOf(slices: readonly EndpointSlice[], portName: string, protocol: Protocol): string[] {
  const ready = new Set<string>();
  const ending = new Set<string>();
  for (const slice of slices) {
    const port = slice.ports?.find(
      (each) => (each.name ?? '') === portName && toProtocol(each.protocol) === protocol,
    )?.port;
    if (port === undefined) continue;
    for (const { addresses, conditions } of slice.endpoints) {
      for (const address of addresses.filter(isIpv4)) {
        if (conditions?.ready !== false) ready.add(`${address} . ${port}`);
        else if (conditions.serving === true && conditions.terminating === true) {
          ending.add(`${address} . ${port}`);
        }
      }
    }
  }
  return [...(ready.size > 0 ? ready : ending)].sort();
}
