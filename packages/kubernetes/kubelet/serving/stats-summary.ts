import type { ContainerStats, PodSandboxStats, UInt64Value } from '@hypernetes/proto/cri';
import type { Pod } from '../kube-types.ts';
import { readMachine } from '../node/node-status.ts';
import type { CriClient } from '../runtime/cri-client.ts';
import { criLabels } from '../runtime/labels.ts';

function toTime(nanoseconds: bigint | undefined): string {
  return new Date(Number((nanoseconds ?? 0n) / 1_000_000n)).toISOString();
}

function amount(value: UInt64Value | undefined): number {
  return Number(value?.value ?? 0n);
}

function usage(stats: Pick<ContainerStats, 'cpu' | 'memory'>) {
  return {
    cpu: {
      time: toTime(stats.cpu?.timestamp),
      usageNanoCores: amount(stats.cpu?.usageNanoCores),
      usageCoreNanoSeconds: amount(stats.cpu?.usageCoreNanoSeconds),
    },
    memory: {
      time: toTime(stats.memory?.timestamp),
      usageBytes: amount(stats.memory?.usageBytes),
      workingSetBytes: amount(stats.memory?.workingSetBytes),
      rssBytes: amount(stats.memory?.rssBytes),
    },
  };
}

function podSummary(stats: PodSandboxStats, pods: readonly Pod[]) {
  const labels = stats.attributes?.labels ?? {};
  const uid = stats.attributes?.metadata?.uid ?? labels[criLabels.podUid] ?? '';
  const interfaces = stats.linux?.network?.defaultInterface;
  return {
    podRef: {
      name: labels[criLabels.podName] ?? '',
      namespace: labels[criLabels.podNamespace] ?? '',
      uid,
    },
    startTime: pods.find(({ metadata }) => metadata.uid === uid)?.status?.startTime,
    ...usage({ cpu: stats.linux?.cpu, memory: stats.linux?.memory }),
    network: {
      name: interfaces?.name ?? '',
      rxBytes: amount(interfaces?.rxBytes),
      txBytes: amount(interfaces?.txBytes),
    },
    containers: (stats.linux?.containers ?? []).map((container) => ({
      name: container.attributes?.metadata?.name ?? '',
      ...usage(container),
    })),
  };
}

/** /stats/summary: what node and pods use, as far as the runtime says. */
export async function statsSummary(
  nodeName: string,
  dataDir: string,
  cri: CriClient,
  pods: readonly Pod[],
): Promise<unknown> {
  const [machine, sandboxes] = await Promise.all([readMachine(dataDir), cri.listSandboxStats()]);
  return {
    node: {
      nodeName,
      memory: {
        time: new Date().toISOString(),
        availableBytes: machine.memoryAvailableBytes,
        usageBytes: machine.memoryBytes - machine.memoryAvailableBytes,
        workingSetBytes: machine.memoryBytes - machine.memoryAvailableBytes,
      },
      fs: {
        time: new Date().toISOString(),
        capacityBytes: machine.diskBytes,
        availableBytes: Math.floor(machine.diskBytes * (1 - machine.diskUsedShare)),
      },
    },
    pods: sandboxes.map((stats) => podSummary(stats, pods)),
  };
}
