import { isPlatformError } from '@hypernetes/foundation/errors';
import { matchesLabelSelector, type LabelSelector } from '../../api/index.ts';
import {
  apiVersionOf,
  type KubeClient,
  type KubeObject,
  type OwnerReference,
  type Resource,
} from '../../client/index.ts';

/** The owner reference of a controller's objects. */
export function controllerReference(resource: Resource, { metadata }: KubeObject): OwnerReference {
  return {
    apiVersion: apiVersionOf(resource),
    kind: resource.kind,
    name: metadata.name,
    uid: metadata.uid ?? '',
    controller: true,
    blockOwnerDeletion: true,
  };
}

/** The reference to an object's controller, if it has one. */
export function controllerOf({ metadata }: KubeObject): OwnerReference | undefined {
  return metadata.ownerReferences?.find(({ controller }) => controller === true);
}

export interface OwnershipPlan<T> {
  readonly owned: readonly T[];
  readonly adopt: readonly T[];
  readonly release: readonly T[];
}

/** Which of the candidates belong to the owner: its own that it selects, orphans it selects (to adopt); its own that it selects no more are let go. */
export function planOwnership<T extends KubeObject>(
  owner: KubeObject,
  selector: LabelSelector | undefined,
  candidates: readonly T[],
): OwnershipPlan<T> {
  const owned: T[] = [];
  const adopt: T[] = [];
  const release: T[] = [];
  const ownerGoes = owner.metadata.deletionTimestamp !== undefined;
  for (const object of candidates) {
    const matches = selector !== undefined && matchesLabelSelector(selector, object.metadata.labels);
    const controller = controllerOf(object);
    if (controller !== undefined) {
      if (controller.uid !== owner.metadata.uid) continue;
      if (matches) owned.push(object);
      else if (!ownerGoes) release.push(object);
    } else if (matches && !ownerGoes && object.metadata.deletionTimestamp === undefined) {
      adopt.push(object);
    }
  }
  return { owned, adopt, release };
}

/** Carries an ownership plan out and answers what is owned then. The owner is looked up once more before anything is adopted. */
export async function claimObjects<T extends KubeObject>(
  client: KubeClient,
  ownerResource: Resource,
  owner: KubeObject,
  resource: Resource,
  plan: OwnershipPlan<T>,
): Promise<T[]> {
  const owned = [...plan.owned];
  if (plan.adopt.length > 0) {
    const live = await client.get<KubeObject>(ownerResource, owner.metadata);
    if (live.metadata.uid !== owner.metadata.uid || live.metadata.deletionTimestamp !== undefined)
      return owned;
  }
  const reference = controllerReference(ownerResource, owner);
  for (const object of plan.adopt) {
    const others = object.metadata.ownerReferences ?? [];
    const adopted = await writeOwners<T>(client, resource, object, [...others, reference]);
    if (adopted !== undefined) owned.push(adopted);
  }
  for (const object of plan.release) {
    const others = (object.metadata.ownerReferences ?? []).filter(({ uid }) => uid !== owner.metadata.uid);
    await writeOwners(client, resource, object, others);
  }
  return owned;
}

/** Writes the list of owners; undefined when the object is gone. Throws Conflict when our copy is old. */
export async function writeOwners<T extends KubeObject>(
  client: KubeClient,
  resource: Resource,
  object: T,
  owners: readonly OwnerReference[],
): Promise<T | undefined> {
  const { uid, resourceVersion } = object.metadata;
  try {
    return await client.patch<T>(resource, object.metadata, 'merge', {
      metadata: { uid, resourceVersion, ownerReferences: owners.length === 0 ? null : owners },
    });
  } catch (error) {
    if (isPlatformError(error, 'NotFound')) return undefined;
    throw error;
  }
}
