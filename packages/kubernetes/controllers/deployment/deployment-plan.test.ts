import { describe, expect, test } from 'vitest';
import type { Deployment, ReplicaSet } from '../../client/index.ts';
import { planDeployment, revisionAnnotation } from './deployment-plan.ts';
import { withDeploymentStatus } from './deployment-status.ts';
import { rollingLimits } from './rolling-limits.ts';
import { sameTemplate, templateHash } from './template-hash.ts';

const template = (image: string, hash?: string) => ({
  metadata: { labels: { app: 'web', ...(hash === undefined ? {} : { 'pod-template-hash': hash }) } },
  spec: { containers: [{ name: 'c', image }] },
});

const deployment = (spec: Partial<NonNullable<Deployment['spec']>> = {}): Deployment => ({
  metadata: { name: 'web', namespace: 'ns', uid: 'd', generation: 2 },
  spec: {
    replicas: 4,
    selector: { matchLabels: { app: 'web' } },
    template: template('new'),
    strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 1 } },
    ...spec,
  },
});

const set = (
  image: string,
  replicas: number,
  available: number,
  {
    revision = 1,
    desired = 4,
    created = '2026-01-01',
  }: { revision?: number; desired?: number; created?: string } = {},
): ReplicaSet => ({
  metadata: {
    name: `web-${image}`,
    namespace: 'ns',
    uid: image,
    creationTimestamp: created,
    annotations: {
      [revisionAnnotation]: String(revision),
      'deployment.kubernetes.io/desired-replicas': String(desired),
      'deployment.kubernetes.io/max-replicas': String(desired + 1),
    },
  },
  spec: { replicas, selector: {}, template: template(image, image) },
  status: { replicas, availableReplicas: available, readyReplicas: available },
});

function sizes(
  wanted: Deployment,
  sets: ReplicaSet[],
  oldPodsRun = false,
): { sizes: Record<string, number>; created: number | undefined; removed: string[] } {
  const plan = planDeployment(wanted, sets, oldPodsRun);
  const result = Object.fromEntries(sets.map((each) => [each.metadata.uid ?? '', each.spec?.replicas ?? 0]));
  for (const each of plan.update) result[each.metadata.uid ?? ''] = each.spec?.replicas ?? 0;
  return {
    sizes: result,
    created: plan.create?.spec?.replicas,
    removed: plan.remove.map(({ metadata }) => metadata.uid ?? ''),
  };
}

describe('rolling update', () => {
  test.each<[string, ReplicaSet[], Record<string, number>, number | undefined]>([
    ['nothing there', [], {}, 4],
    ['first step: room for the surge', [set('old', 4, 4)], { old: 4 }, 1],
    ['no room for the new one yet', [set('old', 5, 5)], { old: 5 }, 0],
    [
      'old ones give way down to what must be available',
      [set('old', 4, 4), set('new', 1, 0, { revision: 2 })],
      { old: 3, new: 1 },
      undefined,
    ],
    [
      'the new one grows into the room',
      [set('old', 3, 3), set('new', 1, 1, { revision: 2 })],
      { old: 3, new: 2 },
      undefined,
    ],
    [
      'old ones that serve nobody go first',
      [set('old', 4, 2), set('new', 1, 0, { revision: 2 })],
      { old: 3, new: 1 },
      undefined,
    ],
    [
      'not below the minimum',
      [set('old', 3, 3), set('new', 2, 0, { revision: 2 })],
      { old: 3, new: 2 },
      undefined,
    ],
    [
      'the last old one',
      [set('old', 1, 1), set('new', 4, 3, { revision: 2 })],
      { old: 0, new: 4 },
      undefined,
    ],
  ])('%s', (_name, sets, wanted, created) => {
    const result = sizes(deployment(), sets);
    expect(result.sizes).toEqual(wanted);
    expect(result.created).toBe(created);
  });

  test('never more than desired plus surge, never fewer available than allowed, and it gets there', () => {
    for (const [maxSurge, maxUnavailable] of [
      [1, 0],
      [0, 1],
      ['25%', '25%'],
      ['100%', 0],
      [0, '100%'],
    ] as const) {
      const wanted = deployment({
        replicas: 7,
        strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge, maxUnavailable } },
      });
      const limits = rollingLimits(wanted);
      let sets = [set('old', 7, 7, { desired: 7 })];
      for (let step = 0; step < 60; step++) {
        const plan = planDeployment(wanted, sets, false);
        for (const each of plan.update)
          sets = sets.map((old) => (old.metadata.uid === each.metadata.uid ? each : old));
        if (plan.create !== undefined)
          sets.push({
            ...plan.create,
            metadata: { ...plan.create.metadata, uid: 'new', creationTimestamp: '2026-02-02' },
          });
        const total = sets.reduce((sum, each) => sum + (each.spec?.replicas ?? 0), 0);
        const kept = sets.reduce(
          (sum, each) => sum + Math.min(each.spec?.replicas ?? 0, each.status?.availableReplicas ?? 0),
          0,
        );
        expect(total).toBeLessThanOrEqual(7 + limits.maxSurge);
        expect(kept).toBeGreaterThanOrEqual(7 - limits.maxUnavailable);
        // One more pod becomes available per step.
        sets = sets.map((each) => {
          const replicas = each.spec?.replicas ?? 0;
          const available = Math.min(replicas, (each.status?.availableReplicas ?? 0) + 1);
          return { ...each, status: { replicas, availableReplicas: available } };
        });
      }
      expect(sets.map(({ metadata, spec }) => [metadata.uid, spec?.replicas])).toEqual([
        ['old', 0],
        ['new', 7],
      ]);
    }
  });

  test('revision: one more than the old ones; a rollback takes the old set to the front', () => {
    const plan = planDeployment(
      deployment(),
      [set('new', 0, 0, { revision: 1 }), set('old', 4, 4, { revision: 2 })],
      false,
    );
    expect(plan.revision).toBe('3');
    expect(
      plan.update.find(({ metadata }) => metadata.uid === 'new')?.metadata.annotations?.[revisionAnnotation],
    ).toBe('3');
  });

  test('history beyond the limit goes when all is done, the oldest first', () => {
    const sets = [1, 2, 3]
      .map((revision) => set(`old${revision}`, 0, 0, { revision }))
      .concat(set('new', 4, 4, { revision: 4 }));
    expect(sizes(deployment({ revisionHistoryLimit: 1 }), sets).removed).toEqual(['old1', 'old2']);
    const busy = sets.map((each) => (each.metadata.uid === 'new' ? set('new', 4, 3, { revision: 4 }) : each));
    expect(sizes(deployment({ revisionHistoryLimit: 1 }), busy).removed).toEqual([]);
  });
});

