import { parseQuantity, quantityToMilli, quantityToNumber } from '../../api/index.ts';
import { isSidecar, type Container, type PodSpec } from '../kube-types.ts';

export interface ResourceAmounts {
  readonly cpuMillis: number;
  readonly memoryBytes: number;
}

/** What a container without a memory limit is counted with when others of its pod have one. */
const unlimitedMemoryBytes = 128 << 20;
/** What a pod has at least when one of its containers has no CPU limit. */
const unlimitedCpuMillis = 1_000;

/** Thousandths of a CPU; 0 when nothing is said. */
export function cpuMillisOf(quantity: string | undefined): number {
  return quantity === undefined ? 0 : quantityToMilli(parseQuantity(quantity));
}

/** Bytes; 0 when nothing is said. */
export function bytesOf(quantity: string | undefined): number {
  return quantity === undefined ? 0 : quantityToNumber(parseQuantity(quantity));
}

type AmountOf = (container: Container) => number;

/**
 * What the pod's containers need at the same time: the greater of all containers with all sidecars, and of each init container with the
 * sidecars started before it.
 */
function podAmount(spec: PodSpec, amountOf: AmountOf): number {
  let sidecars = 0;
  let initPeak = 0;
  for (const container of spec.initContainers ?? []) {
    if (isSidecar(container)) sidecars += amountOf(container);
    initPeak = Math.max(initPeak, sidecars + (isSidecar(container) ? 0 : amountOf(container)));
  }
  const together = spec.containers.reduce((sum, container) => sum + amountOf(container), sidecars);
  return Math.max(together, initPeak);
}

/** What the scheduler counts for the pod: requests (limits where there are none) and overhead. */
export function podRequests(spec: PodSpec): ResourceAmounts {
  const requested = (name: string) => (container: Container) =>
    container.resources?.requests?.[name] ?? container.resources?.limits?.[name];
  const cpu = requested('cpu');
  const memory = requested('memory');
  return {
    cpuMillis:
      podAmount(spec, (container) => cpuMillisOf(cpu(container))) + cpuMillisOf(spec.overhead?.['cpu']),
    memoryBytes:
      podAmount(spec, (container) => bytesOf(memory(container))) + bytesOf(spec.overhead?.['memory']),
  };
}

/**
 * The size the pod's machine needs: the sum of limits plus overhead. 0 where no container says anything (the runtime's default then holds);
 * a container without a limit beside one that says something counts with its request: of memory at least a usual amount, and of CPU so that
 * the pod has at least a whole one.
 */
export function podSize(spec: PodSpec): ResourceAmounts {
  const all = [...(spec.initContainers ?? []), ...spec.containers];
  const says = (name: string): boolean =>
    all.some(({ resources }) => (resources?.limits?.[name] ?? resources?.requests?.[name]) !== undefined);
  const hasLimit = (container: Container, name: string): boolean =>
    container.resources?.limits?.[name] !== undefined;
  const memory = podAmount(spec, (container) => {
    const { limits, requests } = container.resources ?? {};
    return hasLimit(container, 'memory')
      ? bytesOf(limits?.['memory'])
      : Math.max(unlimitedMemoryBytes, bytesOf(requests?.['memory']));
  });
  const cpu = podAmount(spec, ({ resources }) =>
    cpuMillisOf(resources?.limits?.['cpu'] ?? resources?.requests?.['cpu']),
  );
  const limited = all.every((container) => hasLimit(container, 'cpu'));
  return {
    cpuMillis: says('cpu')
      ? (limited ? cpu : Math.max(unlimitedCpuMillis, cpu)) + cpuMillisOf(spec.overhead?.['cpu'])
      : 0,
    memoryBytes: says('memory') ? memory + bytesOf(spec.overhead?.['memory']) : 0,
  };
}

/** Quality of service class: Guaranteed, Burstable or BestEffort (Kubernetes documentation, "Pod Quality of Service Classes"). */
export function qosClassOf(spec: PodSpec): 'Guaranteed' | 'Burstable' | 'BestEffort' {
  const names = ['cpu', 'memory'] as const;
  let said = false;
  let guaranteed = true;
  for (const { resources } of [...(spec.initContainers ?? []), ...spec.containers]) {
    for (const name of names) {
      const limit = resources?.limits?.[name];
      const request = resources?.requests?.[name] ?? limit;
      if (request !== undefined && parseQuantity(request).nano > 0n) said = true;
      const same =
        limit !== undefined &&
        request !== undefined &&
        parseQuantity(limit).nano > 0n &&
        parseQuantity(limit).nano === parseQuantity(request).nano;
      if (!same) guaranteed = false;
    }
  }
  if (!said) return 'BestEffort';
  return guaranteed ? 'Guaranteed' : 'Burstable';
}
