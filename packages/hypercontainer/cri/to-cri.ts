import {
  Container,
  ContainerEventType,
  ContainerState,
  ContainerStats as CriContainerStats,
  ContainerStatus as CriContainerStatus,
  Image,
  LinuxContainerResources,
  MountPropagation,
  NamespaceMode,
  PodSandbox,
  PodSandboxState,
  PodSandboxStats,
  PodSandboxStatus,
  Signal,
  type ContainerFilter,
  type NetworkInterfaceUsage,
  type PodSandboxFilter,
} from '@hypernetes/proto/cri';
import type { ImageRecord } from '../image-store/index.ts';
import type {
  ContainerMount,
  ContainerStats,
  ContainerStatus,
  LinuxResources,
  SandboxEvent,
  SandboxStats,
  SandboxStatus,
} from '../sandbox/sandbox-service.ts';
import { parseSignal } from './from-cri.ts';

type Labels = Readonly<Record<string, string>>;

const containerStates: Readonly<Record<ContainerStatus['state'], ContainerState>> = {
  created: ContainerState.CONTAINER_CREATED,
  running: ContainerState.CONTAINER_RUNNING,
  exited: ContainerState.CONTAINER_EXITED,
  unknown: ContainerState.CONTAINER_UNKNOWN,
};

const propagations: Readonly<Record<ContainerMount['propagation'], MountPropagation>> = {
  private: MountPropagation.PROPAGATION_PRIVATE,
  hostToContainer: MountPropagation.PROPAGATION_HOST_TO_CONTAINER,
  bidirectional: MountPropagation.PROPAGATION_BIDIRECTIONAL,
};

const eventTypes: Readonly<Record<SandboxEvent['kind'], ContainerEventType>> = {
  containerCreated: ContainerEventType.CONTAINER_CREATED_EVENT,
  containerStarted: ContainerEventType.CONTAINER_STARTED_EVENT,
  containerStopped: ContainerEventType.CONTAINER_STOPPED_EVENT,
  containerDeleted: ContainerEventType.CONTAINER_DELETED_EVENT,
};

function sandboxState(status: SandboxStatus): PodSandboxState {
  return status.state === 'ready' ? PodSandboxState.SANDBOX_READY : PodSandboxState.SANDBOX_NOTREADY;
}

/** A sandbox as ListPodSandbox shows it. */
export function toPodSandbox(status: SandboxStatus): PodSandbox {
  return PodSandbox.fromPartial({
    id: status.id,
    metadata: { ...status.config.metadata },
    state: sandboxState(status),
    createdAt: status.createdAtNs,
    labels: { ...status.config.labels },
    annotations: { ...status.config.annotations },
    runtimeHandler: status.config.runtimeHandler,
  });
}

/** A sandbox as PodSandboxStatus shows it. */
export function toPodSandboxStatus(status: SandboxStatus): PodSandboxStatus {
  const [ip = '', ...others] = status.addresses;
  return PodSandboxStatus.fromPartial({
    ...toPodSandbox(status),
    network: { ip, additionalIps: others.map((other) => ({ ip: other })) },
    linux: {
      namespaces: {
        options: {
          network: NamespaceMode.POD,
          pid: status.config.sharedPidNamespace ? NamespaceMode.POD : NamespaceMode.CONTAINER,
          ipc: NamespaceMode.POD,
        },
      },
    },
  });
}

/** What a verbose PodSandboxStatus adds: the isolation the pod really got, and where the time of its start went (JSON, milliseconds). */
export function toSandboxInfo(status: SandboxStatus): Record<string, string> {
  return {
    isolation: status.isolation,
    kernelRelease: status.kernelRelease,
    trace: JSON.stringify(status.trace),
    message: status.message,
    networkUid: status.config.networkUid,
    tenantId: status.config.tenantId,
  };
}

/** A container as ListContainers shows it. */
export function toContainer(status: ContainerStatus): Container {
  return Container.fromPartial({
    id: status.id,
    podSandboxId: status.sandboxId,
    metadata: { ...status.config.metadata },
    image: { image: status.config.image, userSpecifiedImage: status.config.image },
    imageRef: status.imageRef,
    imageId: status.imageId,
    state: containerStates[status.state],
    createdAt: status.createdAtNs,
    labels: { ...status.config.labels },
    annotations: { ...status.config.annotations },
  });
}

