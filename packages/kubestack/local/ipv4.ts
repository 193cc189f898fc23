import { isIPv4, isIPv6 } from 'node:net';
import { PlatformError } from '@hypernetes/foundation/errors';

/** An IPv4 network; addresses are unsigned 32-bit numbers. */
export interface Ipv4Cidr {
  readonly first: number;
  readonly prefixLength: number;
  readonly size: number;
}

/** Dotted quad to number; Invalid for anything else, Unimplemented for IPv6. `what` names the field in the error. */
export function parseIpv4(text: string, what: string): number {
  if (isIPv4(text)) {
    return text.split('.').reduce((value, octet) => value * 256 + Number(octet), 0);
  }
  if (isIPv6(text)) {
    throw new PlatformError('Unimplemented', `${what} "${text}": the local provider has IPv4 only`);
  }
  throw new PlatformError('Invalid', `${what} "${text}": not an IP address`);
}

export function formatIpv4(address: number): string {
  return [24, 16, 8, 0].map((shift) => (address >>> shift) & 255).join('.');
}

/** `10.0.0.0/8`; host bits must be zero. */
export function parseIpv4Cidr(text: string, what: string): Ipv4Cidr {
  const match = /^([0-9a-fA-F:.]{1,45})\/(\d{1,3})$/.exec(text);
  if (match === null)
    throw new PlatformError('Invalid', `${what} "${text}": not a CIDR such as 192.168.0.0/24`);
  const address = parseIpv4(match[1] ?? '', what);
  const prefixLength = Number(match[2]);
  if (prefixLength > 32)
    throw new PlatformError('Invalid', `${what} "${text}": the prefix length is above 32`);
  const size = 2 ** (32 - prefixLength);
  const first = address - (address % size);
  if (first !== address) {
    throw new PlatformError(
      'Invalid',
      `${what} "${text}": has host bits set; the network is ${formatIpv4(first)}/${prefixLength}`,
    );
  }
  return { first, prefixLength, size };
}

export function formatIpv4Cidr(cidr: Ipv4Cidr): string {
  return `${formatIpv4(cidr.first)}/${cidr.prefixLength}`;
}

export function cidrContains(cidr: Ipv4Cidr, address: number): boolean {
  return address >= cidr.first && address < cidr.first + cidr.size;
}

export function cidrsOverlap(a: Ipv4Cidr, b: Ipv4Cidr): boolean {
  return a.first < b.first + b.size && b.first < a.first + a.size;
}
