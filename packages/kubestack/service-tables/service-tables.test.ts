import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Service, type ServiceTableEvent } from '@hypernetes/proto/kubestack';
import { StateDatabase } from '../state/index.ts';
import { ServiceTables } from './index.ts';

const service = (name: string, clusterIp = '10.96.0.9') =>
  Service.fromPartial({ key: { namespace: 'ns1', name }, clusterIps: [clusterIp] });
const change = { networkUid: 'n1', full: false, upserts: [], removals: [] };

describe('ServiceTables', () => {
  let folder: string;
  let database: StateDatabase;
  let tables: ServiceTables;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kubestack-tables-'));
    database = new StateDatabase(folder);
    tables = new ServiceTables(database);
  });
  afterEach(async () => {
    database[Symbol.dispose]();
    await rm(folder, { recursive: true, force: true });
  });

  const names = () => [...tables.read('n1').services.keys()].sort();

  it('replaces the whole table, or changes what is named', () => {
    expect(tables.apply({ ...change, full: true, upserts: [service('a'), service('b')] })).toBe(1);
    expect(
      tables.apply({ ...change, upserts: [service('c')], removals: [{ namespace: 'ns1', name: 'a' }] }),
    ).toBe(2);
    expect(names()).toEqual(['ns1/b', 'ns1/c']);
    expect(tables.apply({ ...change, full: true, upserts: [service('c')] })).toBe(3);
    expect(names()).toEqual(['ns1/c']);
  });

  it('makes no generation of a change that changes nothing', () => {
    tables.apply({ ...change, upserts: [service('a')] });
    expect(
      tables.apply({ ...change, upserts: [service('a')], removals: [{ namespace: 'ns1', name: 'x' }] }),
    ).toBe(1);
    expect(tables.apply({ ...change, full: true, upserts: [service('a')] })).toBe(1);
  });

  it('has the table again from disk, and keeps networks apart', () => {
    tables.apply({ ...change, upserts: [service('a')] });
    tables.apply({ ...change, networkUid: 'n2', upserts: [service('z')] });
    database[Symbol.dispose]();
    database = new StateDatabase(folder);
    tables = new ServiceTables(database);
    expect(names()).toEqual(['ns1/a']);
    expect(tables.read('n1').generation).toBe(1);
    tables.forget('n1');
    expect(names()).toEqual([]);
    expect([...tables.read('n2').services.keys()]).toEqual(['ns1/z']);
  });

  it('sends the whole table first, then changes', async () => {
    tables.apply({ ...change, upserts: [service('a')] });
    const abort = new AbortController();
    const events = tables.watch('n1', abort.signal)[Symbol.asyncIterator]();
    const next = async () => (await events.next()).value as ServiceTableEvent;
    expect(await next()).toMatchObject({ full: true, generation: 1n, baseGeneration: 0n });
    tables.apply({ ...change, upserts: [service('b')], removals: [{ namespace: 'ns1', name: 'a' }] });
    expect(await next()).toMatchObject({
      full: false,
      generation: 2n,
      baseGeneration: 1n,
      upserts: [{ key: { name: 'b' } }],
      removals: [{ name: 'a' }],
    });
    abort.abort();
    expect((await events.next()).done).toBe(true);
  });
});
