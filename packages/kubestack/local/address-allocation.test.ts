import { describe, expect, it } from 'vitest';
import { checkFixedAddress, nextAddress, usableAddresses } from './address-allocation.ts';
import { formatIpv4, parseIpv4, parseIpv4Cidr } from './ipv4.ts';

const address = (text: string): number => parseIpv4(text, 'test');
const cidr = parseIpv4Cidr('10.0.0.0/29', 'test');
const gateway = address('10.0.0.1');

describe('nextAddress', () => {
  it.each<[string, readonly string[], string | undefined, string | undefined]>([
    ['the first after the gateway', [], undefined, '10.0.0.2'],
    ['the one after the last', ['10.0.0.2'], '10.0.0.2', '10.0.0.3'],
    ['not the one just freed', [], '10.0.0.2', '10.0.0.3'],
    ['from the start again at the end', ['10.0.0.6'], '10.0.0.6', '10.0.0.2'],
    [
      'the only one left, even the last',
      ['10.0.0.2', '10.0.0.3', '10.0.0.5', '10.0.0.6'],
      '10.0.0.4',
      '10.0.0.4',
    ],
    ['none when full', ['10.0.0.2', '10.0.0.3', '10.0.0.4', '10.0.0.5', '10.0.0.6'], '10.0.0.4', undefined],
    ['the first when the last was elsewhere', [], '192.168.0.9', '10.0.0.2'],
  ])('gives %s', (_what, used, last, expected) => {
    const found = nextAddress({
      cidr,
      gateway,
      used: new Set(used.map(address)),
      last: last === undefined ? undefined : address(last),
    });
    expect(found === undefined ? undefined : formatIpv4(found)).toBe(expected);
  });

  it('gives every usable address of a subnet once', () => {
    const used = new Set<number>();
    let last: number | undefined;
    for (;;) {
      const next = nextAddress({ cidr, gateway, used, last });
      if (next === undefined) break;
      expect(used.has(next)).toBe(false);
      used.add(next);
      last = next;
    }
    expect(used.size).toBe(usableAddresses(cidr));
  });

  it('finds a free address among many used without walking the whole of a large subnet', () => {
    const large = parseIpv4Cidr('10.0.0.0/8', 'test');
    const used = new Set(Array.from({ length: 1_000 }, (_, index) => large.first + 2 + index));
    expect(nextAddress({ cidr: large, gateway: large.first + 1, used, last: undefined })).toBe(
      large.first + 1_002,
    );
  });
});

describe('checkFixedAddress', () => {
  it.each(['10.0.0.0', '10.0.0.1', '10.0.0.7'])('refuses %s', (text) => {
    expect(() => checkFixedAddress({ cidr, gateway }, address(text))).toThrow(
      /network's own, broadcast or gateway/,
    );
  });
  it('takes another', () => {
    expect(() => checkFixedAddress({ cidr, gateway }, address('10.0.0.6'))).not.toThrow();
  });
});

describe('parseIpv4Cidr', () => {
  it.each<[string, string]>([
    ['10.0.0.0', 'Invalid'],
    ['10.0.0.0/33', 'Invalid'],
    ['10.0.0.1/8', 'Invalid'],
    ['10.0.0/8', 'Invalid'],
    ['010.0.0.0/8', 'Invalid'],
    ['10.0.0.0/8; drop', 'Invalid'],
    ['fd00::/64', 'Unimplemented'],
  ])('refuses %s', (text, reason) => {
    expect(() => parseIpv4Cidr(text, 'test')).toThrow(expect.objectContaining({ reason }));
  });
  it('names the network meant', () => {
    expect(() => parseIpv4Cidr('192.168.0.77/24', 'test')).toThrow('192.168.0.0/24');
  });
});
