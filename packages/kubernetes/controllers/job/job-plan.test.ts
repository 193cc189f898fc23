import { expect, test } from 'vitest';
import type { Job, Pod } from '../../client/index.ts';
import { formatIndexes, indexAnnotation, planJob } from './job-plan.ts';

const job = (
  spec: Partial<NonNullable<Job['spec']>> = {},
  status: Job['status'] = { startTime: '1970-01-01T00:00:00Z' },
): Job => ({
  metadata: { name: 'j', namespace: 'ns', uid: 'j' },
  spec: {
    template: { spec: { containers: [], restartPolicy: 'Never' } },
    completions: 3,
    parallelism: 2,
    backoffLimit: 1,
    ...spec,
  },
  status,
});

let number = 0;
const pod = (phase: string, index?: number, finishedAt = '1970-01-01T00:00:00Z'): Pod => ({
  metadata: {
    name: `p${number++}`,
    ...(index === undefined ? {} : { annotations: { [indexAnnotation]: String(index) } }),
  },
  status: {
    phase,
    containerStatuses: [
      {
        name: 'c',
        image: '',
        imageID: '',
        ready: false,
        restartCount: 0,
        state: { terminated: { exitCode: 1, finishedAt } },
      },
    ],
  },
});
const pods = (phases: string): Pod[] =>
  phases.split('').map((letter) => pod({ R: 'Running', S: 'Succeeded', F: 'Failed' }[letter] ?? ''));

test.each<[string, string, Partial<NonNullable<Job['spec']>>, number, number, string | undefined]>([
  ['starts in parallel', '', {}, 2, 0, undefined],
  ['not more than are left', 'SS', {}, 1, 0, undefined],
  ['keeps its number', 'SRR', {}, 0, 0, undefined],
  ['too many', 'RRR', {}, 0, 1, undefined],
  ['done', 'SSS', {}, 0, 0, 'Complete'],
  ['one failure is borne', 'FR', {}, 1, 0, undefined],
  ['two are too many: the rest is stopped', 'FFR', {}, 0, 1, 'Failed'],
  ['late', 'RR', { activeDeadlineSeconds: 50 }, 0, 2, 'Failed'],
  ['suspended', 'RR', { suspend: true }, 0, 2, 'Suspended'],
])('%s', (_name, phases, spec, create, remove, conditionType) => {
  const plan = planJob(job(spec), pods(phases), 60_000);
  expect([plan.create, plan.remove.length]).toEqual([create, remove]);
  expect(plan.status.conditions?.at(-1)?.type).toBe(conditionType);
});

test('without completions one success ends it, when the others are through', () => {
  const { completions: _any, ...spec } = job().spec!;
  const queue: Job = { ...job(), spec };
  expect(planJob(queue, pods('R'), 60_000)).toMatchObject({ create: 1 });
  expect(planJob(queue, pods('SR'), 60_000)).toMatchObject({ create: 0, remove: [] });
  expect(planJob(queue, pods('SS'), 60_000).ended?.reason).toBe('Completed');
});

test('the successor of a failed pod waits', () => {
  expect(planJob(job(), [pod('Failed', undefined, '1970-01-01T00:00:55Z')], 60_000)).toMatchObject({
    create: 0,
    retryAfterMs: 5_000,
  });
});

test('indexed: each index once, and again when it failed', () => {
  const indexed = job({ completionMode: 'Indexed', completions: 4, parallelism: 4, backoffLimit: 6 });
  const plan = planJob(
    indexed,
    [pod('Succeeded', 0), pod('Succeeded', 0), pod('Running', 2), pod('Failed', 1)],
    60_000,
  );
  expect(plan.indexes).toEqual([1, 3]);
  expect(plan.status).toMatchObject({ succeeded: 1, completedIndexes: '0' });
  expect(formatIndexes([5, 0, 1, 2, 7, 8])).toBe('0-2,5,7,8');
});
