import { describe, expect, test } from 'vitest';
import type { Pod, ReplicaSet } from '../../client/index.ts';
import { planOwnership } from '../machinery/pod-ownership.ts';
import { UnseenChanges } from '../machinery/unseen-changes.ts';
import { planReplicas, rankForDeletion, withReplicaStatus } from './replicaset-plan.ts';

const replicaSet = (replicas: number, minReadySeconds = 0): ReplicaSet => ({
  metadata: { name: 'rs', namespace: 'ns', uid: 'rs', generation: 3 },
  spec: {
    replicas,
    minReadySeconds,
    selector: { matchLabels: { app: 'x' } },
    template: { metadata: { labels: { app: 'x' } } },
  },
});

const pod = (
  name: string,
  options: {
    node?: string;
    phase?: string;
    readyAt?: string;
    restarts?: number;
    created?: string;
    cost?: string;
    going?: boolean;
    labels?: Record<string, string>;
    owner?: string;
  } = {},
): Pod => ({
  metadata: {
    name,
    uid: name,
    creationTimestamp: options.created ?? '2026-01-01T00:00:00Z',
    labels: options.labels ?? { app: 'x' },
    ...(options.cost === undefined
      ? {}
      : { annotations: { 'controller.kubernetes.io/pod-deletion-cost': options.cost } }),
    ...(options.going === true ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}),
    ...(options.owner === undefined
      ? {}
      : {
          ownerReferences: [
            { apiVersion: 'apps/v1', kind: 'ReplicaSet', name: 'x', uid: options.owner, controller: true },
          ],
        }),
  },
  spec: { containers: [], ...(options.node === undefined ? {} : { nodeName: options.node }) },
  status: {
    phase: options.phase ?? 'Running',
    ...(options.readyAt === undefined
      ? {}
      : { conditions: [{ type: 'Ready', status: 'True', lastTransitionTime: options.readyAt }] }),
    containerStatuses: [
      { name: 'c', image: '', imageID: '', ready: true, restartCount: options.restarts ?? 0 },
    ],
  },
});

test('how many to make or delete: finished and going pods do not count', () => {
  const pods = [pod('a'), pod('b', { phase: 'Failed' }), pod('c', { going: true })];
  expect(planReplicas(replicaSet(3), pods)).toEqual({ create: 2, remove: [] });
  expect(planReplicas(replicaSet(0), pods).remove.map(({ metadata }) => metadata.name)).toEqual(['a']);
  const going = replicaSet(3);
  going.metadata.deletionTimestamp = 'now';
  expect(planReplicas(going, [])).toEqual({ create: 0, remove: [] });
});

test('order of deletion', () => {
  const ready = '2026-01-01T00:00:00Z';
  const pods = [
    pod('longest', { node: 'a', readyAt: ready }),
    pod('younger', { node: 'b', readyAt: '2026-01-02T00:00:00Z' }),
    pod('costly', { node: 'c', readyAt: '2026-01-03T00:00:00Z', cost: '10' }),
    pod('not-ready', { node: 'd' }),
    pod('pending', { node: 'e', phase: 'Pending' }),
    pod('nowhere', { phase: 'Running', readyAt: ready }),
    pod('crowded', { node: 'f', readyAt: ready }),
    pod('crowded-too', { node: 'f', readyAt: ready, restarts: 3 }),
  ];
  expect(rankForDeletion(pods).map(({ metadata }) => metadata.name)).toEqual([
    'nowhere',
    'pending',
    'not-ready',
    'crowded-too',
    'crowded',
    'younger',
    'longest',
    'costly',
  ]);
});

describe('status', () => {
  test('ready is available after minReadySeconds; a failure is a condition', () => {
    const pods = [pod('a', { readyAt: '1970-01-01T00:00:00Z' }), pod('b', { labels: { app: 'y' } })];
    const early = withReplicaStatus(
      replicaSet(2, 10),
      pods,
      { reason: 'FailedCreate', message: 'quota' },
      9_000,
    );
    expect(early.status).toMatchObject({
      replicas: 2,
      readyReplicas: 1,
      availableReplicas: 0,
      fullyLabeledReplicas: 1,
      observedGeneration: 3,
    });
    expect(early.status?.conditions?.[0]).toMatchObject({
      type: 'ReplicaFailure',
      reason: 'FailedCreate',
      message: 'quota',
    });
    const late = withReplicaStatus(early, pods, undefined, 10_000);
    expect(late.status).toMatchObject({ availableReplicas: 1 });
    expect(late.status?.conditions).toBeUndefined();
  });
});

test('ownership: own, orphan to adopt, own that no longer matches; of others never', () => {
  const plan = planOwnership(replicaSet(1), { matchLabels: { app: 'x' } }, [
    pod('own', { owner: 'rs' }),
    pod('orphan'),
    pod('relabelled', { owner: 'rs', labels: { app: 'y' } }),
    pod('foreign', { owner: 'other' }),
    pod('dying-orphan', { going: true }),
  ]);
  const names = (pods: readonly Pod[]): string[] => pods.map(({ metadata }) => metadata.name);
  expect([names(plan.owned), names(plan.adopt), names(plan.release)]).toEqual([
    ['own'],
    ['orphan'],
    ['relabelled'],
  ]);
});

test('changes not seen yet hold the next step back, until seen, gone, or given up on', () => {
  let now = 0;
  const unseen = new UnseenChanges({ now: () => now });
  const settled = (known: string[], alive = known): boolean =>
    unseen.settled('o', new Set(known), new Set(alive));
  unseen.created('o', 'a');
  unseen.created('o', 'b');
  expect(settled(['a'])).toBe(false);
  unseen.gone('b');
  expect(settled(['a'])).toBe(true);
  unseen.deleted('o', 'a');
  expect(settled(['a'])).toBe(false);
  expect(settled(['a'], [])).toBe(true);
  unseen.created('o', 'lost');
  now = 60_001;
  expect(settled([])).toBe(true);
});
