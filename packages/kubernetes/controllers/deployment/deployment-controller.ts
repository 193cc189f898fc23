import { isPlatformError } from '@hypernetes/foundation/errors';
import { matchesLabelSelector } from '../../api/index.ts';
import {
  keyOf,
  parseKey,
  resources,
  updateStatusWithRetry,
  type Deployment,
  type EventRecorder,
  type Informer,
  type Pod,
  type ReplicaSet,
} from '../../client/index.ts';
import { createQueue, type Controller, type ControllerContext } from '../machinery/controller.ts';
import { claimObjects, controllerOf, planOwnership } from '../machinery/pod-ownership.ts';
import { isFinished } from '../machinery/pods.ts';
import { UnseenChanges } from '../machinery/unseen-changes.ts';
import {
  planDeployment,
  revisionAnnotation,
  splitReplicaSets,
  type DeploymentPlan,
} from './deployment-plan.ts';
import { progressDeadlineMs, withDeploymentStatus } from './deployment-status.ts';
import { sameTemplate } from './template-hash.ts';

/** Rolls Deployments out through ReplicaSets. */
export function startDeploymentController(context: ControllerContext): Controller {
  return new DeploymentController(context);
}

class DeploymentController implements AsyncDisposable {
  readonly #context: ControllerContext;
  readonly #events: EventRecorder;
  readonly #deployments: Informer<Deployment>;
  readonly #replicaSets: Informer<ReplicaSet>;
  readonly #pods: Informer<Pod>;
  readonly #unseen: UnseenChanges;
  readonly #queue: ReturnType<typeof createQueue>;

  constructor(context: ControllerContext) {
    const { informers } = context;
    this.#context = context;
    this.#events = context.recorder('deployment-controller');
    this.#deployments = informers.of<Deployment>(resources.deployments);
    this.#replicaSets = informers.of<ReplicaSet>(resources.replicaSets);
    this.#pods = informers.of<Pod>(resources.pods);
    this.#unseen = new UnseenChanges(context.clock);
    this.#queue = createQueue(context, 'deployment', (key) => this.#reconcile(key));
    this.#deployments.onChange(({ key }) => this.#queue.add(key));
    this.#replicaSets.onChange(({ old, current }) => {
      for (const replicaSet of [old, current]) if (replicaSet !== undefined) this.#wakeOwner(replicaSet);
    });
    // Recreate waits for the last old pod to be gone.
    this.#pods.onChange(({ old, current }) => {
      if (old === undefined || (current !== undefined && !isFinished(current))) return;
      const controller = controllerOf(old);
      if (controller?.kind !== 'ReplicaSet') return;
      const replicaSet = this.#replicaSets.get(`${old.metadata.namespace ?? ''}/${controller.name}`);
      if (replicaSet !== undefined) this.#wakeOwner(replicaSet);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#queue[Symbol.asyncDispose]();
  }

  #wakeOwner(replicaSet: ReplicaSet): void {
    const namespace = replicaSet.metadata.namespace ?? '';
    const controller = controllerOf(replicaSet);
    if (controller?.kind === 'Deployment') {
      this.#queue.add(`${namespace}/${controller.name}`);
      return;
    }
    if (controller !== undefined) return;
    for (const deployment of this.#deployments.byIndex('namespace', namespace)) {
      if (matchesLabelSelector(deployment.spec?.selector, replicaSet.metadata.labels)) {
        this.#queue.add(keyOf(deployment));
      }
    }
  }

  async #reconcile(key: string): Promise<{ requeueAfterMs: number } | undefined> {
    const { client, clock } = this.#context;
    const deployment = this.#deployments.get(key);
    if (deployment?.spec === undefined) {
      this.#unseen.forgetOwner(key);
      return undefined;
    }
    const candidates = this.#replicaSets.byIndex('namespace', deployment.metadata.namespace ?? '');
    const ownership = planOwnership(deployment, deployment.spec.selector, candidates);
    const owned = await claimObjects(
      client,
      resources.deployments,
      deployment,
      resources.replicaSets,
      ownership,
    );
    const uids = new Set(owned.map(({ metadata }) => metadata.uid ?? ''));
    const alive = owned.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    const aliveUids = new Set(alive.map(({ metadata }) => metadata.uid ?? ''));
    if (!this.#unseen.settled(key, uids, aliveUids)) return { requeueAfterMs: 5_000 };
    const plan = planDeployment(deployment, owned, this.#oldPodsRun(deployment, owned));
    await this.#apply(deployment, plan);
    let written: Deployment;
    try {
      written = await updateStatusWithRetry<Deployment>(
        client,
        resources.deployments,
        parseKey(key),
        (current) => {
          // A newer generation gets its status from the next round, which works from it.
          const observed = current.metadata.generation === deployment.metadata.generation;
          const same = current.metadata.uid === deployment.metadata.uid;
          return same && observed ? withDeploymentStatus(current, owned, clock.now()) : undefined;
        },
      );
    } catch (error) {
      if (isPlatformError(error, 'NotFound')) return undefined;
      throw error;
    }
    const again = progressDeadlineMs(written, clock.now());
    return again === undefined ? undefined : { requeueAfterMs: again };
  }

  #oldPodsRun(deployment: Deployment, replicaSets: readonly ReplicaSet[]): boolean {
    const { old } = splitReplicaSets(deployment, replicaSets);
    return old.some(({ metadata }) =>
      this.#pods.byIndex('controller', metadata.uid ?? '').some((pod) => !isFinished(pod)),
    );
  }

  async #apply(deployment: Deployment, plan: DeploymentPlan): Promise<void> {
    const { client } = this.#context;
    const key = keyOf(deployment);
    const { revision } = plan;
    if (revision !== undefined && deployment.metadata.annotations?.[revisionAnnotation] !== revision) {
      await client.patch(resources.deployments, deployment.metadata, 'merge', {
        metadata: { uid: deployment.metadata.uid, annotations: { [revisionAnnotation]: revision } },
      });
    }
    for (const replicaSet of plan.update) await client.update(resources.replicaSets, replicaSet);
    if (plan.create !== undefined) await this.#create(deployment, plan.create);
    for (const message of plan.events) {
      this.#events.event(
        { apiVersion: 'apps/v1', kind: 'Deployment', metadata: deployment.metadata },
        'Normal',
        'ScalingReplicaSet',
        message,
      );
    }
    for (const { metadata } of plan.remove) {
      try {
        await client.delete(
          resources.replicaSets,
          metadata,
          metadata.uid === undefined ? {} : { uid: metadata.uid },
        );
        this.#unseen.deleted(key, metadata.uid);
      } catch (error) {
        if (!isPlatformError(error, 'NotFound')) throw error;
      }
    }
  }

  async #create(deployment: Deployment, wanted: ReplicaSet): Promise<void> {
    const { client } = this.#context;
    try {
      const made = await client.create(resources.replicaSets, wanted);
      this.#unseen.created(keyOf(deployment), made.metadata.uid);
    } catch (error) {
      if (!isPlatformError(error, 'AlreadyExists')) throw error;
      const there = await client.get<ReplicaSet>(resources.replicaSets, wanted.metadata);
      const ours = controllerOf(there)?.uid === deployment.metadata.uid;
      if (ours && sameTemplate(there.spec?.template, wanted.spec?.template)) return;
      // Another template with the same short name: count it, and the next hash is another.
      await updateStatusWithRetry<Deployment>(
        client,
        resources.deployments,
        deployment.metadata,
        (current) => ({
          ...current,
          status: { ...current.status, collisionCount: (deployment.status?.collisionCount ?? 0) + 1 },
        }),
      );
      throw error;
    }
  }
}
