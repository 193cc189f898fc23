import { describe, expect, test } from 'vitest';
import type { EndpointSlice } from '../../client/index.ts';
import { servingTargets } from './service-entry.ts';

type Conditions = NonNullable<EndpointSlice['endpoints'][number]['conditions']>;

const slice = (...endpoints: readonly (readonly [string, Conditions])[]): EndpointSlice => ({
  metadata: { name: 's', namespace: 'ns' },
  addressType: 'IPv4',
  ports: [{ name: 'http', port: 8080 }],
  endpoints: endpoints.map(([address, conditions]) => ({ addresses: [address], conditions })),
});

const ready = { ready: true, serving: true, terminating: false };
const ending = { ready: false, serving: true, terminating: true };
const deaf = { ready: false, serving: false, terminating: true };
const cold = { ready: false, serving: false, terminating: false };

describe('where a Service leads', () => {
  test.each<[string, EndpointSlice[], string[]]>([
    [
      'the ready ones only',
      [slice(['10.0.0.1', ending], ['10.0.0.2', ready], ['10.0.0.3', cold])],
      ['10.0.0.2'],
    ],
    ['unknown counts as ready', [slice(['10.0.0.1', {}])], ['10.0.0.1']],
    [
      'without a ready one those that end and still serve',
      [slice(['10.0.0.2', ending], ['10.0.0.1', deaf])],
      ['10.0.0.2'],
    ],
    [
      'one ready in any slice is enough',
      [slice(['10.0.0.1', ending]), slice(['10.0.0.9', ready])],
      ['10.0.0.9'],
    ],
    [
      'each once, sorted',
      [slice(['10.0.0.2', ready]), slice(['10.0.0.1', ready], ['10.0.0.2', ready])],
      ['10.0.0.1', '10.0.0.2'],
    ],
    ['nobody', [slice(['10.0.0.1', cold], ['10.0.0.2', deaf])], []],
  ])('%s', (_what, slices, addresses) => {
    expect(servingTargets(slices, 'http', 'TCP')).toEqual(
      addresses.map((address) => ({ address, port: 8080 })),
    );
    expect(servingTargets(slices, 'other', 'TCP')).toEqual([]);
    expect(servingTargets(slices, 'http', 'UDP')).toEqual([]);
  });
});
