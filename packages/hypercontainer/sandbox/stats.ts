import type { StatsResult } from '@hypernetes/proto/hyperstart';
import type { SandboxStats } from './sandbox-service.ts';

/** What every wire behind this one can carry, int64 too. */
const numberMax = 2n ** 63n - 1n;
const interfacesMax = 64;
/** IFNAMSIZ, less its end. */
const interfaceNameMax = 15;

function bounded(value: bigint): bigint {
  return value > numberMax ? numberMax : value;
}

/** A time the guest tells, or the host's where it cannot be one: guests are hostile, and their times are passed on. Pure. */
export function guestTimeNs(guestNs: bigint, hostNs: bigint): bigint {
  return guestNs > 0n && guestNs <= numberMax ? guestNs : hostNs;
}

/** The guest's figures in the service's words, each within what can be passed on; one entry per container that is there. Pure. */
export function sandboxStatsOf(
  sandboxId: string,
  stats: StatsResult,
  known: ReadonlySet<string>,
  hostNs: bigint,
): SandboxStats {
  const memoryTotalBytes = bounded(stats.memoryTotalBytes);
  const available = bounded(stats.memoryAvailableBytes);
  const containers = new Map(
    stats.containers.filter(({ containerId }) => known.has(containerId)).map((one) => [one.containerId, one]),
  );
  return {
    sandboxId,
    timestampNs: guestTimeNs(stats.timestampNs, hostNs),
    containers: [...containers.values()].map((container) => ({
      containerId: container.containerId,
      cpuUsageNs: bounded(container.cpuUsageNs),
      memoryUsageBytes: bounded(container.memoryUsageBytes),
      memoryWorkingSetBytes: bounded(container.memoryWorkingSetBytes),
      memoryRssBytes: bounded(container.memoryRssBytes),
      memoryPageFaults: bounded(container.memoryPageFaults),
      memoryMajorPageFaults: bounded(container.memoryMajorPageFaults),
      writableUsedBytes: bounded(container.writableUsedBytes),
      writableInodesUsed: bounded(container.writableInodesUsed),
      pids: bounded(container.pids),
    })),
    interfaces: stats.interfaces.slice(0, interfacesMax).map((one) => ({
      name: one.name.slice(0, interfaceNameMax),
      rxBytes: bounded(one.rxBytes),
      rxErrors: bounded(one.rxErrors),
      txBytes: bounded(one.txBytes),
      txErrors: bounded(one.txErrors),
    })),
    cpuUsageNs: bounded(stats.cpuUsageNs),
    memoryTotalBytes,
    memoryAvailableBytes: available > memoryTotalBytes ? memoryTotalBytes : available,
    processCount: bounded(stats.processCount),
  };
}
