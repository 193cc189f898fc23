import type { KubeObject, OwnerReference } from '../../client/index.ts';

export const foregroundFinalizer = 'foregroundDeletion';
export const orphanFinalizer = 'orphan';

/** What was found out about an owner: there; there, but waiting for its dependents to go first; not there any more. */
export type OwnerState = 'present' | 'awaits-dependents' | 'absent';

export type GarbageAction =
  | { readonly kind: 'keep' }
  /** Some owners are gone, others are not: forget those that are. */
  | { readonly kind: 'drop-owners'; readonly owners: readonly OwnerReference[] }
  | { readonly kind: 'delete'; readonly propagationPolicy: 'Background' | 'Foreground' | 'Orphan' };

/** What to do with an object, given the state of each of its owners. */
export function planGarbage(
  { metadata }: KubeObject,
  stateOf: (owner: OwnerReference) => OwnerState,
  hasDependents: boolean,
): GarbageAction {
  const owners = metadata.ownerReferences ?? [];
  if (owners.length === 0 || metadata.deletionTimestamp !== undefined) return { kind: 'keep' };
  const states = owners.map((owner) => ({ owner, state: stateOf(owner) }));
  const kept = states.filter(({ state }) => state === 'present').map(({ owner }) => owner);
  if (kept.length === owners.length) return { kind: 'keep' };
  if (kept.length > 0) return { kind: 'drop-owners', owners: kept };
  // An owner that waits for this object also waits for what this object owns.
  const waits = states.some(
    ({ state, owner }) => state === 'awaits-dependents' && owner.blockOwnerDeletion === true,
  );
  if (waits && hasDependents) return { kind: 'delete', propagationPolicy: 'Foreground' };
  const finalizers = metadata.finalizers ?? [];
  if (finalizers.includes(orphanFinalizer)) return { kind: 'delete', propagationPolicy: 'Orphan' };
  if (finalizers.includes(foregroundFinalizer)) return { kind: 'delete', propagationPolicy: 'Foreground' };
  return { kind: 'delete', propagationPolicy: 'Background' };
}

/** Whether a dependent keeps its owner, which is being deleted in the foreground, from going. */
export function blocksOwner({ metadata }: KubeObject, ownerUid: string): boolean {
  return (
    metadata.ownerReferences?.some(
      ({ uid, blockOwnerDeletion }) => uid === ownerUid && blockOwnerDeletion === true,
    ) === true
  );
}

/** Whether the object is being deleted and waits for something the garbage collector does. */
export function waitsFor({ metadata }: KubeObject, finalizer: string): boolean {
  return metadata.deletionTimestamp !== undefined && metadata.finalizers?.includes(finalizer) === true;
}
