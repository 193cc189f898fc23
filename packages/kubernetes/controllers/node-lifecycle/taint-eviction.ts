import type { Taint } from 'kubernetes-types/core/v1';
import type { Pod } from '../../client/index.ts';
import { tolerates } from '../../scheduler/index.ts';

/** When the pod has to leave its node, in milliseconds since the epoch; undefined: not because of these taints. */
export function evictionTime(
  pod: Pod,
  taints: readonly Taint[] | undefined,
  nowMs: number,
): number | undefined {
  let earliest: number | undefined;
  for (const taint of taints ?? []) {
    if (taint.effect !== 'NoExecute') continue;
    const matching = (pod.spec?.tolerations ?? []).filter((toleration) => tolerates(toleration, taint));
    const since = taint.timeAdded === undefined ? nowMs : Date.parse(taint.timeAdded);
    let leaveAt = nowMs;
    if (matching.length > 0) {
      const limits = matching
        .map(({ tolerationSeconds }) => tolerationSeconds)
        .filter((limit) => limit !== undefined);
      if (limits.length === 0) continue;
      leaveAt = since + Math.max(0, Math.min(...limits)) * 1_000;
    }
    earliest = Math.min(earliest ?? Infinity, leaveAt);
  }
  return earliest;
}
