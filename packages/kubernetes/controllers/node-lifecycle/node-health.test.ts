import { expect, test } from 'vitest';
import type { Node, Pod } from '../../client/index.ts';
import { healthOf, withHealth } from './node-health.ts';
import { evictionTime } from './taint-eviction.ts';

const node = (ready: string, taints: NonNullable<Node['spec']>['taints'] = []): Node => ({
  metadata: { name: 'n' },
  spec: { taints },
  status: { conditions: [{ type: 'Ready', status: ready, lastHeartbeatTime: '2026-01-01T00:00:00Z' }] },
});

test('health: silence for 40 s beats what the node said last', () => {
  expect(healthOf(node('True'), 0, 40_000)).toBe('ready');
  expect(healthOf(node('True'), 0, 40_001)).toBe('unreachable');
  expect(healthOf(node('False'), 0, 1)).toBe('not-ready');
});

test('a silent node: conditions Unknown, both taints; coming back: none', () => {
  const silent = withHealth(node('True'), 'unreachable', { evict: true, nowMs: 0 });
  expect(silent?.status?.conditions?.map(({ type, status, reason }) => [type, status, reason])).toEqual([
    ['Ready', 'Unknown', 'NodeStatusUnknown'],
    ['MemoryPressure', 'Unknown', 'NodeStatusNeverUpdated'],
    ['DiskPressure', 'Unknown', 'NodeStatusNeverUpdated'],
    ['PIDPressure', 'Unknown', 'NodeStatusNeverUpdated'],
  ]);
  expect(silent?.spec?.taints).toEqual([
    { key: 'node.kubernetes.io/unreachable', effect: 'NoSchedule' },
    { key: 'node.kubernetes.io/unreachable', effect: 'NoExecute', timeAdded: '1970-01-01T00:00:00Z' },
  ]);
  expect(withHealth(silent!, 'unreachable', { evict: true, nowMs: 9_000 })).toBeUndefined();
  expect(withHealth(silent!, 'ready', { evict: true, nowMs: 9_000 })?.spec?.taints).toEqual([]);
});

test('nobody is evicted when no node is well, and foreign taints stay', () => {
  const own = { key: 'k', effect: 'NoSchedule' };
  const tainted = withHealth(node('False', [own]), 'not-ready', { evict: false, nowMs: 0 });
  expect(tainted?.spec?.taints).toEqual([own, { key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' }]);
  expect(withHealth(node('True', [own]), 'ready', { evict: true, nowMs: 0 })).toBeUndefined();
});

test('eviction: at once, after the tolerated time, or never', () => {
  const taints = [{ key: 'k', effect: 'NoExecute', timeAdded: '1970-01-01T00:00:00Z' }];
  const pod = (tolerations: NonNullable<Pod['spec']>['tolerations']): Pod => ({
    metadata: { name: 'p' },
    spec: { containers: [], tolerations: tolerations ?? [] },
  });
  expect(evictionTime(pod([]), taints, 5_000)).toBe(5_000);
  expect(
    evictionTime(
      pod([{ key: 'k', operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 }]),
      taints,
      5_000,
    ),
  ).toBe(300_000);
  expect(evictionTime(pod([{ operator: 'Exists' }]), taints, 5_000)).toBeUndefined();
  expect(evictionTime(pod([]), [{ key: 'k', effect: 'NoSchedule' }], 5_000)).toBeUndefined();
});
