import { randomInt } from 'node:crypto';
import type { Service, ServicePort, ServiceSpec } from 'kubernetes-types/core/v1';
import ipaddr from 'ipaddr.js';
import type { ApiObject, FieldError } from '../../api/index.ts';
import { PlatformError } from '@hypernetes/foundation/errors';
import { findKind, invalid } from '../../api/index.ts';
import type { Strategy } from './strategy.ts';

const nodePortMin = 30_000;
const nodePortMax = 32_767;
/** The first addresses of the range are left for Services that name theirs (kubernetes, kube-dns). */
const staticBand = 256;
const headless = 'None';

interface Range {
  readonly text: string;
  readonly first: number;
  readonly size: number;
}

function toNumber(address: string): number {
  return ipaddr.IPv4.parse(address)
    .toByteArray()
    .reduce((sum, byte) => sum * 256 + byte, 0);
}

function toAddress(value: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join('.');
}

function parseRange(cidr: string): Range {
  const [network, bits] = ipaddr.IPv4.parseCIDR(cidr);
  return { text: cidr, first: toNumber(network.toString()), size: 2 ** (32 - bits) };
}

// Neither the network address nor the broadcast address is given out.
function inRange(range: Range, address: string): boolean {
  if (!ipaddr.IPv4.isValidFourPartDecimal(address)) return false;
  const offset = toNumber(address) - range.first;
  return offset > 0 && offset < range.size - 1;
}

function specOf(object: ApiObject): ServiceSpec {
  return (object as unknown as Service).spec ?? {};
}

function usesClusterIp(spec: ServiceSpec): boolean {
  return spec.type !== 'ExternalName';
}

function usesNodePorts(spec: ServiceSpec): boolean {
  if (spec.type === 'NodePort') return true;
  return spec.type === 'LoadBalancer' && spec.allocateLoadBalancerNodePorts !== false;
}

/** What the Services there are hold. */
interface Held {
  readonly addresses: ReadonlySet<string>;
  /** `TCP/30080` */
  readonly nodePorts: ReadonlySet<string>;
}

function portKey(port: { readonly protocol?: string; readonly nodePort?: number }): string {
  return `${port.protocol ?? 'TCP'}/${port.nodePort ?? 0}`;
}

function heldBy(services: readonly ApiObject[], exceptUid: string | undefined): Held {
  const others = services.filter((service) => service.metadata.uid !== exceptUid).map(specOf);
  return {
    addresses: new Set(
      others.flatMap((spec) => spec.clusterIPs ?? (spec.clusterIP === undefined ? [] : [spec.clusterIP])),
    ),
    nodePorts: new Set(
      others.flatMap((spec) => (spec.ports ?? []).filter((port) => (port.nodePort ?? 0) > 0).map(portKey)),
    ),
  };
}

function fail(service: ApiObject, error: FieldError): never {
  const kind = findKind('v1', 'Service');
  if (kind === undefined) throw new PlatformError('Internal', 'no kind Service');
  throw invalid(kind, service.metadata.name ?? '', [error]);
}

function allocateAddress(service: ApiObject, range: Range, held: Held): string {
  const from = Math.min(staticBand, Math.floor(range.size / 4));
  const count = range.size - from - 1;
  const start = randomInt(count);
  for (let step = 0; step < count; step++) {
    const address = toAddress(range.first + from + ((start + step) % count));
    if (!held.addresses.has(address) && inRange(range, address)) return address;
  }
  return fail(service, {
    reason: 'FieldValueInvalid',
    field: 'spec.clusterIPs',
    message: `Invalid value: []: failed to allocate an address: the range ${range.text} is full`,
  });
}

function claimAddress(service: ApiObject, address: string, range: Range, held: Held): void {
  const wrong = (why: string): never =>
    fail(service, {
      reason: 'FieldValueInvalid',
      field: 'spec.clusterIPs',
      message: `Invalid value: ["${address}"]: failed to allocate IP ${address}: ${why}`,
    });
  if (!inRange(range, address)) {
    wrong(`the provided IP is not in the valid range. The range of valid IPs is ${range.text}`);
  }
  if (held.addresses.has(address)) wrong('provided IP is already allocated');
}

function assignAddress(service: ApiObject, spec: ServiceSpec, range: Range, held: Held): void {
  if (!usesClusterIp(spec)) {
    delete spec.clusterIP;
    delete spec.clusterIPs;
    delete spec.ipFamilies;
    delete spec.ipFamilyPolicy;
    return;
  }
  const wanted = (spec.clusterIP ?? '') !== '' ? spec.clusterIP : spec.clusterIPs?.[0];
  const address = wanted === undefined || wanted === '' ? allocateAddress(service, range, held) : wanted;
  if (address !== headless && wanted !== undefined && wanted !== '')
    claimAddress(service, address, range, held);
  spec.clusterIP = address;
  spec.clusterIPs = [address];
  spec.ipFamilies = ['IPv4'];
  spec.ipFamilyPolicy = 'SingleStack';
}

