import type { Condition, Pod, ReplicaSet } from '../../client/index.ts';
import { formatTime } from '../machinery/conditions.ts';
import { isActive, isAvailable, isReady, readySince } from '../machinery/pods.ts';

export interface ReplicaPlan {
  readonly create: number;
  readonly remove: readonly Pod[];
}

const phaseRank: Readonly<Record<string, number>> = { Pending: 0, Unknown: 1, Running: 2 };

function restartsOf(pod: Pod): number {
  return Math.max(0, ...(pod.status?.containerStatuses ?? []).map(({ restartCount }) => restartCount));
}

function costOf({ metadata }: Pod): number {
  const cost = Number(metadata.annotations?.['controller.kubernetes.io/pod-deletion-cost'] ?? '0');
  return Number.isFinite(cost) ? cost : 0;
}

/**
 * Which pods to take first when there are too many: not on a node, not running, not ready, cheap, crowded, ready for the shortest time, restarted
 * most, youngest (ReplicaSet documentation, "Scaling").
 */
export function rankForDeletion(pods: readonly Pod[]): Pod[] {
  const perNode = new Map<string, number>();
  for (const pod of pods) {
    const node = pod.spec?.nodeName ?? '';
    perNode.set(node, (perNode.get(node) ?? 0) + 1);
  }
  const rank = (pod: Pod): readonly number[] => [
    (pod.spec?.nodeName ?? '') === '' ? 0 : 1,
    phaseRank[pod.status?.phase ?? 'Pending'] ?? 1,
    isReady(pod) ? 1 : 0,
    costOf(pod),
    -(perNode.get(pod.spec?.nodeName ?? '') ?? 0),
    -(readySince(pod) ?? 0),
    -restartsOf(pod),
    -Date.parse(pod.metadata.creationTimestamp ?? '1970-01-01T00:00:00Z'),
  ];
  const ranked = pods.map((pod) => ({ pod, rank: rank(pod) }));
  ranked.sort((a, b) => {
    for (let i = 0; i < a.rank.length; i++) {
      const difference = (a.rank[i] ?? 0) - (b.rank[i] ?? 0);
      if (difference !== 0) return difference;
    }
    return a.pod.metadata.name < b.pod.metadata.name ? -1 : 1;
  });
  return ranked.map(({ pod }) => pod);
}

/** How many pods to make, or which to delete. */
export function planReplicas(replicaSet: ReplicaSet, owned: readonly Pod[]): ReplicaPlan {
  if (replicaSet.metadata.deletionTimestamp !== undefined) return { create: 0, remove: [] };
  const active = owned.filter(isActive);
  const surplus = active.length - (replicaSet.spec?.replicas ?? 1);
  return surplus <= 0
    ? { create: -surplus, remove: [] }
    : { create: 0, remove: rankForDeletion(active).slice(0, surplus) };
}

/** The ReplicaSet with the status its pods give it; `failure` is what making or deleting pods met with. */
export function withReplicaStatus(
  replicaSet: ReplicaSet,
  owned: readonly Pod[],
  failure: { readonly reason: string; readonly message: string } | undefined,
  nowMs: number,
): ReplicaSet {
  const active = owned.filter(isActive);
  const labels = Object.entries(replicaSet.spec?.template?.metadata?.labels ?? {});
  const minReadySeconds = replicaSet.spec?.minReadySeconds ?? 0;
  const { conditions: known, ...status } = replicaSet.status ?? { replicas: 0 };
  const others = (known ?? []).filter(({ type }) => type !== 'ReplicaFailure');
  const old = (known as Condition[] | undefined)?.find(({ type }) => type === 'ReplicaFailure');
  const conditions =
    failure === undefined
      ? others
      : [
          ...others,
          {
            type: 'ReplicaFailure',
            status: 'True',
            reason: failure.reason,
            message: failure.message,
            lastTransitionTime: old?.lastTransitionTime ?? formatTime(nowMs),
          },
        ];
  return {
    ...replicaSet,
    status: {
      ...status,
      replicas: active.length,
      fullyLabeledReplicas: active.filter(({ metadata }) =>
        labels.every(([key, value]) => metadata.labels?.[key] === value),
      ).length,
      readyReplicas: active.filter(isReady).length,
      availableReplicas: active.filter((pod) => isAvailable(pod, minReadySeconds, nowMs)).length,
      ...(replicaSet.metadata.generation === undefined
        ? {}
        : { observedGeneration: replicaSet.metadata.generation }),
      ...(conditions.length === 0 ? {} : { conditions }),
    },
  };
}