/** Resources as they were asked for. */
export function toLinuxResources(resources: LinuxResources): LinuxContainerResources {
  return LinuxContainerResources.fromPartial({
    cpuPeriod: BigInt(resources.cpuPeriodUs ?? 0),
    cpuQuota: BigInt(resources.cpuQuotaUs ?? 0),
    cpuShares: BigInt(resources.cpuShares ?? 0),
    memoryLimitInBytes: BigInt(resources.memoryLimitBytes ?? 0),
    memorySwapLimitInBytes: BigInt(resources.memorySwapLimitBytes ?? 0),
    oomScoreAdj: BigInt(resources.oomScoreAdj ?? 0),
    cpusetCpus: resources.cpusetCpus ?? '',
    unified: resources.pidsLimit === undefined ? {} : { 'pids.max': String(resources.pidsLimit) },
  });
}

function toSignal(name: string | undefined): Signal {
  for (const value of Object.values(Signal)) {
    if (typeof value === 'number' && name !== undefined && parseSignal(value) === name) return value;
  }
  return Signal.SIGNAL_RUNTIME_DEFAULT;
}

/** A container as ContainerStatus shows it. */
export function toContainerStatus(status: ContainerStatus): CriContainerStatus {
  return CriContainerStatus.fromPartial({
    id: status.id,
    metadata: { ...status.config.metadata },
    state: containerStates[status.state],
    createdAt: status.createdAtNs,
    startedAt: status.startedAtNs,
    finishedAt: status.finishedAtNs,
    exitCode: status.exitCode,
    image: { image: status.config.image, userSpecifiedImage: status.config.image },
    imageRef: status.imageRef,
    imageId: status.imageId,
    reason: status.reason,
    message: status.message,
    labels: { ...status.config.labels },
    annotations: { ...status.config.annotations },
    mounts: status.config.mounts.map((mount) => ({
      containerPath: mount.containerPath,
      hostPath: mount.hostPath,
      readonly: mount.readOnly,
      propagation: propagations[mount.propagation],
    })),
    logPath: status.logPath,
    resources: { linux: toLinuxResources(status.config.resources) },
    stopSignal: toSignal(status.config.stopSignal),
  });
}

/** What CRI calls an event of the sandbox service. */
export function toEventType(kind: SandboxEvent['kind']): ContainerEventType {
  return eventTypes[kind];
}

/** An image as the image service shows it; the user it runs as tells the kubelet whether it is root. */
export function toImage(record: ImageRecord): Image {
  const user = record.config.user.split(':')[0] ?? '';
  const isNumber = /^[0-9]{1,10}$/.test(user);
  return Image.fromPartial({
    id: record.id,
    repoTags: [...record.references],
    repoDigests: [...record.digests],
    size: BigInt(record.sizeBytes),
    ...(isNumber ? { uid: { value: BigInt(user) } } : { username: user }),
    spec: { image: record.id },
  });
}

/** CPU use per second since the last time it was asked, in nanoseconds; undefined the first time. */
export type CpuRate = (id: string, timestampNs: bigint, usageNs: bigint) => bigint | undefined;

function cpuUsage(
  id: string,
  timestampNs: bigint,
  usageNs: bigint,
  rate: CpuRate,
): { timestamp: bigint; usageCoreNanoSeconds: { value: bigint }; usageNanoCores?: { value: bigint } } {
  const nanoCores = rate(id, timestampNs, usageNs);
  return {
    timestamp: timestampNs,
    usageCoreNanoSeconds: { value: usageNs },
    ...(nanoCores === undefined ? {} : { usageNanoCores: { value: nanoCores } }),
  };
}

