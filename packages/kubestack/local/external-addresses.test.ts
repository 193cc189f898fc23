import { expect, it } from 'vitest';
import { whyRefused } from './external-addresses.ts';
import { parseIpv4Cidr } from './ipv4.ts';

const policy = {
  allowed: [parseIpv4Cidr('172.16.0.0/12', 'test')],
  reserved: [{ cidr: parseIpv4Cidr('172.20.0.0/16', 'test'), what: 'the addresses of Services' }],
  hostAddresses: new Map([['172.18.0.1', "the host's own address"]]),
  hostRoutes: [{ cidr: parseIpv4Cidr('172.17.0.0/16', 'test'), device: 'docker0' }],
};

it.each<[string, string | RegExp | undefined]>([
  ['172.30.0.10', undefined],
  ['172.18.0.1', /host's own address/],
  ['172.20.0.5', /addresses of Services/],
  ['172.17.0.5', /docker0/],
  ['8.8.8.8', /outside the ranges/],
])('judges %s', (address, expected) => {
  const why = whyRefused(address, policy);
  if (expected === undefined) expect(why).toBeUndefined();
  else expect(why).toMatch(expected);
});