function allocateNodePort(
  service: ApiObject,
  port: ServicePort,
  taken: ReadonlySet<string>,
  field: string,
): number {
  const count = nodePortMax - nodePortMin + 1;
  const start = randomInt(count);
  for (let step = 0; step < count; step++) {
    const nodePort = nodePortMin + ((start + step) % count);
    if (!taken.has(portKey({ ...port, nodePort }))) return nodePort;
  }
  return fail(service, {
    reason: 'FieldValueInvalid',
    field,
    message: `Invalid value: 0: failed to allocate a nodePort: range is full`,
  });
}

function checkNodePort(
  service: ApiObject,
  port: ServicePort,
  taken: ReadonlySet<string>,
  field: string,
): void {
  const nodePort = port.nodePort ?? 0;
  const wrong = (why: string): never =>
    fail(service, { reason: 'FieldValueInvalid', field, message: `Invalid value: ${nodePort}: ${why}` });
  if (nodePort < nodePortMin || nodePort > nodePortMax) {
    wrong(
      `provided port is not in the valid range. The range of valid ports is ${nodePortMin}-${nodePortMax}`,
    );
  }
  if (taken.has(portKey(port))) wrong('provided port is already allocated');
}

function assignNodePorts(service: ApiObject, spec: ServiceSpec, held: Held): void {
  if (!usesNodePorts(spec) && spec.type !== 'LoadBalancer') {
    for (const port of spec.ports ?? []) delete port.nodePort;
    return;
  }
  const taken = new Set(held.nodePorts);
  const own = new Map<number, string>();
  for (const [index, port] of (spec.ports ?? []).entries()) {
    const field = `spec.ports[${index}].nodePort`;
    if ((port.nodePort ?? 0) > 0) checkNodePort(service, port, taken, field);
    else if (usesNodePorts(spec))
      port.nodePort = sharedNodePort(own, port, taken) ?? allocateNodePort(service, port, taken, field);
    if ((port.nodePort ?? 0) > 0) {
      taken.add(portKey(port));
      own.set(port.port, String(port.nodePort));
    }
  }
}

// One port over TCP and UDP gets one number for both.
function sharedNodePort(
  own: ReadonlyMap<number, string>,
  port: ServicePort,
  taken: ReadonlySet<string>,
): number | undefined {
  const nodePort = Number(own.get(port.port) ?? '0');
  return nodePort > 0 && !taken.has(portKey({ ...port, nodePort })) ? nodePort : undefined;
}

/** What an update leaves out stays as it was given: a client that knows nothing of allocation must not lose it. */
function keepAllocated(spec: ServiceSpec, old: ServiceSpec): void {
  if (usesClusterIp(spec) && usesClusterIp(old)) {
    const wanted = spec.clusterIP ?? spec.clusterIPs?.[0] ?? '';
    if (wanted === '' && old.clusterIP !== undefined) spec.clusterIP = old.clusterIP;
  }
  if (!usesNodePorts(spec) || !usesNodePorts(old)) return;
  for (const port of spec.ports ?? []) {
    if ((port.nodePort ?? 0) > 0) continue;
    const before = old.ports?.find(
      (each) => each.port === port.port && (each.protocol ?? 'TCP') === (port.protocol ?? 'TCP'),
    );
    if (before?.nodePort !== undefined) port.nodePort = before.nodePort;
  }
}

function immutableAddress(spec: ServiceSpec, old: ServiceSpec): FieldError[] {
  if (!usesClusterIp(spec) || !usesClusterIp(old) || old.clusterIP === undefined) return [];
  if (spec.clusterIP === old.clusterIP) return [];
  return [
    {
      reason: 'FieldValueInvalid',
      field: 'spec.clusterIPs[0]',
      message: `Invalid value: ["${spec.clusterIP ?? ''}"]: may not change once set`,
    },
  ];
}

/** Services get their ClusterIP and node ports here: one write at a time, checked against every Service there is. */
export function makeServiceStrategy(
  serviceCidr: string,
  listServices: () => Promise<readonly ApiObject[]>,
): Strategy {
  const range = parseRange(serviceCidr);
  const assign = async (object: ApiObject): Promise<void> => {
    const spec = object['spec'] as ServiceSpec | undefined;
    if (spec === undefined) return; // validation says so
    const held = heldBy(await listServices(), object.metadata.uid);
    assignAddress(object, spec, range, held);
    assignNodePorts(object, spec, held);
  };
  return {
    prepareForCreate: async (object) => {
      object['status'] = { loadBalancer: {} };
      await assign(object);
    },
    prepareForUpdate: async (object, old) => {
      keepAllocated(specOf(object), specOf(old));
      if (immutableAddress(specOf(object), specOf(old)).length === 0) await assign(object);
    },
    validate: (object, old) => (old === undefined ? [] : immutableAddress(specOf(object), specOf(old))),
    exclusiveWrites: true,
    answersDeleted: true,
  };
}
