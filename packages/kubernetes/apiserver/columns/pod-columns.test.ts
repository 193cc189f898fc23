import type { Pod } from 'kubernetes-types/core/v1';
import { describe, expect, test } from 'vitest';
import { podColumns, summarizePod } from './pod-columns.ts';

const running = {
  name: 'c',
  ready: true,
  restartCount: 0,
  image: 'i',
  imageID: '',
  state: { running: { startedAt: 'x' } },
};
const base = { image: 'i', imageID: '', restartCount: 0, ready: false };

function pod(status: Pod['status'], more: Partial<Pod> = {}): Pod {
  return {
    metadata: { name: 'p' },
    spec: { containers: [{ name: 'c' }] },
    ...more,
    ...(status === undefined ? {} : { status }),
  };
}

const twoInit = { spec: { containers: [{ name: 'c' }], initContainers: [{ name: 'i1' }, { name: 'i2' }] } };
const deleted = { metadata: { name: 'p', deletionTimestamp: '2026-01-01T00:00:00Z' } };

describe('the status of a pod', () => {
  test.each<[string, Pod, string, string]>([
    ['nothing yet', pod({ phase: 'Pending' }), 'Pending', '0/1'],
    ['running', pod({ phase: 'Running', containerStatuses: [running] }), 'Running', '1/1'],
    [
      'creating',
      pod({
        phase: 'Pending',
        containerStatuses: [{ ...base, name: 'c', state: { waiting: { reason: 'ContainerCreating' } } }],
      }),
      'ContainerCreating',
      '0/1',
    ],
    [
      'crashing',
      pod({
        phase: 'Running',
        containerStatuses: [{ ...base, name: 'c', state: { waiting: { reason: 'CrashLoopBackOff' } } }],
      }),
      'CrashLoopBackOff',
      '0/1',
    ],
    [
      'done',
      pod({
        phase: 'Succeeded',
        containerStatuses: [
          { ...base, name: 'c', state: { terminated: { exitCode: 0, reason: 'Completed' } } },
        ],
      }),
      'Completed',
      '0/1',
    ],
    [
      'failed without a reason',
      pod({
        phase: 'Failed',
        containerStatuses: [{ ...base, name: 'c', state: { terminated: { exitCode: 3 } } }],
      }),
      'ExitCode:3',
      '0/1',
    ],
    [
      'killed',
      pod({
        phase: 'Failed',
        containerStatuses: [{ ...base, name: 'c', state: { terminated: { exitCode: 137, signal: 9 } } }],
      }),
      'Signal:9',
      '0/1',
    ],
    ['evicted', pod({ phase: 'Failed', reason: 'Evicted' }), 'Evicted', '0/1'],
    [
      'on its way out',
      pod({ phase: 'Running', containerStatuses: [running] }, deleted),
      'Terminating',
      '1/1',
    ],
    [
      'first init container',
      pod(
        { phase: 'Pending', initContainerStatuses: [{ ...base, name: 'i1', state: { running: {} } }] },
        twoInit,
      ),
      'Init:0/2',
      '0/1',
    ],
    [
      'second init container failed',
      pod(
        {
          phase: 'Pending',
          initContainerStatuses: [
            { ...base, name: 'i1', state: { terminated: { exitCode: 0 } } },
            { ...base, name: 'i2', state: { terminated: { exitCode: 1, reason: 'Error' } } },
          ],
        },
        twoInit,
      ),
      'Init:Error',
      '0/1',
    ],
    [
      'init container that cannot start',
      pod(
        {
          phase: 'Pending',
          initContainerStatuses: [
            { ...base, name: 'i1', state: { waiting: { reason: 'ImagePullBackOff' } } },
          ],
        },
        twoInit,
      ),
      'Init:ImagePullBackOff',
      '0/1',
    ],
  ])('%s', (_what, given, status, ready) => {
    const summary = summarizePod(given);
    expect(summary.status).toBe(status);
    expect(`${summary.ready}/${summary.total}`).toBe(ready);
  });

  test('restarts say when the last one was', () => {
    const crashed = {
      ...running,
      restartCount: 2,
      lastState: { terminated: { exitCode: 1, finishedAt: '2026-01-01T00:00:00Z' } },
    };
    const given = pod({ phase: 'Running', containerStatuses: [crashed] });
    const cells = podColumns.cells(given as never, Date.parse('2026-01-01T00:05:00Z'));
    expect(cells[3]).toBe('2 (5m ago)');
  });
});