describe('size, pause, recreate', () => {
  test.each<
    [
      string,
      Partial<NonNullable<Deployment['spec']>>,
      ReplicaSet[],
      boolean,
      Record<string, number>,
      number | undefined,
    ]
  >([
    ['a change of size alone', { replicas: 6 }, [set('new', 4, 4)], false, { new: 6 }, undefined],
    [
      'a change of size in mid-rollout is shared',
      { replicas: 8 },
      [set('old', 3, 3), set('new', 2, 2, { revision: 2 })],
      false,
      { old: 5, new: 4 },
      undefined,
    ],
    [
      'to zero',
      { replicas: 0 },
      [set('old', 3, 3), set('new', 2, 2, { revision: 2 })],
      false,
      { old: 0, new: 0 },
      undefined,
    ],
    ['paused: no new set', { paused: true }, [set('old', 4, 4)], false, { old: 4 }, undefined],
    ['paused: still scales', { paused: true, replicas: 2 }, [set('old', 4, 4)], false, { old: 2 }, undefined],
    [
      'recreate: old ones first',
      { strategy: { type: 'Recreate' } },
      [set('old', 4, 4)],
      true,
      { old: 0 },
      undefined,
    ],
    [
      'recreate: waits for the pods to be gone',
      { strategy: { type: 'Recreate' } },
      [set('old', 0, 0)],
      true,
      { old: 0 },
      undefined,
    ],
    ['recreate: then the new', { strategy: { type: 'Recreate' } }, [set('old', 0, 0)], false, { old: 0 }, 4],
  ])('%s', (_name, spec, sets, oldPodsRun, wanted, created) => {
    const result = sizes(deployment(spec), sets, oldPodsRun);
    expect(result.sizes).toEqual(wanted);
    expect(result.created).toBe(created);
  });
});

describe('status', () => {
  const at = (text: string): number => Date.parse(text);
  const conditionOf = (wanted: Deployment, type: string) =>
    wanted.status?.conditions?.find((each) => each.type === type);

  test('counts, availability, progress, and the deadline', () => {
    const start = withDeploymentStatus(
      deployment({ progressDeadlineSeconds: 60 }),
      [set('new', 4, 1)],
      at('2026-01-01T00:00:00Z'),
    );
    expect(start.status).toMatchObject({
      replicas: 4,
      updatedReplicas: 4,
      availableReplicas: 1,
      unavailableReplicas: 3,
      observedGeneration: 2,
    });
    expect(conditionOf(start, 'Available')).toMatchObject({
      status: 'False',
      reason: 'MinimumReplicasUnavailable',
    });
    expect(conditionOf(start, 'Progressing')).toMatchObject({
      status: 'True',
      reason: 'NewReplicaSetCreated',
    });
    const moving = withDeploymentStatus(start, [set('new', 4, 2)], at('2026-01-01T00:00:50Z'));
    expect(conditionOf(moving, 'Progressing')).toMatchObject({
      reason: 'ReplicaSetUpdated',
      lastUpdateTime: '2026-01-01T00:00:50Z',
    });
    const stuck = withDeploymentStatus(moving, [set('new', 4, 2)], at('2026-01-01T00:01:40Z'));
    expect(conditionOf(stuck, 'Progressing')).toMatchObject({ status: 'True' });
    const late = withDeploymentStatus(stuck, [set('new', 4, 2)], at('2026-01-01T00:01:51Z'));
    expect(conditionOf(late, 'Progressing')).toMatchObject({
      status: 'False',
      reason: 'ProgressDeadlineExceeded',
    });
    const done = withDeploymentStatus(late, [set('new', 4, 4)], at('2026-01-01T00:02:00Z'));
    expect(conditionOf(done, 'Progressing')).toMatchObject({
      status: 'True',
      reason: 'NewReplicaSetAvailable',
    });
    expect(conditionOf(done, 'Available')).toMatchObject({
      status: 'True',
      lastTransitionTime: '2026-01-01T00:02:00Z',
    });
    expect(withDeploymentStatus(done, [set('new', 4, 4)], at('2026-01-02T00:00:00Z'))).toEqual(done);
  });
});

test('a template is itself with or without hash and in any order of fields; the salt changes its name', () => {
  expect(sameTemplate(template('a'), template('a', 'x'))).toBe(true);
  expect(sameTemplate(template('a'), template('b'))).toBe(false);
  const reordered = { spec: template('a').spec, metadata: template('a').metadata };
  expect(templateHash(reordered, '')).toBe(templateHash(template('a'), ''));
  expect(templateHash(template('a'), '1')).not.toBe(templateHash(template('a'), ''));
});
