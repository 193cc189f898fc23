import {
  MetricDescriptor,
  MetricType,
  type ContainerMetrics,
  type ContainerStats,
  type Metric,
  type NetworkInterfaceUsage,
  type PodSandboxMetrics,
  type PodSandboxStats,
} from '@hypernetes/proto/cri';

interface Definition<Source> {
  readonly name: string;
  readonly help: string;
  readonly type: MetricType;
  readonly read: (source: Source) => bigint | undefined;
}

// Names as cAdvisor's, which dashboards know. Values on this wire are whole numbers: CPU time is in whole seconds.
const containerMetrics: readonly Definition<ContainerStats>[] = [
  {
    name: 'container_cpu_usage_seconds_total',
    help: 'CPU time consumed, in seconds',
    type: MetricType.COUNTER,
    read: (stats) => {
      const ns = stats.cpu?.usageCoreNanoSeconds?.value;
      return ns === undefined ? undefined : ns / 1_000_000_000n;
    },
  },
  {
    name: 'container_memory_usage_bytes',
    help: 'memory in use, including caches',
    type: MetricType.GAUGE,
    read: (stats) => stats.memory?.usageBytes?.value,
  },
  {
    name: 'container_memory_working_set_bytes',
    help: 'memory in use that cannot be given back at once',
    type: MetricType.GAUGE,
    read: (stats) => stats.memory?.workingSetBytes?.value,
  },
  {
    name: 'container_memory_rss',
    help: 'anonymous memory',
    type: MetricType.GAUGE,
    read: (stats) => stats.memory?.rssBytes?.value,
  },
  {
    name: 'container_fs_usage_bytes',
    help: 'size of the writable layer',
    type: MetricType.GAUGE,
    read: (stats) => stats.writableLayer?.usedBytes?.value,
  },
];

const interfaceMetrics: readonly Definition<NetworkInterfaceUsage>[] = [
  {
    name: 'container_network_receive_bytes_total',
    help: 'bytes received',
    type: MetricType.COUNTER,
    read: (usage) => usage.rxBytes?.value,
  },
  {
    name: 'container_network_transmit_bytes_total',
    help: 'bytes sent',
    type: MetricType.COUNTER,
    read: (usage) => usage.txBytes?.value,
  },
  {
    name: 'container_network_receive_errors_total',
    help: 'errors while receiving',
    type: MetricType.COUNTER,
    read: (usage) => usage.rxErrors?.value,
  },
  {
    name: 'container_network_transmit_errors_total',
    help: 'errors while sending',
    type: MetricType.COUNTER,
    read: (usage) => usage.txErrors?.value,
  },
];

function metricsOf<Source>(
  definitions: readonly Definition<Source>[],
  source: Source,
  labelValues: string[],
  timestamp: bigint,
): Metric[] {
  return definitions.flatMap(({ name, type, read }) => {
    const value = read(source);
    return value === undefined ? [] : [{ name, timestamp, metricType: type, labelValues, value: { value } }];
  });
}

/** Every metric ListPodSandboxMetrics can answer. */
export function metricDescriptors(): MetricDescriptor[] {
  const describe = (labelKeys: string[]) => (definition: { readonly name: string; readonly help: string }) =>
    MetricDescriptor.fromPartial({ name: definition.name, help: definition.help, labelKeys });
  return [...containerMetrics.map(describe([])), ...interfaceMetrics.map(describe(['interface']))];
}

/** The metrics of a pod, from its statistics. */
export function toPodSandboxMetrics(stats: PodSandboxStats): PodSandboxMetrics {
  const timestamp = stats.linux?.cpu?.timestamp ?? 0n;
  const network = stats.linux?.network;
  const interfaces = [network?.defaultInterface, ...(network?.interfaces ?? [])].filter(
    (usage) => usage !== undefined,
  );
  return {
    podSandboxId: stats.attributes?.id ?? '',
    metrics: interfaces.flatMap((usage) => metricsOf(interfaceMetrics, usage, [usage.name], timestamp)),
    containerMetrics: (stats.linux?.containers ?? []).map((container): ContainerMetrics => ({
      containerId: container.attributes?.id ?? '',
      metrics: metricsOf(containerMetrics, container, [], timestamp),
    })),
  };
}
