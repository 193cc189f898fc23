import { PlatformError } from '@hypernetes/foundation/errors';
import { cidrContains, formatIpv4Cidr, parseIpv4, type Ipv4Cidr } from './ipv4.ts';

/** What decides whether an address may be given to a load balancer. */
export interface AddressPolicy {
  /** Ranges load balancers may have addresses in. */
  readonly allowed: readonly Ipv4Cidr[];
  /** Ranges that mean something else, with what they are. */
  readonly reserved: readonly { readonly cidr: Ipv4Cidr; readonly what: string }[];
  /** Addresses the host itself has or depends on, with what they are. */
  readonly hostAddresses: ReadonlyMap<string, string>;
  /** Destinations the host routes elsewhere. */
  readonly hostRoutes: readonly { readonly cidr: Ipv4Cidr; readonly device: string }[];
}

/** Why a load balancer may not have the address; undefined: it may. An address that is somebody's already must never be taken over. */
export function whyRefused(address: string, policy: AddressPolicy): string | undefined {
  const number = parseIpv4(address, 'load balancer address');
  const host = policy.hostAddresses.get(address);
  if (host !== undefined) return `is ${host}`;
  const reserved = policy.reserved.find((range) => cidrContains(range.cidr, number));
  if (reserved !== undefined) return `is inside ${reserved.what} (${formatIpv4Cidr(reserved.cidr)})`;
  const route = policy.hostRoutes.find((candidate) => cidrContains(candidate.cidr, number));
  if (route !== undefined)
    return `is reached by the host through ${route.device} (${formatIpv4Cidr(route.cidr)})`;
  if (policy.allowed.some((range) => cidrContains(range, number))) return undefined;
  return `is outside the ranges for load balancers: ${policy.allowed.map(formatIpv4Cidr).join(', ')}`;
}

/** whyRefused as an error: Forbidden. */
export function checkExternalAddress(address: string, policy: AddressPolicy): void {
  const why = whyRefused(address, policy);
  if (why !== undefined) throw new PlatformError('Forbidden', `load balancer address ${address}: ${why}`);
}
