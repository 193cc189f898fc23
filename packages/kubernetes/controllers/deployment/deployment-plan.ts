import type { Deployment, ReplicaSet } from '../../client/index.ts';
import { resources } from '../../client/index.ts';
import { controllerReference } from '../machinery/pod-ownership.ts';
import { rollingLimits } from './rolling-limits.ts';
import { hashLabel, sameTemplate, templateHash } from './template-hash.ts';

export const revisionAnnotation = 'deployment.kubernetes.io/revision';
const desiredAnnotation = 'deployment.kubernetes.io/desired-replicas';
const maxAnnotation = 'deployment.kubernetes.io/max-replicas';
const lastAppliedAnnotation = 'kubectl.kubernetes.io/last-applied-configuration';
const ownAnnotations = new Set([revisionAnnotation, desiredAnnotation, maxAnnotation, lastAppliedAnnotation]);
const historyLimitDefault = 10;

/** One step of a deployment towards what it wants; the next follows when the ReplicaSets have answered. */
export interface DeploymentPlan {
  readonly create?: ReplicaSet;
  /** ReplicaSets with other replicas or annotations. */
  readonly update: readonly ReplicaSet[];
  readonly remove: readonly ReplicaSet[];
  readonly events: readonly string[];
  /** The revision the deployment is at, for its annotation. */
  readonly revision: string | undefined;
}

const replicasOf = (replicaSet: ReplicaSet): number => replicaSet.spec?.replicas ?? 0;
const availableOf = (replicaSet: ReplicaSet): number => replicaSet.status?.availableReplicas ?? 0;
const desiredOf = (deployment: Deployment): number => deployment.spec?.replicas ?? 1;
const createdAt = ({ metadata }: ReplicaSet): string =>
  `${metadata.creationTimestamp ?? ''} ${metadata.name}`;
const oldestFirst = (a: ReplicaSet, b: ReplicaSet): number => (createdAt(a) < createdAt(b) ? -1 : 1);

export function revisionOf({ metadata }: ReplicaSet): number {
  const revision = Number(metadata.annotations?.[revisionAnnotation] ?? '0');
  return Number.isInteger(revision) ? revision : 0;
}

function sum(replicaSets: readonly ReplicaSet[], of: (replicaSet: ReplicaSet) => number): number {
  return replicaSets.reduce((total, replicaSet) => total + of(replicaSet), 0);
}

/** The ReplicaSet of the present template (the oldest, should there be two), and the others, oldest first. */
export function splitReplicaSets(
  deployment: Deployment,
  replicaSets: readonly ReplicaSet[],
): { readonly current: ReplicaSet | undefined; readonly old: readonly ReplicaSet[] } {
  const sorted = replicaSets.toSorted(oldestFirst);
  const current = sorted.find(({ spec }) => sameTemplate(spec?.template, deployment.spec?.template));
  return { current, old: sorted.filter((replicaSet) => replicaSet !== current) };
}

/** Collects the writes of one step: each ReplicaSet at most once, with everything that is to change about it. */
class Step {
  readonly #deployment: Deployment;
  readonly #changed = new Map<string, ReplicaSet>();
  readonly events: string[] = [];

  constructor(deployment: Deployment) {
    this.#deployment = deployment;
  }

  get updates(): ReplicaSet[] {
    return [...this.#changed.values()];
  }

  /** Whether it changed the number. */
  scale(replicaSet: ReplicaSet, replicas: number): boolean {
    const before = replicasOf(replicaSet);
    const annotations = sizeAnnotations(this.#deployment);
    this.annotate(replicaSet, annotations);
    if (before === replicas) return false;
    const base = this.#changed.get(replicaSet.metadata.name) ?? replicaSet;
    if (base.spec !== undefined)
      this.#changed.set(replicaSet.metadata.name, { ...base, spec: { ...base.spec, replicas } });
    this.events.push(scaleMessage(replicaSet.metadata.name, before, replicas));
    return true;
  }

  annotate(replicaSet: ReplicaSet, annotations: Readonly<Record<string, string>>): void {
    const base = this.#changed.get(replicaSet.metadata.name) ?? replicaSet;
    const known = base.metadata.annotations ?? {};
    if (Object.entries(annotations).every(([key, value]) => known[key] === value)) return;
    this.#changed.set(replicaSet.metadata.name, {
      ...base,
      metadata: { ...base.metadata, annotations: { ...known, ...annotations } },
    });
  }
}

