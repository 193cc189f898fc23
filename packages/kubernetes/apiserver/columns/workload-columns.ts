import type {
  ControllerRevision,
  DaemonSet,
  Deployment,
  ReplicaSet,
  StatefulSet,
} from 'kubernetes-types/apps/v1';
import type { CronJob, Job } from 'kubernetes-types/batch/v1';
import type { PodDisruptionBudget } from 'kubernetes-types/policy/v1';
import { formatDuration } from '../../api/index.ts';
import {
  ageColumn,
  ageOf,
  columnSet,
  containerColumns,
  formatLabels,
  formatSelector,
  nameColumn,
  none,
} from './column-set.ts';

const wide = { wide: true } as const;
const integer = { type: 'integer' } as const;

export const deploymentColumns = columnSet<Deployment>(
  nameColumn,
  ['Ready', ({ spec, status }) => `${status?.readyReplicas ?? 0}/${spec?.replicas ?? 1}`],
  ['Up-to-date', ({ status }) => status?.updatedReplicas ?? 0, integer],
  ['Available', ({ status }) => status?.availableReplicas ?? 0, integer],
  ageColumn,
  ...containerColumns<Deployment>(({ spec }) => spec?.template),
  ['Selector', ({ spec }) => formatSelector(spec?.selector), wide],
);

export const replicaSetColumns = columnSet<ReplicaSet>(
  nameColumn,
  ['Desired', ({ spec }) => spec?.replicas ?? 1, integer],
  ['Current', ({ status }) => status?.replicas ?? 0, integer],
  ['Ready', ({ status }) => status?.readyReplicas ?? 0, integer],
  ageColumn,
  ...containerColumns<ReplicaSet>(({ spec }) => spec?.template),
  ['Selector', ({ spec }) => formatSelector(spec?.selector), wide],
);

export const statefulSetColumns = columnSet<StatefulSet>(
  nameColumn,
  ['Ready', ({ spec, status }) => `${status?.readyReplicas ?? 0}/${spec?.replicas ?? 1}`],
  ageColumn,
  ...containerColumns<StatefulSet>(({ spec }) => spec?.template),
);

export const daemonSetColumns = columnSet<DaemonSet>(
  nameColumn,
  ['Desired', ({ status }) => status?.desiredNumberScheduled ?? 0, integer],
  ['Current', ({ status }) => status?.currentNumberScheduled ?? 0, integer],
  ['Ready', ({ status }) => status?.numberReady ?? 0, integer],
  ['Up-to-date', ({ status }) => status?.updatedNumberScheduled ?? 0, integer],
  ['Available', ({ status }) => status?.numberAvailable ?? 0, integer],
  ['Node Selector', ({ spec }) => formatLabels(spec?.template.spec?.nodeSelector)],
  ageColumn,
  ...containerColumns<DaemonSet>(({ spec }) => spec?.template),
  ['Selector', ({ spec }) => formatSelector(spec?.selector), wide],
);

export const controllerRevisionColumns = columnSet<ControllerRevision>(
  nameColumn,
  [
    'Controller',
    ({ metadata }) => {
      const owner = metadata?.ownerReferences?.find((reference) => reference.controller === true);
      if (owner === undefined) return none;
      const group = owner.apiVersion.includes('/') ? `.${owner.apiVersion.split('/')[0] ?? ''}` : '';
      return `${owner.kind.toLowerCase()}${group}/${owner.name}`;
    },
  ],
  ['Revision', ({ revision }) => revision, integer],
  ageColumn,
);

function jobStatus({ metadata, status }: Job): string {
  const isTrue = (type: string): boolean =>
    status?.conditions?.some((condition) => condition.type === type && condition.status === 'True') === true;
  if (isTrue('Complete')) return 'Complete';
  if (isTrue('Failed')) return 'Failed';
  if (metadata?.deletionTimestamp !== undefined) return 'Terminating';
  if (isTrue('Suspended')) return 'Suspended';
  return isTrue('FailureTarget')
    ? 'FailureTarget'
    : isTrue('SuccessCriteriaMet')
      ? 'SuccessCriteriaMet'
      : 'Running';
}

function jobCompletions({ spec, status }: Job): string {
  const done = status?.succeeded ?? 0;
  if (spec?.completions !== undefined) return `${done}/${spec.completions}`;
  return (spec?.parallelism ?? 1) > 1 ? `${done}/1 of ${spec?.parallelism ?? 1}` : `${done}/1`;
}

function jobDuration({ status }: Job, now: number): string {
  if (status?.startTime === undefined) return '';
  if (status.completionTime === undefined) return ageOf(status.startTime, now);
  return formatDuration(Date.parse(status.completionTime) - Date.parse(status.startTime));
}

export const jobColumns = columnSet<Job>(
  nameColumn,
  ['Status', jobStatus],
  ['Completions', jobCompletions],
  ['Duration', jobDuration],
  ageColumn,
  ...containerColumns<Job>(({ spec }) => spec?.template),
  ['Selector', ({ spec }) => formatSelector(spec?.selector), wide],
);

export const cronJobColumns = columnSet<CronJob>(
  nameColumn,
  ['Schedule', ({ spec }) => spec?.schedule ?? ''],
  ['Timezone', ({ spec }) => spec?.timeZone ?? none],
  ['Suspend', ({ spec }) => (spec?.suspend === true ? 'True' : 'False')],
  ['Active', ({ status }) => status?.active?.length ?? 0, integer],
  [
    'Last Schedule',
    ({ status }, now) =>
      status?.lastScheduleTime === undefined ? none : ageOf(status.lastScheduleTime, now),
  ],
  ageColumn,
  ...containerColumns<CronJob>(({ spec }) => spec?.jobTemplate.spec?.template),
  ['Selector', ({ spec }) => formatSelector(spec?.jobTemplate.spec?.selector), wide],
);

export const podDisruptionBudgetColumns = columnSet<PodDisruptionBudget>(
  nameColumn,
  ['Min Available', ({ spec }) => String(spec?.minAvailable ?? 'N/A')],
  ['Max Unavailable', ({ spec }) => String(spec?.maxUnavailable ?? 'N/A')],
  ['Allowed Disruptions', ({ status }) => status?.disruptionsAllowed ?? 0, integer],
  ageColumn,
);
