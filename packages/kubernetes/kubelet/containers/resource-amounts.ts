import { parseQuantity, quantityToMilli, quantityToNumber } from '../../api/index.ts';
import { isSidecar, type Container, type PodSpec } from '../kube-types.ts';

export interface ResourceAmounts {
  readonly cpuMillis: number;
  readonly memoryBytes: number;
}

/** What a container without a memory limit is counted with when others of its pod have one. */
const unlimitedMemoryBytes = 128 << 20;
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
 * a container that says nothing beside one that does counts with its request, at least with a usual amount.
 */
export function podSize(spec: PodSpec): ResourceAmounts {
  const all = [...(spec.initContainers ?? []), ...spec.containers];
  const size = (name: string, toNumber: (quantity: string | undefined) => number, usual: number): number => {
    const saysNothing = all.every(
      ({ resources }) => resources?.limits?.[name] === undefined && resources?.requests?.[name] === undefined,
    );
    if (saysNothing) return 0;
    const amount = podAmount(spec, ({ resources }) => {
      const limit = resources?.limits?.[name];
      return limit === undefined ? Math.max(usual, toNumber(resources?.requests?.[name])) : toNumber(limit);
    });
    return amount + toNumber(spec.overhead?.[name]);
  };
  return {
    cpuMillis: size('cpu', cpuMillisOf, unlimitedCpuMillis),
    memoryBytes: size('memory', bytesOf, unlimitedMemoryBytes),
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
