import { readFile, statfs } from 'node:fs/promises';
import { arch, availableParallelism, platform, release, totalmem } from 'node:os';
import type * as core from 'kubernetes-types/core/v1';
import type { Image, RuntimeCondition } from '@hypernetes/proto/cri';
import type { NodeCapacity } from '../pods/admission.ts';
import { toTime } from '../pods/container-status.ts';

/** The Kubernetes version this kubelet behaves as. */
export const kubeletVersion = 'v1.33.4';
/** Node status lists no more images than this, largest first. */
const imagesMax = 50;
const memoryPressureBytes = 100 << 20;
const diskPressureShare = 0.95;
const pidPressureShare = 0.95;

/** What the machine is and has now. */
export interface MachineFacts {
  readonly cpuMillis: number;
  readonly memoryBytes: number;
  readonly memoryAvailableBytes: number;
  readonly diskBytes: number;
  readonly diskUsedShare: number;
  readonly pidsUsedShare: number;
  readonly kernelVersion: string;
  readonly osImage: string;
  readonly machineId: string;
  readonly bootId: string;
  readonly systemUuid: string;
}

async function readLine(path: string): Promise<string> {
  return (await readFile(path, 'utf8').catch(() => '')).trim();
}

async function pidsUsedShare(): Promise<number> {
  const [load, max] = await Promise.all([readLine('/proc/loadavg'), readLine('/proc/sys/kernel/pid_max')]);
  const used = Number(/\/(\d+) /.exec(load)?.[1] ?? 0);
  return used / Math.max(1, Number(max));
}

export async function readMachine(dataDir: string): Promise<MachineFacts> {
  const [disk, osRelease, meminfo, machineId, bootId, systemUuid, pids] = await Promise.all([
    statfs(dataDir),
    readLine('/etc/os-release'),
    readLine('/proc/meminfo'),
    readLine('/etc/machine-id'),
    readLine('/proc/sys/kernel/random/boot_id'),
    readLine('/sys/class/dmi/id/product_uuid'),
    pidsUsedShare(),
  ]);
  return {
    cpuMillis: availableParallelism() * 1_000,
    memoryBytes: totalmem(),
    memoryAvailableBytes: Number(/^MemAvailable:\s+(\d+) kB/m.exec(meminfo)?.[1] ?? 0) * 1_024,
    diskBytes: disk.blocks * disk.bsize,
    diskUsedShare: 1 - disk.bavail / Math.max(1, disk.blocks),
    pidsUsedShare: pids,
    kernelVersion: release(),
    osImage: /^PRETTY_NAME="?([^"\n]*)/m.exec(osRelease)?.[1] ?? 'Linux',
    machineId,
    bootId,
    systemUuid: systemUuid === '' ? machineId : systemUuid,
  };
}

/** What pods may use of the machine. */
export function allocatableOf(
  machine: Pick<MachineFacts, 'cpuMillis' | 'memoryBytes'>,
  reserve: {
    readonly reservedCpuMillis: number;
    readonly reservedMemoryBytes: number;
    readonly maxPods: number;
  },
): NodeCapacity {
  return {
    cpuMillis: Math.max(0, machine.cpuMillis - reserve.reservedCpuMillis),
    memoryBytes: Math.max(0, machine.memoryBytes - reserve.reservedMemoryBytes),
    pods: reserve.maxPods,
  };
}

export interface NodeStatusInput {
  readonly machine: MachineFacts;
  readonly allocatable: NodeCapacity;
  readonly nodeName: string;
  readonly nodeAddress: string;
  readonly port: number;
  /** hyperd://x */
  readonly containerRuntimeVersion: string;
  /** undefined: the runtime did not answer, and `runtimeError` says why. */
  readonly runtimeConditions: readonly RuntimeCondition[] | undefined;
  readonly runtimeError: string;
  readonly images: readonly Image[];
  readonly nowMs: number;
  readonly old: core.NodeStatus | undefined;
}