function scaleMessage(name: string, before: number, after: number): string {
  return `Scaled ${after > before ? 'up' : 'down'} replica set ${name} from ${before} to ${after}`;
}

function sizeAnnotations(deployment: Deployment): Record<string, string> {
  const desired = desiredOf(deployment);
  return {
    [desiredAnnotation]: String(desired),
    [maxAnnotation]: String(desired + rollingLimits(deployment).maxSurge),
  };
}

function inheritedAnnotations({ metadata }: Deployment): Record<string, string> {
  return Object.fromEntries(
    Object.entries(metadata.annotations ?? {}).filter(([key]) => !ownAnnotations.has(key)),
  );
}

function newReplicaSet(deployment: Deployment, replicas: number, revision: number): ReplicaSet {
  const template = deployment.spec?.template ?? {};
  const hash = templateHash(template, String(deployment.status?.collisionCount ?? 0));
  const labels = { ...template.metadata?.labels, [hashLabel]: hash };
  const selector = deployment.spec?.selector ?? {};
  return {
    metadata: {
      name: `${deployment.metadata.name}-${hash}`,
      namespace: deployment.metadata.namespace ?? '',
      labels,
      annotations: {
        ...inheritedAnnotations(deployment),
        ...sizeAnnotations(deployment),
        [revisionAnnotation]: String(revision),
      },
      ownerReferences: [controllerReference(resources.deployments, deployment)],
    },
    spec: {
      replicas,
      minReadySeconds: deployment.spec?.minReadySeconds ?? 0,
      selector: { ...selector, matchLabels: { ...selector.matchLabels, [hashLabel]: hash } },
      template: { ...template, metadata: { ...template.metadata, labels } },
    },
  };
}

/** Replicas the new ReplicaSet may have now, given all there are. */
function surgeTarget(deployment: Deployment, current: number, total: number): number {
  const desired = desiredOf(deployment);
  const room = desired + rollingLimits(deployment).maxSurge - total;
  return room <= 0 ? current : Math.min(desired, current + room);
}

function planOldScaleDown(
  deployment: Deployment,
  current: ReplicaSet,
  old: readonly ReplicaSet[],
  step: Step,
): void {
  const minAvailable = desiredOf(deployment) - rollingLimits(deployment).maxUnavailable;
  const all = [...old, current];
  const currentUnavailable = replicasOf(current) - availableOf(current);
  let mayGo = sum(all, replicasOf) - minAvailable - currentUnavailable;
  if (mayGo <= 0) return;
  const target = new Map(old.map((replicaSet) => [replicaSet, replicasOf(replicaSet)]));
  // First those that serve nobody.
  for (const replicaSet of old) {
    const unhealthy = Math.max(0, Math.min(mayGo, replicasOf(replicaSet) - availableOf(replicaSet)));
    target.set(replicaSet, replicasOf(replicaSet) - unhealthy);
    mayGo -= unhealthy;
  }
  let healthyMayGo = sum(all, availableOf) - minAvailable;
  for (const replicaSet of old) {
    const size = target.get(replicaSet) ?? 0;
    const down = Math.max(0, Math.min(size, healthyMayGo, mayGo));
    target.set(replicaSet, size - down);
    healthyMayGo -= down;
    mayGo -= down;
  }
  for (const [replicaSet, replicas] of target) step.scale(replicaSet, replicas);
}

/** A change of size in the middle of a rollout is shared out among the ReplicaSets by their present size. */
function planProportional(deployment: Deployment, active: readonly ReplicaSet[], step: Step): void {
  const desired = desiredOf(deployment);
  const total = sum(active, replicasOf);
  const allowed = desired === 0 ? 0 : desired + rollingLimits(deployment).maxSurge;
  let left = allowed - total;
  // The largest first, of equals the youngest when growing and the oldest when shrinking.
  const order = active.toSorted(
    (a, b) => replicasOf(b) - replicasOf(a) || (left > 0 ? oldestFirst(b, a) : oldestFirst(a, b)),
  );
  const sizes = order.map((replicaSet) => {
    const share =
      total === 0 ? 0 : Math.round((replicasOf(replicaSet) * allowed) / total) - replicasOf(replicaSet);
    const change = left > 0 ? Math.min(Math.max(share, 0), left) : Math.max(Math.min(share, 0), left);
    left -= change;
    return replicasOf(replicaSet) + change;
  });
  order.forEach((replicaSet, i) =>
    step.scale(replicaSet, Math.max(0, (sizes[i] ?? 0) + (i === 0 ? left : 0))),
  );
}

