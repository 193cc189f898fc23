import type { RuntimeContainer } from '../runtime/pod-runtime.ts';

const firstDelayS = 10;
const delayMaxS = 300;
/** A container that ran this long before it died starts over with no delay. */
const healthyAfterMs = 10 * 60_000;

function ranWell(container: RuntimeContainer): boolean {
  return container.startedAtMs > 0 && container.finishedAtMs - container.startedAtMs > healthyAfterMs;
}

/** Seconds between this container's end and the start of its next attempt: none, 10, 20, 40 ... 300. */
export function restartDelayS(exited: RuntimeContainer): number {
  return ranWell(exited) ? 0 : exited.restartDelayS;
}

/** What to write on the next attempt: the delay that holds when that one dies early too. */
export function nextRestartDelayS(exited: RuntimeContainer | undefined): number {
  if (exited === undefined) return 0;
  if (ranWell(exited) || exited.restartDelayS === 0) return firstDelayS;
  return Math.min(delayMaxS, exited.restartDelayS * 2);
}