/** The Node's status from what is known. Pure. */
export function nodeStatus(input: NodeStatusInput): core.NodeStatus {
  const { machine, allocatable } = input;
  const storage = String(machine.diskBytes);
  return {
    addresses: [
      { type: 'InternalIP', address: input.nodeAddress },
      { type: 'Hostname', address: input.nodeName },
    ],
    capacity: {
      cpu: String(machine.cpuMillis / 1_000),
      memory: `${Math.floor(machine.memoryBytes / 1_024)}Ki`,
      pods: String(allocatable.pods),
      'ephemeral-storage': storage,
    },
    allocatable: {
      cpu: `${allocatable.cpuMillis}m`,
      memory: `${Math.floor(allocatable.memoryBytes / 1_024)}Ki`,
      pods: String(allocatable.pods),
      'ephemeral-storage': storage,
    },
    conditions: conditionsOf(input),
    daemonEndpoints: { kubeletEndpoint: { Port: input.port } },
    nodeInfo: {
      architecture: arch() === 'x64' ? 'amd64' : arch(),
      operatingSystem: platform(),
      kernelVersion: machine.kernelVersion,
      osImage: machine.osImage,
      machineID: machine.machineId,
      systemUUID: machine.systemUuid,
      bootID: machine.bootId,
      containerRuntimeVersion: input.containerRuntimeVersion,
      kubeletVersion,
      kubeProxyVersion: kubeletVersion,
    },
    images: input.images
      .toSorted((left, right) => Number(right.size - left.size))
      .slice(0, imagesMax)
      .map((image) => ({
        names: [...image.repoDigests, ...image.repoTags],
        sizeBytes: Number(image.size),
      })),
  };
}

interface Wanted {
  readonly type: string;
  readonly status: boolean;
  readonly reason: string;
  readonly message: string;
}

function conditionsOf(input: NodeStatusInput): core.NodeCondition[] {
  const { machine } = input;
  const pressure = (type: string, under: boolean, what: string): Wanted => ({
    type,
    status: under,
    reason: `KubeletHas${under ? '' : type === 'PIDPressure' ? 'Sufficient' : type === 'DiskPressure' ? 'No' : 'Sufficient'}${what}`,
    message: under ? `kubelet has ${type.toLowerCase()}` : (pressureTexts[type] ?? ''),
  });
  const wanted = [
    pressure('MemoryPressure', machine.memoryAvailableBytes < memoryPressureBytes, 'Memory'),
    pressure('DiskPressure', machine.diskUsedShare > diskPressureShare, 'DiskPressure'),
    pressure('PIDPressure', machine.pidsUsedShare > pidPressureShare, 'PID'),
    readyCondition(input),
  ];
  return wanted.map((condition) => stamp(condition, input));
}

const pressureTexts: Readonly<Record<string, string>> = {
  MemoryPressure: 'kubelet has sufficient memory available',
  DiskPressure: 'kubelet has no disk pressure',
  PIDPressure: 'kubelet has sufficient PID available',
};

function readyCondition(input: NodeStatusInput): Wanted {
  const not = (message: string): Wanted => ({
    type: 'Ready',
    status: false,
    reason: 'KubeletNotReady',
    message,
  });
  if (input.runtimeConditions === undefined) {
    return not(`container runtime is down: ${input.runtimeError}`);
  }
  for (const type of ['RuntimeReady', 'NetworkReady']) {
    const condition = input.runtimeConditions.find((each) => each.type === type);
    if (condition?.status === true) continue;
    const { reason = '', message = '' } = condition ?? {};
    return not(`container runtime status: ${type}=false reason:${reason} message:${message}`);
  }
  return { type: 'Ready', status: true, reason: 'KubeletReady', message: 'kubelet is posting ready status' };
}

function stamp(wanted: Wanted, input: NodeStatusInput): core.NodeCondition {
  const status = wanted.status ? 'True' : 'False';
  const before = input.old?.conditions?.find(({ type }) => type === wanted.type);
  const now = toTime(input.nowMs);
  return {
    type: wanted.type,
    status,
    lastHeartbeatTime: now,
    lastTransitionTime: before?.status === status ? (before.lastTransitionTime ?? now) : now,
    reason: wanted.reason,
    message: wanted.message,
  };
}

/** Whether anything but heartbeats differs. */
export function isSameStatus(left: core.NodeStatus | undefined, right: core.NodeStatus): boolean {
  const bare = (status: core.NodeStatus | undefined): string =>
    JSON.stringify([
      status?.addresses,
      status?.capacity,
      status?.allocatable,
      status?.conditions?.map(({ type, status: value, reason, message }) => [type, value, reason, message]),
      status?.daemonEndpoints,
      Object.entries(status?.nodeInfo ?? {}).sort(),
      status?.images?.map(({ names, sizeBytes }) => [names, sizeBytes]),
    ]);
  return bare(left) === bare(right);
}
