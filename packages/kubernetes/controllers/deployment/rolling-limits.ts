import type { Deployment } from '../../client/index.ts';

function resolve(value: string | number | undefined, total: number, round: (n: number) => number): number {
  if (value === undefined) return round(total * 0.25);
  if (typeof value === 'number') return value;
  const percent = /^(\d+)%$/.exec(value)?.[1];
  return percent === undefined ? 0 : round((total * Number(percent)) / 100);
}

/** How many pods above, and how many missing below, the wanted number a rollout may have. Never both zero: it could not move. */
export function rollingLimits({ spec }: Deployment): {
  readonly maxSurge: number;
  readonly maxUnavailable: number;
} {
  const desired = spec?.replicas ?? 1;
  if (spec?.strategy?.type === 'Recreate') return { maxSurge: 0, maxUnavailable: desired };
  const rolling = spec?.strategy?.rollingUpdate;
  const maxSurge = resolve(rolling?.maxSurge, desired, Math.ceil);
  const maxUnavailable = resolve(rolling?.maxUnavailable, desired, Math.floor);
  const standstill = maxSurge === 0 && maxUnavailable === 0;
  return {
    maxSurge,
    maxUnavailable: Math.min(standstill ? 1 : maxUnavailable, Math.max(desired, standstill ? 1 : 0)),
  };
}
