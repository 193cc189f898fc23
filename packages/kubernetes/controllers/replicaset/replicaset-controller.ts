import { isPlatformError } from '@hypernetes/foundation/errors';
import { parseKey, resources, updateStatusWithRetry, type Pod, type ReplicaSet } from '../../client/index.ts';
import { createQueue, type Controller, type ControllerContext } from '../machinery/controller.ts';
import { wakeOwnersOfPods } from '../machinery/owned-pods.ts';
import { claimObjects, planOwnership } from '../machinery/pod-ownership.ts';
import { PodWriter, podFromTemplate } from '../machinery/pod-writer.ts';
import { isActive, isReady } from '../machinery/pods.ts';
import { UnseenChanges } from '../machinery/unseen-changes.ts';
import { planReplicas, withReplicaStatus } from './replicaset-plan.ts';

/** Keeps as many pods of each ReplicaSet as it wants. */
export function startReplicaSetController(context: ControllerContext): Controller {
  const { client, informers, clock } = context;
  const replicaSets = informers.of<ReplicaSet>(resources.replicaSets);
  const pods = informers.of<Pod>(resources.pods);
  const unseen = new UnseenChanges(clock);
  const ownerResource = resources.replicaSets;
  const writer = new PodWriter({
    client,
    unseen,
    ownerResource,
    events: context.recorder('replicaset-controller'),
  });
  const queue = createQueue(context, 'replicaset', async (key) => {
    const replicaSet = replicaSets.get(key);
    if (replicaSet?.spec === undefined) {
      unseen.forgetOwner(key);
      return undefined;
    }
    const candidates = pods.byIndex('namespace', replicaSet.metadata.namespace ?? '');
    const ownership = planOwnership(replicaSet, replicaSet.spec.selector, candidates);
    const owned = await claimObjects(client, ownerResource, replicaSet, resources.pods, ownership);
    const known = new Set(owned.map(({ metadata }) => metadata.uid ?? ''));
    const alive = new Set(owned.filter(isActive).map(({ metadata }) => metadata.uid ?? ''));
    const settled = unseen.settled(key, known, alive);
    let failure: { reason: string; message: string } | undefined;
    if (settled) {
      const plan = planReplicas(replicaSet, owned);
      const { template = {} } = replicaSet.spec;
      const made = Array.from({ length: plan.create }, () =>
        podFromTemplate(template, ownerResource, replicaSet),
      );
      const createError = await writer.create(replicaSet, made);
      const deleteError = await writer.delete(replicaSet, plan.remove);
      if (createError !== undefined) failure = { reason: 'FailedCreate', message: createError.message };
      else if (deleteError !== undefined) failure = { reason: 'FailedDelete', message: deleteError.message };
    }
    const nowMs = clock.now();
    try {
      await updateStatusWithRetry<ReplicaSet>(client, ownerResource, parseKey(key), (current) =>
        current.metadata.uid === replicaSet.metadata.uid
          ? withReplicaStatus(observedAs(current, replicaSet), owned, failure, nowMs)
          : undefined,
      );
    } catch (error) {
      if (!isPlatformError(error, 'NotFound')) throw error;
    }
    // A refused pod may be allowed later (a quota, a namespace not ready): come again without anything having changed.
    if (failure !== undefined) return { requeueAfterMs: 5_000 };
    if (!settled) return { requeueAfterMs: 5_000 };
    const waiting = (replicaSet.spec.minReadySeconds ?? 0) > 0 && owned.some(isReady);
    return waiting && !allAvailable(replicaSet, owned, nowMs) ? { requeueAfterMs: 1_000 } : undefined;
  });
  replicaSets.onChange(({ key }) => queue.add(key));
  wakeOwnersOfPods(context, replicaSets, ownerResource.kind, unseen, (key) => queue.add(key));
  return queue;
}

/** The status must not claim to have observed a generation newer than the one worked from. */
function observedAs(current: ReplicaSet, worked: ReplicaSet): ReplicaSet {
  const { generation: _newer, ...metadata } = current.metadata;
  const { generation } = worked.metadata;
  return { ...current, metadata: { ...metadata, ...(generation === undefined ? {} : { generation }) } };
}

function allAvailable(replicaSet: ReplicaSet, owned: readonly Pod[], nowMs: number): boolean {
  const { status } = withReplicaStatus(replicaSet, owned, undefined, nowMs);
  return status?.availableReplicas === status?.readyReplicas;
}
