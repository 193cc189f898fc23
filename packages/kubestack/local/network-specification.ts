import { PlatformError } from '@hypernetes/foundation/errors';
import { defaultNetworkUid, type NetworkSpec, type SubnetSpec } from '../provider-api/index.ts';
import { usableAddresses } from './address-allocation.ts';
import { cidrContains, cidrsOverlap, formatIpv4, parseIpv4, parseIpv4Cidr, type Ipv4Cidr } from './ipv4.ts';

/** Link-local addresses of the uplinks: a /31 for each network. */
export const uplinkRange: Ipv4Cidr = parseIpv4Cidr('169.254.64.0/18', 'uplink range');
const subnetsMax = 16;
const hostRoutesMax = 32;
const dnsServersMax = 8;

const unusable: readonly (readonly [Ipv4Cidr, string])[] = [
  [parseIpv4Cidr('0.0.0.0/8', ''), 'is the "this network" range'],
  [parseIpv4Cidr('127.0.0.0/8', ''), 'is the loopback range'],
  [parseIpv4Cidr('169.254.0.0/16', ''), 'is the link-local range'],
  [parseIpv4Cidr('224.0.0.0/3', ''), 'is the multicast or reserved range'],
];

/** A subnet with its numbers worked out. */
export interface ParsedSubnet {
  readonly spec: SubnetSpec;
  readonly cidr: Ipv4Cidr;
  readonly gateway: number;
}

export function parseSubnet(spec: SubnetSpec): ParsedSubnet {
  const what = `subnet "${spec.name}"`;
  const cidr = parseIpv4Cidr(spec.cidr, `${what}: cidr`);
  const gateway = spec.gateway === '' ? cidr.first + 1 : parseIpv4(spec.gateway, `${what}: gateway`);
  return { spec: { ...spec, gateway: formatIpv4(gateway) }, cidr, gateway };
}

function checkSubnet(subnet: ParsedSubnet, serviceCidr: Ipv4Cidr): void {
  const { spec, cidr, gateway } = subnet;
  const refuse = (why: string): never => {
    throw new PlatformError('Invalid', `subnet "${spec.name}": ${why}`);
  };
  if (cidr.prefixLength < 8) refuse(`cidr ${spec.cidr}: wider than /8`);
  if (usableAddresses(cidr) < 1) refuse(`cidr ${spec.cidr}: has no room for a pod; /30 is the smallest`);
  for (const [range, why] of unusable) if (cidrsOverlap(range, cidr)) refuse(`cidr ${spec.cidr}: ${why}`);
  if (cidrsOverlap(cidr, serviceCidr)) {
    refuse(
      `cidr ${spec.cidr}: overlaps the addresses of Services, ${formatIpv4(serviceCidr.first)}/${serviceCidr.prefixLength}`,
    );
  }
  if (!cidrContains(cidr, gateway)) refuse(`gateway ${spec.gateway}: is not inside ${spec.cidr}`);
  if (gateway === cidr.first || gateway === cidr.first + cidr.size - 1) {
    refuse(`gateway ${spec.gateway}: is the network or broadcast address of ${spec.cidr}`);
  }
  if (spec.dnsServers.length > dnsServersMax) refuse(`more than ${dnsServersMax} DNS servers`);
  if (spec.hostRoutes.length > hostRoutesMax) refuse(`more than ${hostRoutesMax} host routes`);
  for (const server of spec.dnsServers) parseIpv4(server, `subnet "${spec.name}": DNS server`);
  for (const route of spec.hostRoutes) {
    parseIpv4Cidr(route.destination, `subnet "${spec.name}": host route destination`);
    const nextHop = parseIpv4(route.nextHop, `subnet "${spec.name}": host route next hop`);
    if (!cidrContains(cidr, nextHop))
      refuse(`host route next hop ${route.nextHop}: is not inside ${spec.cidr}`);
  }
}

/** The specification with gateways filled in and every rule checked; Invalid or Unimplemented otherwise. */
export function normalizeNetworkSpec(spec: NetworkSpec, serviceCidr: Ipv4Cidr): NetworkSpec {
  const refuse = (reason: 'Invalid' | 'Unimplemented', why: string): never => {
    throw new PlatformError(reason, `network "${spec.name}": ${why}`);
  };
  if (spec.providerNetworkId !== '') refuse('Unimplemented', 'the local provider cannot adopt a network');
  if (spec.subnets.length === 0) refuse('Invalid', 'has no subnet; give at least one');
  if (spec.subnets.length > subnetsMax) refuse('Invalid', `has more than ${subnetsMax} subnets`);
  if (spec.tenantId === '' && spec.uid !== defaultNetworkUid) refuse('Invalid', 'has no tenant');
  const subnets = spec.subnets.map(parseSubnet);
  subnets.forEach((subnet, index) => {
    if (!/^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$/.test(subnet.spec.name)) {
      refuse('Invalid', `subnet name "${subnet.spec.name}": must be letters, digits, "-", "_" and "."`);
    }
    checkSubnet(subnet, serviceCidr);
    for (const other of subnets.slice(0, index)) {
      if (other.spec.name === subnet.spec.name)
        refuse('Invalid', `two subnets are named "${subnet.spec.name}"`);
      if (cidrsOverlap(other.cidr, subnet.cidr)) {
        refuse(
          'Invalid',
          `subnets "${other.spec.name}" (${other.spec.cidr}) and "${subnet.spec.name}" (${subnet.spec.cidr}) overlap`,
        );
      }
    }
  });
  return { ...spec, subnets: subnets.map((subnet) => subnet.spec) };
}
