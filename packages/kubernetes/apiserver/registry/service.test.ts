import { beforeEach, describe, expect, test } from 'vitest';
import type { ApiObject } from '../../api/index.ts';
import { makeServiceStrategy } from './service.ts';

interface Spec {
  clusterIP?: string;
  clusterIPs?: string[];
  type?: string;
  ports?: { port: number; nodePort?: number; protocol?: string }[];
}

let stored: ApiObject[] = [];
beforeEach(() => {
  stored = [];
});

const environment = { user: { name: 'u', groups: [], extra: {} }, now: '2026-01-01T00:00:00Z' };

function service(spec: Record<string, unknown>, uid = Math.random().toString()): ApiObject {
  return { apiVersion: 'v1', kind: 'Service', metadata: { name: 's', uid }, spec };
}

async function create(spec: Record<string, unknown>, cidr = '10.96.0.0/16'): Promise<Spec> {
  const object = service(spec);
  await makeServiceStrategy(cidr, () => Promise.resolve(stored)).prepareForCreate?.(object, environment);
  stored.push(object);
  return object['spec'] as Spec;
}

async function update(old: ApiObject, spec: Record<string, unknown>): Promise<Spec> {
  const object = service(spec, old.metadata.uid);
  await makeServiceStrategy('10.96.0.0/16', () => Promise.resolve(stored)).prepareForUpdate?.(
    object,
    old,
    environment,
  );
  return object['spec'] as Spec;
}

describe('cluster addresses', () => {
  test('are given out of the range, each once, leaving the first ones for those who ask', async () => {
    const given = await Promise.all(Array.from({ length: 20 }, async () => create({ type: 'ClusterIP' })));
    for (const spec of given) {
      expect(spec.clusterIP).toMatch(/^10\.96\.[1-9]\d*\.\d+$/);
      expect(spec.clusterIPs).toEqual([spec.clusterIP]);
    }
    expect((await create({ type: 'ClusterIP', clusterIP: '10.96.0.10' })).clusterIP).toBe('10.96.0.10');
  });

  test.each([
    ['outside', '192.168.0.1', /not in the valid range.*10\.96\.0\.0\/16/],
    ['the network itself', '10.96.0.0', /not in the valid range/],
    ['the broadcast address', '10.96.255.255', /not in the valid range/],
    ['no address', 'banana', /not in the valid range/],
    ['taken', '10.96.7.7', /already allocated/],
  ])('%s is refused', async (_what, clusterIP, message) => {
    stored = [service({ clusterIP: '10.96.7.7' })];
    await expect(create({ clusterIP })).rejects.toThrow(message);
  });

  test('run out with a clear word', async () => {
    for (let count = 0; count < 5; count++) await create({}, '10.0.0.0/29');
    await expect(create({}, '10.0.0.0/29')).rejects.toThrow(/the range 10.0.0.0\/29 is full/);
  });

  test('headless and external names have none', async () => {
    expect(await create({ clusterIP: 'None' })).toMatchObject({ clusterIP: 'None', clusterIPs: ['None'] });
    expect((await create({ type: 'ExternalName', externalName: 'x.y' })).clusterIP).toBeUndefined();
  });
});

describe('node ports', () => {
  test('are given to each port, one number for TCP and UDP', async () => {
    const ports = [
      { port: 53, protocol: 'TCP' },
      { port: 53, protocol: 'UDP' },
      { port: 80, protocol: 'TCP' },
    ];
    const spec = await create({ type: 'NodePort', ports });
    const [tcp, udp, http] = spec.ports!.map((port) => port.nodePort!);
    expect(tcp).toBe(udp);
    expect(http).not.toBe(tcp);
    for (const port of [tcp, http]) expect(port! >= 30_000 && port! <= 32_767).toBe(true);
  });

  test('that are taken or outside the range are refused', async () => {
    await create({ type: 'NodePort', ports: [{ port: 80, nodePort: 30_080 }] });
    const again = create({ type: 'NodePort', ports: [{ port: 81, nodePort: 30_080 }] });
    await expect(again).rejects.toThrow(/spec.ports\[0\].nodePort.*already allocated/);
    const low = create({ type: 'NodePort', ports: [{ port: 81, nodePort: 80 }] });
    await expect(low).rejects.toThrow(/valid ports is 30000-32767/);
  });
});

describe('updates', () => {
  test('keep what was given and is left out', async () => {
    await create({ type: 'NodePort', ports: [{ port: 80 }] });
    const old = stored[0]!;
    const before = old['spec'] as Spec;
    const kept = await update(old, { type: 'NodePort', ports: [{ port: 80 }, { port: 81 }] });
    expect(kept.clusterIP).toBe(before.clusterIP);
    expect(kept.ports![0]!.nodePort).toBe(before.ports![0]!.nodePort);
    expect(kept.ports![1]!.nodePort).toBeGreaterThan(0);
    const plain = await update(old, {
      type: 'ClusterIP',
      ports: [{ port: 80, nodePort: before.ports![0]!.nodePort }],
    });
    expect(plain.ports![0]!.nodePort).toBeUndefined();
  });

  test('do not change an address', async () => {
    await create({ type: 'ClusterIP' });
    const strategy = makeServiceStrategy('10.96.0.0/16', () => Promise.resolve(stored));
    const errors = await strategy.validate?.(
      service({ type: 'ClusterIP', clusterIP: '10.96.9.9' }),
      stored[0],
    );
    expect(errors?.[0]?.message).toMatch(/may not change once set/);
  });
});
