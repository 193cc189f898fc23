import { isIPv4, isIPv6 } from 'node:net';
import type { NamedEndpoint, Service, ServicePort } from '@hypernetes/proto/kubestack';
import type { Answer } from 'dns-packet';

/** Version of the Kubernetes DNS-Based Service Discovery specification the answers follow. */
const specificationVersion = '1.1.0';
/** Seconds; the specification asks for a small one, clusters use 5. */
export const recordTtlS = 5;

/** What one network's names are answered from. */
export interface ClusterView {
  /** Without dots at the ends, `cluster.local`. */
  readonly zone: string;
  readonly generation: number;
  /** By `namespace/name`. */
  readonly services: ReadonlyMap<string, Service>;
  readonly namespaces: ReadonlySet<string>;
  /** Address to the full names it is known by. */
  readonly names: ReadonlyMap<string, readonly string[]>;
  /** An address of this network (pods) or of Services: nobody outside knows its name. */
  readonly isOwnAddress: (address: string) => boolean;
}

export type Resolution =
  | { readonly kind: 'records'; readonly answers: readonly Answer[]; readonly additionals: readonly Answer[] }
  /** The name is an alias of another, which is to be resolved too. */
  | { readonly kind: 'alias'; readonly answer: Answer; readonly target: string }
  /** The name exists, without a record of that type. */
  | { readonly kind: 'no-data' }
  | { readonly kind: 'no-name' }
  /** Not ours to answer. */
  | { readonly kind: 'forward' };

const noData: Resolution = { kind: 'no-data' };
const noName: Resolution = { kind: 'no-name' };

function isHeadless(service: Service): boolean {
  return service.clusterIps.length === 0 && service.externalName === '';
}

function published(service: Service): readonly NamedEndpoint[] {
  return service.endpoints.filter((endpoint) => endpoint.ready || service.publishNotReady);
}

/** The label of an endpoint below its Service: its hostname, or its address with dashes. */
function endpointLabel(endpoint: NamedEndpoint): string {
  return endpoint.hostname === '' ? endpoint.address.replace(/[.:]/g, '-') : endpoint.hostname;
}

function serviceName(service: Service, zone: string): string {
  return `${service.key?.name ?? ''}.${service.key?.namespace ?? ''}.svc.${zone}`;
}

/** Indexes a service table for lookups by name and by address. */
export function makeClusterView(
  zone: string,
  table: { readonly generation: number; readonly services: ReadonlyMap<string, Service> },
  isOwnAddress: (address: string) => boolean,
): ClusterView {
  const names = new Map<string, string[]>();
  const add = (address: string, name: string): void => {
    const present = names.get(address);
    if (present === undefined) names.set(address, [name]);
    else if (!present.includes(name)) present.push(name);
  };
  for (const service of table.services.values()) {
    const name = serviceName(service, zone);
    for (const address of service.clusterIps) add(address, name);
    if (!isHeadless(service)) continue;
    for (const endpoint of published(service)) add(endpoint.address, `${endpointLabel(endpoint)}.${name}`);
  }
  const namespaces = new Set([...table.services.values()].map((service) => service.key?.namespace ?? ''));
  return { zone, generation: table.generation, services: table.services, namespaces, names, isOwnAddress };
}

function addressRecords(name: string, type: string, addresses: readonly string[]): readonly Answer[] {
  return [...new Set(addresses)].flatMap((address): Answer[] => {
    if (isIPv4(address) && (type === 'A' || type === 'ANY'))
      return [{ type: 'A', name, ttl: recordTtlS, data: address }];
    if (isIPv6(address) && (type === 'AAAA' || type === 'ANY')) {
      return [{ type: 'AAAA', name, ttl: recordTtlS, data: address }];
    }
    return [];
  });
}

function records(answers: readonly Answer[], additionals: readonly Answer[] = []): Resolution {
  return answers.length === 0 ? noData : { kind: 'records', answers, additionals };
}

function resolveService(service: Service, name: string, type: string): Resolution {
  if (service.externalName !== '') {
    const target = service.externalName.replace(/\.$/, '');
    return { kind: 'alias', answer: { type: 'CNAME', name, ttl: recordTtlS, data: target }, target };
  }
  if (!isHeadless(service)) return records(addressRecords(name, type, service.clusterIps));
  const endpoints = published(service);
  // "If there are no ready endpoints for the headless Service, the answer should be NXDOMAIN" (2.4.1).
  if (endpoints.length === 0) return noName;
  return records(
    addressRecords(
      name,
      type,
      endpoints.map((endpoint) => endpoint.address),
    ),
  );
}

function resolveEndpoint(service: Service, label: string, name: string, type: string): Resolution {
  if (!isHeadless(service)) return noName;
  const endpoints = published(service).filter((endpoint) => endpointLabel(endpoint) === label);
  if (endpoints.length === 0) return noName;
  return records(
    addressRecords(
      name,
      type,
      endpoints.map((endpoint) => endpoint.address),
    ),
  );
}

function srvRecord(name: string, port: number, target: string): Answer {
  return { type: 'SRV', name, ttl: recordTtlS, data: { priority: 0, weight: 100, port, target } };
}

