import { expect, test } from 'vitest';
import { StatsResult } from '@hypernetes/proto/hyperstart';
import { guestTimeNs, sandboxStatsOf } from './stats.ts';

const huge = 2n ** 64n - 1n;
const largest = 2n ** 63n - 1n;

test('figures of a hostile guest stay within what can be passed on', () => {
  const stats = sandboxStatsOf(
    's',
    StatsResult.fromPartial({
      timestampNs: huge,
      memoryTotalBytes: 5n,
      memoryAvailableBytes: huge,
      cpuUsageNs: huge,
      containers: [
        { containerId: 'mine', cpuUsageNs: 1n },
        { containerId: 'mine', cpuUsageNs: huge },
        { containerId: 'of another pod' },
      ],
      interfaces: Array.from({ length: 500 }, () => ({ name: 'n'.repeat(10_000), rxBytes: huge })),
    }),
    new Set(['mine']),
    7n,
  );
  expect(stats).toMatchObject({
    timestampNs: 7n,
    memoryTotalBytes: 5n,
    memoryAvailableBytes: 5n,
    cpuUsageNs: largest,
  });
  expect(stats.containers).toHaveLength(1);
  expect(stats.containers[0]?.cpuUsageNs).toBe(largest);
  expect(stats.interfaces).toHaveLength(64);
  expect(stats.interfaces[0]).toMatchObject({ name: 'n'.repeat(15), rxBytes: largest });
});

test("a time that is none is the host's", () => {
  expect(guestTimeNs(3n, 7n)).toBe(3n);
  for (const wrong of [0n, huge, largest + 1n]) expect(guestTimeNs(wrong, 7n)).toBe(7n);
});
