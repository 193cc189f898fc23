import { podRequests, type ResourceAmounts } from '../containers/resource-amounts.ts';
import type { Pod } from '../kube-types.ts';

export interface NodeCapacity extends ResourceAmounts {
  readonly pods: number;
}

export interface Rejection {
  readonly reason: 'OutOfcpu' | 'OutOfmemory' | 'OutOfpods';
  readonly message: string;
}

/** Taken by this node before: such a pod is not asked about again. */
export function isAdmitted(pod: Pod): boolean {
  return pod.status?.startTime !== undefined;
}

function isOver(pod: Pod): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
}

/** Whether a new pod fits beside those already taken; undefined when it does. */
export function admitPod(pod: Pod, others: readonly Pod[], allocatable: NodeCapacity): Rejection | undefined {
  const taken = others.filter(
    (other) => other.metadata.uid !== pod.metadata.uid && isAdmitted(other) && !isOver(other),
  );
  const wanted = podRequests(pod.spec);
  const used = { cpuMillis: 0, memoryBytes: 0 };
  for (const other of taken) {
    const requests = podRequests(other.spec);
    used.cpuMillis += requests.cpuMillis;
    used.memoryBytes += requests.memoryBytes;
  }
  const checks = [
    ['pods', 1, taken.length, allocatable.pods],
    ['cpu', wanted.cpuMillis, used.cpuMillis, allocatable.cpuMillis],
    ['memory', wanted.memoryBytes, used.memoryBytes, allocatable.memoryBytes],
  ] as const;
  for (const [name, requested, already, capacity] of checks) {
    if (requested === 0 || already + requested <= capacity) continue;
    return {
      reason: `OutOf${name}`,
      message: `Node didn't have enough resource: ${name}, requested: ${requested}, used: ${already}, capacity: ${capacity}`,
    };
  }
  return undefined;
}
