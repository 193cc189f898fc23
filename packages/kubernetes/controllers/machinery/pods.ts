import type { Pod } from '../../client/index.ts';

/** Ran to its end, well or badly. */
export function isFinished(pod: Pod): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
}

/** Counts for a controller: not finished and not being deleted. */
export function isActive(pod: Pod): boolean {
  return !isFinished(pod) && pod.metadata.deletionTimestamp === undefined;
}

export function isReady(pod: Pod): boolean {
  return pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;
}

/** Since when it is ready, in milliseconds; undefined when it is not. */
export function readySince(pod: Pod): number | undefined {
  const condition = pod.status?.conditions?.find(({ type, status }) => type === 'Ready' && status === 'True');
  if (condition === undefined) return undefined;
  const since = Date.parse(condition.lastTransitionTime ?? '');
  return Number.isNaN(since) ? 0 : since;
}

/** Ready for at least minReadySeconds. */
export function isAvailable(pod: Pod, minReadySeconds: number, nowMs: number): boolean {
  const since = readySince(pod);
  return since !== undefined && (minReadySeconds === 0 || since + minReadySeconds * 1_000 <= nowMs);
}
