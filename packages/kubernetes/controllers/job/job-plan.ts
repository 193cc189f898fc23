import type { JobCondition } from 'kubernetes-types/batch/v1';
import type { Job, Pod } from '../../client/index.ts';
import { formatTime } from '../machinery/conditions.ts';
import { isActive, isReady } from '../machinery/pods.ts';
import { rankForDeletion } from '../replicaset/replicaset-plan.ts';

const backoffLimitDefault = 6;
const backoffBaseMs = 10_000;
const backoffMaxMs = 360_000;

export interface JobPlan {
  readonly create: number;
  /** Completion indexes to make pods for (completionMode Indexed); as many as `create`. */
  readonly indexes: readonly number[];
  readonly remove: readonly Pod[];
  readonly status: NonNullable<Job['status']>;
  /** The event that tells the job's end. */
  readonly ended?: { readonly type: 'Normal' | 'Warning'; readonly reason: string; readonly message: string };
  readonly retryAfterMs?: number;
}

export const indexAnnotation = 'batch.kubernetes.io/job-completion-index';

/** Complete or failed: nothing more is to be done. */
export function isJobFinished({ status }: Job): boolean {
  return (
    status?.conditions?.some(
      ({ type, status: said }) => (type === 'Complete' || type === 'Failed') && said === 'True',
    ) === true
  );
}

function indexOf({ metadata }: Pod): number | undefined {
  const index = Number(metadata.annotations?.[indexAnnotation] ?? NaN);
  return Number.isInteger(index) ? index : undefined;
}

/** 0,1,2,4 as '0-2,4'. */
export function formatIndexes(indexes: readonly number[]): string {
  const parts: string[] = [];
  const sorted = indexes.toSorted((a, b) => a - b);
  for (let i = 0; i < sorted.length;) {
    let end = i;
    while (sorted[end + 1] === (sorted[end] ?? 0) + 1) end += 1;
    parts.push(
      end === i ? String(sorted[i]) : `${sorted[i] ?? 0}${end === i + 1 ? ',' : '-'}${sorted[end] ?? 0}`,
    );
    i = end + 1;
  }
  return parts.join(',');
}

function restarts(pods: readonly Pod[]): number {
  let count = 0;
  for (const pod of pods) {
    for (const { restartCount } of [
      ...(pod.status?.containerStatuses ?? []),
      ...(pod.status?.initContainerStatuses ?? []),
    ]) {
      count += restartCount;
    }
  }
  return count;
}

function finishedAt(pod: Pod): number {
  const times = (pod.status?.containerStatuses ?? []).map(({ state }) =>
    Date.parse(state?.terminated?.finishedAt ?? ''),
  );
  return Math.max(0, ...times.filter((time) => !Number.isNaN(time)));
}

function condition(type: string, reason: string, message: string, nowMs: number): JobCondition {
  const now = formatTime(nowMs);
  return { type, status: 'True', reason, message, lastProbeTime: now, lastTransitionTime: now };
}

function failureOf(
  job: Job,
  pods: readonly Pod[],
  failed: number,
  nowMs: number,
): readonly [reason: string, message: string] | undefined {
  const {
    backoffLimit = backoffLimitDefault,
    activeDeadlineSeconds,
    template,
  } = job.spec ?? { template: {} };
  const onFailure = template.spec?.restartPolicy === 'OnFailure';
  const failures = failed + (onFailure ? restarts(pods.filter(isActive)) : 0);
  if (failures > backoffLimit) return ['BackoffLimitExceeded', 'Job has reached the specified backoff limit'];
  const started = Date.parse(job.status?.startTime ?? '');
  if (activeDeadlineSeconds !== undefined && started + activeDeadlineSeconds * 1_000 <= nowMs) {
    return ['DeadlineExceeded', 'Job was active longer than specified deadline'];
  }
  return undefined;
}

/** What to do for a job that is not finished, and its status, given all its pods. */
export function planJob(job: Job, pods: readonly Pod[], nowMs: number): JobPlan {
  const { parallelism = 1, completions, completionMode, suspend } = job.spec ?? {};
  const active = pods.filter(isActive);
  const succeeded = pods.filter(({ status }) => status?.phase === 'Succeeded');
  const failedPods = pods.filter(({ status }) => status?.phase === 'Failed');
  const indexed = completionMode === 'Indexed';
  const doneIndexes = [...new Set(succeeded.map(indexOf).filter((index) => index !== undefined))];
  const done = indexed ? doneIndexes.length : succeeded.length;
  const others = (job.status?.conditions ?? []).filter(({ type }) => type !== 'Suspended');
  const status: NonNullable<Job['status']> = {
    ...(suspend === true ? {} : { startTime: job.status?.startTime ?? formatTime(nowMs) }),
    active: active.length,
    ready: active.filter(isReady).length,
    succeeded: done,
    failed: failedPods.length,
    ...(indexed ? { completedIndexes: formatIndexes(doneIndexes) } : {}),
    ...(others.length === 0 ? {} : { conditions: others }),
  };
  const plan = (more: Partial<JobPlan> = {}): JobPlan => ({
    create: 0,
    indexes: [],
    remove: [],
    status,
    ...more,
  });
  if (job.metadata.deletionTimestamp !== undefined) return plan();
  const failure = failureOf({ ...job, status }, pods, failedPods.length, nowMs);
  if (failure !== undefined) {
    const [reason, message] = failure;
    const conditions = [...others, condition('Failed', reason, message, nowMs)];
    return plan({
      remove: active,
      status: { ...status, active: 0, ready: 0, conditions },
      ended: { type: 'Warning', reason, message },
    });
  }
  // Without a number of completions one success is enough, and the pods that still run may end by themselves.
  const complete = completions === undefined ? done > 0 && active.length === 0 : done >= completions;
  if (complete) {
    const conditions = [
      ...others,
      condition('Complete', 'CompletionsReached', 'Reached expected number of succeeded pods', nowMs),
    ];
    return plan({
      remove: active,
      status: { ...status, active: 0, ready: 0, completionTime: formatTime(nowMs), conditions },
      ended: { type: 'Normal', reason: 'Completed', message: 'Job completed' },
    });
  }
  if (suspend === true) {
    const suspended = condition('Suspended', 'JobSuspended', 'Job suspended', nowMs);
    const known = job.status?.conditions?.find(({ type }) => type === 'Suspended');
    return plan({
      remove: active,
      status: { ...status, active: 0, ready: 0, conditions: [...others, known ?? suspended] },
    });
  }
  const wanted =
    completions === undefined
      ? done > 0
        ? active.length
        : parallelism
      : Math.min(parallelism, completions - done);
  if (active.length > wanted)
    return plan({ remove: rankForDeletion(active).slice(0, active.length - wanted) });
  if (active.length === wanted) return plan();
  // A failed pod's successor waits, longer with each failure.
  const lastFailure = Math.max(0, ...failedPods.map(finishedAt));
  const waitMs = Math.min(
    backoffMaxMs,
    backoffBaseMs * 2 ** Math.min(Math.max(0, failedPods.length - 1), 10),
  );
  if (failedPods.length > 0 && lastFailure + waitMs > nowMs)
    return plan({ retryAfterMs: lastFailure + waitMs - nowMs });
  const create = wanted - active.length;
  const taken = new Set([...doneIndexes, ...active.map(indexOf)]);
  const indexes: number[] = [];
  for (let index = 0; indexed && index < (completions ?? 0) && indexes.length < create; index++) {
    if (!taken.has(index)) indexes.push(index);
  }
  return plan({ create, indexes });
}
