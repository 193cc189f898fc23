import { describe, expect, test } from 'vitest';
import type { Namespace, Network } from '../../client/index.ts';
import { networkUidOf } from './pod-networks.ts';

const network = (name: string, tenantID: string): Network => ({
  metadata: { name, uid: `uid-${name}` },
  spec: { tenantID },
});
const networks = [network('net1', 't1'), network('net2', 't2')];
const find = (name: string) => networks.find(({ metadata }) => metadata.name === name);

function namespaceOn(name: string | undefined, tenant: string): Namespace {
  return {
    metadata: { name: 'ns', annotations: { 'hypernetes.io/tenant-id': tenant } },
    ...(name === undefined ? {} : { spec: { network: name } }),
  };
}

describe('the network of a namespace', () => {
  test.each([
    ['none named', undefined, 't1', 'default'],
    ['its own', 'net1', 't1', 'uid-net1'],
    ['one that is gone', 'net3', 't1', undefined],
    ["another tenant's that took the name", 'net2', 't1', undefined],
  ])('%s', (_what, name, tenant, uid) => {
    expect(networkUidOf(namespaceOn(name, tenant), find)).toBe(uid);
  });
});
