import { isPlatformError } from '@hypernetes/foundation/errors';
import { parseKey, resources, updateStatusWithRetry, type Job, type Pod } from '../../client/index.ts';
import { createQueue, type Controller, type ControllerContext } from '../machinery/controller.ts';
import { wakeOwnersOfPods } from '../machinery/owned-pods.ts';
import { claimObjects, planOwnership } from '../machinery/pod-ownership.ts';
import { PodWriter, podFromTemplate } from '../machinery/pod-writer.ts';
import { isActive } from '../machinery/pods.ts';
import { UnseenChanges } from '../machinery/unseen-changes.ts';
import { indexAnnotation, isJobFinished, planJob } from './job-plan.ts';

/**
 * Runs Jobs to their completion. Pods that finished are counted as long as they exist: a finished pod of an unfinished job that somebody deletes
 * is run again.
 */
export function startJobController(context: ControllerContext): Controller {
  const { client, informers, clock } = context;
  const jobs = informers.of<Job>(resources.jobs);
  const pods = informers.of<Pod>(resources.pods);
  const unseen = new UnseenChanges(clock);
  const events = context.recorder('job-controller');
  const ownerResource = resources.jobs;
  const writer = new PodWriter({ client, events, unseen, ownerResource });
  const queue = createQueue(context, 'job', async (key) => {
    const job = jobs.get(key);
    if (job?.spec === undefined) {
      unseen.forgetOwner(key);
      return undefined;
    }
    if (isJobFinished(job)) return await expire(job);
    const candidates = pods.byIndex('namespace', job.metadata.namespace ?? '');
    const ownership = planOwnership(job, job.spec.selector ?? { matchLabels: ownLabels(job) }, candidates);
    const owned = await claimObjects(client, ownerResource, job, resources.pods, ownership);
    const known = new Set(owned.map(({ metadata }) => metadata.uid ?? ''));
    const alive = new Set(owned.filter(isActive).map(({ metadata }) => metadata.uid ?? ''));
    if (!unseen.settled(key, known, alive)) return { requeueAfterMs: 5_000 };
    const plan = planJob(job, owned, clock.now());
    const { template } = job.spec;
    const made = Array.from({ length: plan.create }, (_, i) =>
      jobPod(job, podFromTemplate(template, ownerResource, job), plan.indexes[i]),
    );
    const failure = (await writer.create(job, made)) ?? (await writer.delete(job, plan.remove));
    try {
      await updateStatusWithRetry<Job>(client, ownerResource, parseKey(key), (current) =>
        current.metadata.uid === job.metadata.uid && !isJobFinished(current)
          ? { ...current, status: plan.status }
          : undefined,
      );
    } catch (error) {
      if (isPlatformError(error, 'NotFound')) return undefined;
      throw error;
    }
    if (plan.ended !== undefined) {
      const about = { apiVersion: 'batch/v1', kind: 'Job', metadata: job.metadata };
      events.event(about, plan.ended.type, plan.ended.reason, plan.ended.message);
    }
    if (failure !== undefined) return { requeueAfterMs: 5_000 };
    const deadlineMs = untilDeadline(job, clock.now());
    const waits = [plan.retryAfterMs, deadlineMs].filter((ms) => ms !== undefined);
    return waits.length === 0 ? undefined : { requeueAfterMs: Math.min(...waits) };
  });
  /** ttlSecondsAfterFinished. */
  const expire = async (job: Job): Promise<{ requeueAfterMs: number } | undefined> => {
    const ttl = job.spec?.ttlSecondsAfterFinished;
    if (ttl === undefined || job.metadata.deletionTimestamp !== undefined) return undefined;
    const ended = job.status?.conditions?.find(({ type }) => type === 'Complete' || type === 'Failed');
    const dueMs = Date.parse(ended?.lastTransitionTime ?? '') + ttl * 1_000 - clock.now();
    if (dueMs > 0) return { requeueAfterMs: dueMs };
    const { uid } = job.metadata;
    await client
      .delete(ownerResource, job.metadata, {
        propagationPolicy: 'Foreground',
        ...(uid === undefined ? {} : { uid }),
      })
      .catch((error: unknown) => {
        if (!isPlatformError(error, 'NotFound')) throw error;
      });
    return undefined;
  };
  jobs.onChange(({ key }) => queue.add(key));
  wakeOwnersOfPods(context, jobs, ownerResource.kind, unseen, (key) => queue.add(key));
  return queue;
}

/** The labels by which a job knows its pods, when its author chose no selector. */
function ownLabels({ metadata }: Job): Record<string, string> {
  return {
    'batch.kubernetes.io/controller-uid': metadata.uid ?? '',
    'batch.kubernetes.io/job-name': metadata.name,
  };
}

function jobPod(job: Job, template: Pod, index: number | undefined): Pod {
  const labels = job.spec?.manualSelector === true ? {} : ownLabels(job);
  const pod = {
    ...template,
    metadata: { ...template.metadata, labels: { ...template.metadata.labels, ...labels } },
  };
  if (index === undefined || pod.spec === undefined) return pod;
  const value = String(index);
  const env = { name: 'JOB_COMPLETION_INDEX', value };
  return {
    ...pod,
    metadata: {
      ...pod.metadata,
      annotations: { ...pod.metadata.annotations, [indexAnnotation]: value },
      labels: { ...pod.metadata.labels, [indexAnnotation]: value },
    },
    spec: {
      ...pod.spec,
      containers: pod.spec.containers.map((each) => ({ ...each, env: [...(each.env ?? []), env] })),
    },
  };
}

function untilDeadline({ spec, status }: Job, nowMs: number): number | undefined {
  if (spec?.activeDeadlineSeconds === undefined) return undefined;
  const started = status?.startTime === undefined ? nowMs : Date.parse(status.startTime);
  return Math.max(100, started + spec.activeDeadlineSeconds * 1_000 - nowMs);
}
