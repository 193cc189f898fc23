import type { StatsResult } from '@hypernetes/proto/hyperstart';
import type { SandboxStats } from './sandbox-service.ts';

/** The guest's figures in the service's words. Pure. */
export function sandboxStatsOf(sandboxId: string, stats: StatsResult): SandboxStats {
  return {
    sandboxId,
    timestampNs: stats.timestampNs,
    containers: stats.containers.map((container) => ({
      containerId: container.containerId,
      cpuUsageNs: container.cpuUsageNs,
      memoryUsageBytes: container.memoryUsageBytes,
      memoryWorkingSetBytes: container.memoryWorkingSetBytes,
      memoryRssBytes: container.memoryRssBytes,
      memoryPageFaults: container.memoryPageFaults,
      memoryMajorPageFaults: container.memoryMajorPageFaults,
      writableUsedBytes: container.writableUsedBytes,
      writableInodesUsed: container.writableInodesUsed,
      pids: container.pids,
    })),
    interfaces: stats.interfaces.map(({ name, rxBytes, rxErrors, txBytes, txErrors }) => ({
      name,
      rxBytes,
      rxErrors,
      txBytes,
      txErrors,
    })),
    cpuUsageNs: stats.cpuUsageNs,
    memoryTotalBytes: stats.memoryTotalBytes,
    memoryAvailableBytes: stats.memoryAvailableBytes,
    processCount: stats.processCount,
  };
}