function resolvePort(
  service: Service,
  port: ServicePort,
  name: string,
  type: string,
  zone: string,
): Resolution {
  const headless = isHeadless(service);
  const endpoints = published(service);
  if (headless && endpoints.length === 0) return noName;
  if (type !== 'SRV' && type !== 'ANY') return noData;
  const owner = serviceName(service, zone);
  if (!headless) {
    const extra = addressRecords(owner, 'ANY', service.clusterIps);
    return records([srvRecord(name, port.port, owner)], extra);
  }
  const targetPorts = new Map(port.targets.map((target) => [target.address, target.port]));
  const answers = endpoints.map((endpoint) =>
    srvRecord(name, targetPorts.get(endpoint.address) ?? port.port, `${endpointLabel(endpoint)}.${owner}`),
  );
  const extra = endpoints.flatMap((endpoint) =>
    addressRecords(`${endpointLabel(endpoint)}.${owner}`, 'ANY', [endpoint.address]),
  );
  return records(answers, extra);
}

/** Names with labels before the Service: an endpoint, `_protocol`, or `_port._protocol`. */
function resolveBelowService(
  view: ClusterView,
  service: Service,
  labels: readonly string[],
  name: string,
  type: string,
): Resolution {
  const [first = '', second] = labels;
  if (service.externalName !== '') return noName;
  if (labels.length === 1 && !first.startsWith('_')) return resolveEndpoint(service, first, name, type);
  const ofProtocol = service.ports.filter(
    (port) => port.name !== '' && `_${port.protocol.toLowerCase()}` === (second ?? first),
  );
  if (labels.length === 1) return ofProtocol.length > 0 ? noData : noName;
  const port =
    labels.length === 2 ? ofProtocol.find((candidate) => `_${candidate.name}` === first) : undefined;
  return port === undefined ? noName : resolvePort(service, port, name, type, view.zone);
}

function resolveSvc(view: ClusterView, labels: readonly string[], name: string, type: string): Resolution {
  const namespace = labels.at(-1);
  if (namespace === undefined) return noData;
  const serviceLabel = labels.at(-2);
  if (serviceLabel === undefined) return view.namespaces.has(namespace) ? noData : noName;
  const service = view.services.get(`${namespace}/${serviceLabel}`);
  if (service === undefined) return noName;
  const below = labels.slice(0, -2);
  return below.length === 0
    ? resolveService(service, name, type)
    : resolveBelowService(view, service, below, name, type);
}

/** `a-b-c-d.namespace.pod`: the address is in the name; answered for addresses of this network. */
function resolvePod(view: ClusterView, labels: readonly string[], name: string, type: string): Resolution {
  const namespace = labels.at(-1);
  if (namespace === undefined) return noData;
  if (labels.length === 1) return view.namespaces.has(namespace) ? noData : noName;
  const address = (labels[0] ?? '').replace(/-/g, '.');
  if (labels.length > 2 || !isIPv4(address) || !view.isOwnAddress(address)) return noName;
  return records(addressRecords(name, type, [address]));
}

function resolveApex(view: ClusterView, type: string): Resolution {
  if (type === 'SOA') return records([soaRecord(view)]);
  if (type === 'NS')
    return records([{ type: 'NS', name: view.zone, ttl: recordTtlS, data: `ns.dns.${view.zone}` }]);
  return noData;
}

function resolveReverse(view: ClusterView, name: string, type: string): Resolution {
  const octets = name.slice(0, -'.in-addr.arpa'.length).split('.').reverse();
  const address = octets.join('.');
  if (!isIPv4(address)) return { kind: 'forward' };
  const names = view.names.get(address);
  if (names === undefined) return view.isOwnAddress(address) ? noName : { kind: 'forward' };
  if (type !== 'PTR' && type !== 'ANY') return noData;
  return records(names.map((data): Answer => ({ type: 'PTR', name, ttl: recordTtlS, data })));
}

/** The zone's SOA, which says how long a negative answer holds. */
export function soaRecord(view: ClusterView): Answer {
  return {
    type: 'SOA',
    name: view.zone,
    ttl: recordTtlS,
    data: {
      mname: `ns.dns.${view.zone}`,
      rname: `hostmaster.${view.zone}`,
      serial: view.generation % 2 ** 32,
      refresh: 7_200,
      retry: 1_800,
      expire: 86_400,
      minimum: recordTtlS,
    },
  };
}

/**
 * Answers a question by the Kubernetes DNS-Based Service Discovery specification. `queryName` keeps the case it was asked in, and comes
 * back so; comparison ignores case (RFC 4343). `type` is the mnemonic.
 */
export function resolveName(view: ClusterView, queryName: string, type: string): Resolution {
  const name = queryName.toLowerCase();
  if (name.endsWith('.in-addr.arpa')) return resolveReverse(view, name, type);
  if (name === view.zone) return resolveApex(view, type);
  if (!name.endsWith(`.${view.zone}`)) return { kind: 'forward' };
  const labels = name.slice(0, -view.zone.length - 1).split('.');
  const kind = labels.at(-1);
  const below = labels.slice(0, -1);
  if (kind === 'svc') return resolveSvc(view, below, queryName, type);
  if (kind === 'pod') return resolvePod(view, below, queryName, type);
  if (kind === 'dns-version' && below.length === 0) {
    if (type !== 'TXT' && type !== 'ANY') return noData;
    return records([{ type: 'TXT', name: queryName, ttl: recordTtlS, data: specificationVersion }]);
  }
  return noName;
}