/** Use of resources by one container. */
export function toContainerStats(
  stats: ContainerStats,
  container: ContainerStatus,
  timestampNs: bigint,
  rate: CpuRate,
): CriContainerStats {
  const limit = BigInt(container.config.resources.memoryLimitBytes ?? 0);
  const left = limit - stats.memoryWorkingSetBytes;
  return CriContainerStats.fromPartial({
    attributes: {
      id: container.id,
      metadata: { ...container.config.metadata },
      labels: { ...container.config.labels },
      annotations: { ...container.config.annotations },
    },
    cpu: cpuUsage(container.id, timestampNs, stats.cpuUsageNs, rate),
    memory: {
      timestamp: timestampNs,
      workingSetBytes: { value: stats.memoryWorkingSetBytes },
      ...(limit > 0n ? { availableBytes: { value: left > 0n ? left : 0n } } : {}),
      usageBytes: { value: stats.memoryUsageBytes },
      rssBytes: { value: stats.memoryRssBytes },
      pageFaults: { value: stats.memoryPageFaults },
      majorPageFaults: { value: stats.memoryMajorPageFaults },
    },
    writableLayer: {
      timestamp: timestampNs,
      usedBytes: { value: stats.writableUsedBytes },
      inodesUsed: { value: stats.writableInodesUsed },
    },
  });
}

function toInterface(usage: SandboxStats['interfaces'][number]): NetworkInterfaceUsage {
  return {
    name: usage.name,
    rxBytes: { value: usage.rxBytes },
    rxErrors: { value: usage.rxErrors },
    txBytes: { value: usage.txBytes },
    txErrors: { value: usage.txErrors },
  };
}

/** Use of resources by a sandbox and its containers. */
export function toPodSandboxStats(
  stats: SandboxStats,
  sandbox: SandboxStatus,
  containers: readonly ContainerStatus[],
  rate: CpuRate,
): PodSandboxStats {
  const { timestampNs } = stats;
  const usedBytes = stats.memoryTotalBytes - stats.memoryAvailableBytes;
  const interfaces = stats.interfaces.map(toInterface);
  const [defaultInterface] = interfaces;
  return PodSandboxStats.fromPartial({
    attributes: {
      id: sandbox.id,
      metadata: { ...sandbox.config.metadata },
      labels: { ...sandbox.config.labels },
      annotations: { ...sandbox.config.annotations },
    },
    linux: {
      cpu: cpuUsage(sandbox.id, timestampNs, stats.cpuUsageNs, rate),
      memory: {
        timestamp: timestampNs,
        workingSetBytes: { value: usedBytes },
        availableBytes: { value: stats.memoryAvailableBytes },
        usageBytes: { value: usedBytes },
      },
      network: {
        timestamp: timestampNs,
        ...(defaultInterface === undefined ? {} : { defaultInterface }),
        interfaces: interfaces.slice(1),
      },
      process: { timestamp: timestampNs, processCount: { value: stats.processCount } },
      containers: stats.containers.flatMap((one) => {
        const status = containers.find(({ id }) => id === one.containerId);
        return status === undefined ? [] : [toContainerStats(one, status, timestampNs, rate)];
      }),
    },
  });
}

function labelsMatch(labels: Labels, selector: Labels): boolean {
  return Object.entries(selector).every(([key, value]) => labels[key] === value);
}

interface SelectorFilter {
  readonly id: string;
  readonly podSandboxId?: string;
  readonly labelSelector: Labels;
}

/** Does a sandbox pass a filter? Identifiers may be prefixes. */
export function sandboxMatches(
  status: SandboxStatus,
  filter: (SelectorFilter & Pick<Partial<PodSandboxFilter>, 'state'>) | undefined,
): boolean {
  if (filter === undefined) return true;
  if (!status.id.startsWith(filter.id)) return false;
  if (filter.state !== undefined && filter.state.state !== sandboxState(status)) return false;
  return labelsMatch(status.config.labels, filter.labelSelector);
}

/** Does a container pass a filter? Identifiers may be prefixes. */
export function containerMatches(
  status: ContainerStatus,
  filter: (SelectorFilter & Pick<Partial<ContainerFilter>, 'state'>) | undefined,
): boolean {
  if (filter === undefined) return true;
  if (!status.id.startsWith(filter.id) || !status.sandboxId.startsWith(filter.podSandboxId ?? ''))
    return false;
  if (filter.state !== undefined && filter.state.state !== containerStates[status.state]) return false;
  return labelsMatch(status.config.labels, filter.labelSelector);
}
