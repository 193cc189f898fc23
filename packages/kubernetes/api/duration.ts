const secondMs = 1_000;
const minuteMs = 60 * secondMs;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;
const yearMs = 365 * dayMs;

interface Step {
  /** Durations below this one are printed so. */
  readonly belowMs: number;
  readonly unit: readonly [size: number, suffix: string];
  readonly rest?: readonly [size: number, suffix: string];
}

const second = [secondMs, 's'] as const;
const minute = [minuteMs, 'm'] as const;
const hour = [hourMs, 'h'] as const;
const day = [dayMs, 'd'] as const;
const year = [yearMs, 'y'] as const;

const steps: readonly Step[] = [
  { belowMs: 2 * minuteMs, unit: second },
  { belowMs: 10 * minuteMs, unit: minute, rest: second },
  { belowMs: 3 * hourMs, unit: minute },
  { belowMs: 8 * hourMs, unit: hour, rest: minute },
  { belowMs: 2 * dayMs, unit: hour },
  { belowMs: 8 * dayMs, unit: day, rest: hour },
  { belowMs: 2 * yearMs, unit: day },
  { belowMs: 8 * yearMs, unit: year, rest: day },
  { belowMs: Infinity, unit: year },
];

/** Age as kubectl prints it: `45s`, `3m12s`, `125m`, `5h`, `2d3h`, `400d`, `3y`. Negative: `<invalid>`. */
export function formatDuration(durationMs: number): string {
  // Clocks of client and server differ a little: up to a second in the future is now.
  if (durationMs < -secondMs || Number.isNaN(durationMs)) return '<invalid>';
  if (durationMs < secondMs) return '0s';
  const step = steps.find((each) => durationMs < each.belowMs);
  if (step === undefined) return '<invalid>';
  const whole = `${Math.floor(durationMs / step.unit[0])}${step.unit[1]}`;
  if (step.rest === undefined) return whole;
  const rest = Math.floor((durationMs % step.unit[0]) / step.rest[0]);
  return rest === 0 ? whole : `${whole}${rest}${step.rest[1]}`;
}

/** The age of something created at an RFC 3339 time; `<unknown>` without one. */
export function formatAge(timestamp: string | undefined, nowMs: number): string {
  const atMs = timestamp === undefined ? NaN : Date.parse(timestamp);
  return Number.isNaN(atMs) ? '<unknown>' : formatDuration(nowMs - atMs);
}
