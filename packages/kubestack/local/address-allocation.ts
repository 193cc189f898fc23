import { PlatformError } from '@hypernetes/foundation/errors';
import { cidrContains, formatIpv4, formatIpv4Cidr, type Ipv4Cidr } from './ipv4.ts';

export interface AllocationInput {
  readonly cidr: Ipv4Cidr;
  readonly gateway: number;
  readonly used: ReadonlySet<number>;
  /** The address given out last; undefined: none yet. */
  readonly last: number | undefined;
}

/** Addresses pods can have: all but the network's own, the broadcast address and the gateway. */
export function usableAddresses(cidr: Ipv4Cidr): number {
  return Math.max(0, cidr.size - 3);
}

function isUsable(input: AllocationInput, address: number): boolean {
  const { cidr } = input;
  return (
    address > cidr.first &&
    address < cidr.first + cidr.size - 1 &&
    address !== input.gateway &&
    !input.used.has(address)
  );
}

/**
 * The next free address after the one given out last, so that a freed address rests as long as others are free: peers' ARP caches and
 * connections of its former holder have ended by then. Undefined when the subnet is full.
 */
export function nextAddress(input: AllocationInput): number | undefined {
  const { cidr, last } = input;
  const start = last !== undefined && cidrContains(cidr, last) ? last - cidr.first : 0;
  // At most used + 3 addresses can be unusable in a row before a free one must come, if there is one.
  const steps = Math.min(cidr.size, input.used.size + 4);
  for (let step = 1; step <= steps; step++) {
    const address = cidr.first + ((start + step) % cidr.size);
    if (isUsable(input, address)) return address;
  }
  return undefined;
}

/** Checks a wish for one address; Invalid when pods cannot have it. Whether it is taken is the caller's record to tell. */
export function checkFixedAddress(input: Omit<AllocationInput, 'used' | 'last'>, address: number): void {
  if (isUsable({ ...input, used: new Set(), last: undefined }, address)) return;
  throw new PlatformError(
    'Invalid',
    `fixed address ${formatIpv4(address)}: is the network's own, broadcast or gateway address of subnet ${formatIpv4Cidr(input.cidr)}`,
  );
}