function isScalingEvent(deployment: Deployment, replicaSets: readonly ReplicaSet[]): boolean {
  return replicaSets.some((replicaSet) => {
    const known = replicaSet.metadata.annotations?.[desiredAnnotation];
    return replicasOf(replicaSet) > 0 && known !== undefined && known !== String(desiredOf(deployment));
  });
}

function planScaling(
  deployment: Deployment,
  current: ReplicaSet | undefined,
  old: readonly ReplicaSet[],
  step: Step,
): void {
  const all = current === undefined ? [...old] : [...old, current];
  const active = all.filter((replicaSet) => replicasOf(replicaSet) > 0);
  const only = active.length === 1 ? active[0] : active.length === 0 ? (current ?? old.at(-1)) : undefined;
  if (only !== undefined) {
    step.scale(only, desiredOf(deployment));
  } else if (active.length > 1) {
    if (deployment.spec?.strategy?.type === 'Recreate') return;
    planProportional(deployment, active, step);
  }
}

function planCleanup(deployment: Deployment, current: ReplicaSet, old: readonly ReplicaSet[]): ReplicaSet[] {
  const desired = desiredOf(deployment);
  const complete =
    replicasOf(current) === desired &&
    availableOf(current) === desired &&
    old.every((each) => replicasOf(each) === 0);
  if (!complete) return [];
  const limit = deployment.spec?.revisionHistoryLimit ?? historyLimitDefault;
  const candidates = old.filter(
    ({ metadata, spec, status }) =>
      metadata.deletionTimestamp === undefined && spec?.replicas === 0 && (status?.replicas ?? 0) === 0,
  );
  const surplus = Math.max(0, candidates.length - limit);
  return candidates.toSorted((a, b) => revisionOf(a) - revisionOf(b)).slice(0, surplus);
}

/** The next step of a deployment. `oldPodsRun`: pods of old ReplicaSets are not gone yet (strategy Recreate waits for that). */
export function planDeployment(
  deployment: Deployment,
  replicaSets: readonly ReplicaSet[],
  oldPodsRun: boolean,
): DeploymentPlan {
  const step = new Step(deployment);
  const { current, old } = splitReplicaSets(deployment, replicaSets);
  const revision = Math.max(0, ...old.map(revisionOf)) + 1;
  const result = (more: { create?: ReplicaSet; remove?: ReplicaSet[] } = {}): DeploymentPlan => ({
    update: step.updates,
    remove: more.remove ?? [],
    events: step.events,
    revision:
      current === undefined && more.create === undefined
        ? undefined
        : String(Math.max(revision, current === undefined ? 0 : revisionOf(current))),
    ...(more.create === undefined ? {} : { create: more.create }),
  });
  if (deployment.metadata.deletionTimestamp !== undefined) return result();
  if (current !== undefined && revisionOf(current) < revision) {
    step.annotate(current, { [revisionAnnotation]: String(revision) });
  }
  if (current !== undefined) step.annotate(current, inheritedAnnotations(deployment));
  if (deployment.spec?.paused === true || isScalingEvent(deployment, replicaSets)) {
    planScaling(deployment, current, old, step);
    return result();
  }
  const create = (replicas: number): DeploymentPlan => {
    const made = newReplicaSet(deployment, replicas, revision);
    if (replicas > 0) step.events.push(scaleMessage(made.metadata.name, 0, replicas));
    return result({ create: made });
  };
  if (deployment.spec?.strategy?.type === 'Recreate') {
    const scaledDown = old.map((replicaSet) => replicasOf(replicaSet) > 0 && step.scale(replicaSet, 0));
    if (scaledDown.includes(true) || oldPodsRun) return result();
    if (current === undefined) return create(desiredOf(deployment));
    step.scale(current, desiredOf(deployment));
    return result({ remove: planCleanup(deployment, current, old) });
  }
  const total = sum(replicaSets, replicasOf);
  if (current === undefined) return create(surgeTarget(deployment, 0, total));
  const target =
    replicasOf(current) > desiredOf(deployment)
      ? desiredOf(deployment)
      : surgeTarget(deployment, replicasOf(current), total);
  if (step.scale(current, target)) return result();
  planOldScaleDown(deployment, current, old, step);
  return result({ remove: planCleanup(deployment, current, old) });
}
