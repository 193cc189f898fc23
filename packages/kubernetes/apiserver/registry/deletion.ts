import type { ApiObject } from '../../api/index.ts';
import type { Strategy } from './strategy.ts';

/** The parts of meta/v1 DeleteOptions that decide what happens. */
export interface DeleteOptions {
  readonly gracePeriodSeconds?: number;
  readonly propagationPolicy?: 'Foreground' | 'Background' | 'Orphan';
}

/** What a delete request comes down to. */
export type DeletionPlan =
  | { readonly action: 'remove' }
  | { readonly action: 'mark'; readonly object: ApiObject }
  | { readonly action: 'wait' };

const foreground = 'foregroundDeletion';
const orphan = 'orphan';

/** The finalizers by which the garbage collector learns what to do with dependents. */
function finalizersFor(object: ApiObject, policy: DeleteOptions['propagationPolicy']): string[] {
  const present = object.metadata.finalizers ?? [];
  if (policy === undefined) return present;
  const others = present.filter((name) => name !== foreground && name !== orphan);
  if (policy === 'Foreground') return [...others, foreground];
  return policy === 'Orphan' ? [...others, orphan] : others;
}

/** Whether anything still has to be done by somebody before the object may go. */
export function isHeldBack(object: ApiObject, strategy: Strategy): boolean {
  return (object.metadata.finalizers ?? []).length > 0 || strategy.holdsBack?.(object) === true;
}

/** Whether an object that is being deleted has nothing left to wait for: a write that leaves it so removes it. */
export function isFinished(object: ApiObject, strategy: Strategy): boolean {
  return (
    object.metadata.deletionTimestamp !== undefined &&
    (object.metadata.deletionGracePeriodSeconds ?? 0) === 0 &&
    !isHeldBack(object, strategy)
  );
}

// A second request may only shorten the time that is left.
function graceOfMarked(object: ApiObject, graceSeconds: number | undefined): number {
  const present = object.metadata.deletionGracePeriodSeconds ?? 0;
  return graceSeconds === undefined ? present : Math.min(present, graceSeconds);
}

function mark(
  object: ApiObject,
  changes: { graceSeconds: number; finalizers: string[]; now: number },
): ApiObject {
  const { graceSeconds, finalizers, now } = changes;
  const { finalizers: _old, ...metadata } = object.metadata;
  const generation = metadata.generation;
  return {
    ...object,
    metadata: {
      ...metadata,
      ...(finalizers.length === 0 ? {} : { finalizers }),
      ...(generation === undefined ? {} : { generation: generation + 1 }),
      deletionTimestamp: formatTime(now + graceSeconds * 1000),
      deletionGracePeriodSeconds: graceSeconds,
    },
  };
}

/** metav1.Time: RFC 3339 in whole seconds. */
export function formatTime(epochMs: number): string {
  return `${new Date(epochMs).toISOString().slice(0, 19)}Z`;
}

function firstDeletion(
  object: ApiObject,
  options: DeleteOptions,
  strategy: Strategy,
  now: number,
): DeletionPlan {
  const finalizers = finalizersFor(object, options.propagationPolicy);
  const graceSeconds = strategy.gracePeriodSeconds?.(object, options.gracePeriodSeconds) ?? 0;
  const marked = mark(structuredClone(object), { graceSeconds, finalizers, now });
  strategy.beginDeletion?.(marked);
  return isFinished(marked, strategy) ? { action: 'remove' } : { action: 'mark', object: marked };
}

function repeatedDeletion(
  object: ApiObject,
  options: DeleteOptions,
  strategy: Strategy,
  now: number,
): DeletionPlan {
  const finalizers = finalizersFor(object, options.propagationPolicy);
  const requested =
    options.gracePeriodSeconds === undefined
      ? undefined
      : strategy.gracePeriodSeconds?.(object, options.gracePeriodSeconds);
  const graceSeconds = graceOfMarked(object, requested);
  const sameGrace = graceSeconds === (object.metadata.deletionGracePeriodSeconds ?? 0);
  const sameFinalizers = finalizers.join() === (object.metadata.finalizers ?? []).join();
  if (sameGrace && sameFinalizers)
    return isFinished(object, strategy) ? { action: 'remove' } : { action: 'wait' };
  const marked = mark(structuredClone(object), { graceSeconds, finalizers, now });
  return isFinished(marked, strategy) ? { action: 'remove' } : { action: 'mark', object: marked };
}

/** Decides, without doing anything, what deleting the object means now (API concepts, "Resource deletion"). */
export function planDeletion(
  object: ApiObject,
  options: DeleteOptions,
  strategy: Strategy,
  now: number,
): DeletionPlan {
  return object.metadata.deletionTimestamp === undefined
    ? firstDeletion(object, options, strategy, now)
    : repeatedDeletion(object, options, strategy, now);
}
