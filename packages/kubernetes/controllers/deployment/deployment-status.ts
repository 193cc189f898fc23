import type { DeploymentCondition, DeploymentStatus } from 'kubernetes-types/apps/v1';
import type { Deployment, ReplicaSet } from '../../client/index.ts';
import { findCondition, formatTime } from '../machinery/conditions.ts';
import { splitReplicaSets } from './deployment-plan.ts';
import { rollingLimits } from './rolling-limits.ts';

const noDeadlineS = 2_147_483_647;

function setCondition(
  conditions: readonly DeploymentCondition[],
  wanted: Pick<DeploymentCondition, 'type' | 'status' | 'reason' | 'message'>,
  nowMs: number,
): DeploymentCondition[] {
  const old = findCondition(conditions, wanted.type);
  const now = formatTime(nowMs);
  const same = old?.status === wanted.status && old.reason === wanted.reason;
  const condition: DeploymentCondition = {
    ...wanted,
    lastUpdateTime: same ? (old.lastUpdateTime ?? now) : now,
    lastTransitionTime: old?.status === wanted.status ? (old.lastTransitionTime ?? now) : now,
  };
  return [...conditions.filter(({ type }) => type !== wanted.type), condition];
}

type Counts = Required<
  Pick<
    DeploymentStatus,
    'replicas' | 'updatedReplicas' | 'readyReplicas' | 'availableReplicas' | 'unavailableReplicas'
  >
>;

function count(replicaSets: readonly ReplicaSet[], current: ReplicaSet | undefined): Counts {
  const sum = (of: (replicaSet: ReplicaSet) => number | undefined): number =>
    replicaSets.reduce((total, replicaSet) => total + (of(replicaSet) ?? 0), 0);
  const availableReplicas = sum(({ status }) => status?.availableReplicas);
  return {
    replicas: sum(({ status }) => status?.replicas),
    updatedReplicas: current?.status?.replicas ?? 0,
    readyReplicas: sum(({ status }) => status?.readyReplicas),
    availableReplicas,
    unavailableReplicas: Math.max(0, sum(({ spec }) => spec?.replicas) - availableReplicas),
  };
}

function progressingCondition(
  deployment: Deployment,
  current: ReplicaSet | undefined,
  counts: Counts,
  nowMs: number,
): Pick<DeploymentCondition, 'type' | 'status' | 'reason' | 'message'> | undefined {
  const type = 'Progressing';
  const known = findCondition(deployment.status?.conditions, type);
  const desired = deployment.spec?.replicas ?? 1;
  const deadlineS = deployment.spec?.progressDeadlineSeconds ?? noDeadlineS;
  const about =
    current === undefined
      ? `Deployment "${deployment.metadata.name}"`
      : `ReplicaSet "${current.metadata.name}"`;
  if (deployment.spec?.paused === true) {
    return { type, status: 'Unknown', reason: 'DeploymentPaused', message: 'Deployment is paused' };
  }
  if (known?.reason === 'DeploymentPaused') {
    return { type, status: 'Unknown', reason: 'DeploymentResumed', message: 'Deployment is resumed' };
  }
  const complete =
    current !== undefined &&
    counts.updatedReplicas === desired &&
    counts.replicas === desired &&
    counts.availableReplicas === desired;
  if (complete) {
    return {
      type,
      status: 'True',
      reason: 'NewReplicaSetAvailable',
      message: `${about} has successfully progressed.`,
    };
  }
  const before = deployment.status ?? {};
  const oldBefore = (before.replicas ?? 0) - (before.updatedReplicas ?? 0);
  const moved =
    counts.updatedReplicas > (before.updatedReplicas ?? 0) ||
    counts.replicas - counts.updatedReplicas < oldBefore ||
    counts.readyReplicas > (before.readyReplicas ?? 0) ||
    counts.availableReplicas > (before.availableReplicas ?? 0);
  if (
    known === undefined ||
    moved ||
    (known.reason === 'NewReplicaSetAvailable' && counts.updatedReplicas < desired)
  ) {
    const created = known === undefined && current !== undefined;
    return {
      type,
      status: 'True',
      reason: created ? 'NewReplicaSetCreated' : 'ReplicaSetUpdated',
      message: created ? `Created new replica set "${current.metadata.name}"` : `${about} is progressing.`,
    };
  }
  const since = Date.parse(known.lastUpdateTime ?? '');
  const waits = known.reason !== 'NewReplicaSetAvailable' && deadlineS < noDeadlineS;
  if (waits && since + deadlineS * 1_000 < nowMs) {
    return {
      type,
      status: 'False',
      reason: 'ProgressDeadlineExceeded',
      message: `${about} has timed out progressing.`,
    };
  }
  return undefined;
}

/** The deployment with the status its ReplicaSets give it. */
export function withDeploymentStatus(
  deployment: Deployment,
  replicaSets: readonly ReplicaSet[],
  nowMs: number,
): Deployment {
  const { current } = splitReplicaSets(deployment, replicaSets);
  const counts = count(replicaSets, current);
  const desired = deployment.spec?.replicas ?? 1;
  const available = counts.availableReplicas >= desired - rollingLimits(deployment).maxUnavailable;
  let conditions = setCondition(
    deployment.status?.conditions ?? [],
    {
      type: 'Available',
      status: available ? 'True' : 'False',
      reason: available ? 'MinimumReplicasAvailable' : 'MinimumReplicasUnavailable',
      message: `Deployment ${available ? 'has' : 'does not have'} minimum availability.`,
    },
    nowMs,
  );
  const progressing = progressingCondition(deployment, current, counts, nowMs);
  if (progressing !== undefined) {
    const moved = progressing.reason === 'ReplicaSetUpdated';
    conditions = setCondition(conditions, progressing, nowMs);
    // Each step forward starts the deadline anew.
    if (moved) {
      conditions = conditions.map((each) =>
        each.type === 'Progressing' ? { ...each, lastUpdateTime: formatTime(nowMs) } : each,
      );
    }
  }
  const failing = [current, ...replicaSets]
    .map((replicaSet) => findCondition(replicaSet?.status?.conditions, 'ReplicaFailure'))
    .find((condition) => condition?.status === 'True');
  conditions = conditions.filter(({ type }) => failing !== undefined || type !== 'ReplicaFailure');
  if (failing !== undefined) {
    const { status, reason = '', message = '' } = failing;
    conditions = setCondition(conditions, { type: 'ReplicaFailure', status, reason, message }, nowMs);
  }
  const { collisionCount } = deployment.status ?? {};
  const { generation } = deployment.metadata;
  return {
    ...deployment,
    status: {
      ...counts,
      conditions,
      ...(generation === undefined ? {} : { observedGeneration: generation }),
      ...(collisionCount === undefined ? {} : { collisionCount }),
    },
  };
}

/** When to look again although nothing happened: the progress deadline. */
export function progressDeadlineMs(deployment: Deployment, nowMs: number): number | undefined {
  const known = findCondition(deployment.status?.conditions, 'Progressing');
  const deadlineS = deployment.spec?.progressDeadlineSeconds ?? noDeadlineS;
  const waits =
    known?.status === 'True' && known.reason !== 'NewReplicaSetAvailable' && deadlineS < noDeadlineS;
  if (!waits) return undefined;
  return Math.max(1_000, Date.parse(known.lastUpdateTime ?? '') + deadlineS * 1_000 - nowMs + 1_000);
}
