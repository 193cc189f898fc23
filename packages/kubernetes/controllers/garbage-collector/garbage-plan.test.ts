import { expect, test } from 'vitest';
import type { KubeObject } from '../../client/index.ts';
import { planGarbage, type GarbageAction, type OwnerState } from './garbage-plan.ts';

const object = (owners: Record<string, boolean>, finalizers: string[] = []): KubeObject => ({
  metadata: {
    name: 'o',
    finalizers,
    ownerReferences: Object.entries(owners).map(([uid, blockOwnerDeletion]) => ({
      apiVersion: 'v1',
      kind: 'K',
      name: uid,
      uid,
      blockOwnerDeletion,
    })),
  },
});

test.each<[string, KubeObject, Record<string, OwnerState>, boolean, Partial<GarbageAction>]>([
  ['all owners there', object({ a: true }), { a: 'present' }, false, { kind: 'keep' }],
  ['no owners', object({}), {}, false, { kind: 'keep' }],
  [
    'the only owner gone',
    object({ a: true }),
    { a: 'absent' },
    true,
    { kind: 'delete', propagationPolicy: 'Background' },
  ],
  [
    'one of two gone',
    object({ a: true, b: true }),
    { a: 'absent', b: 'present' },
    false,
    { kind: 'drop-owners' },
  ],
  [
    'owner waits',
    object({ a: true }),
    { a: 'awaits-dependents' },
    false,
    { kind: 'delete', propagationPolicy: 'Background' },
  ],
  [
    'owner waits, and this one owns too',
    object({ a: true }),
    { a: 'awaits-dependents' },
    true,
    { kind: 'delete', propagationPolicy: 'Foreground' },
  ],
  [
    'owner waits, not blocked by this one',
    object({ a: false }),
    { a: 'awaits-dependents' },
    true,
    { kind: 'delete', propagationPolicy: 'Background' },
  ],
  [
    'asked to orphan',
    object({ a: true }, ['orphan']),
    { a: 'absent' },
    true,
    { kind: 'delete', propagationPolicy: 'Orphan' },
  ],
])('%s', (_name, each, states, hasDependents, action) => {
  expect(planGarbage(each, ({ uid }) => states[uid] ?? 'present', hasDependents)).toMatchObject(action);
});

test('what is being deleted already is left to it', () => {
  const going = object({ a: true });
  going.metadata.deletionTimestamp = 'now';
  expect(planGarbage(going, () => 'absent', false)).toEqual({ kind: 'keep' });
});
