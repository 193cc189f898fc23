import { describe, expect, it } from 'vitest';
import type { Container, Pod, PodSpec, PodStatus } from '../kube-types.ts';
import type { PodRuntime, RuntimeContainer, RuntimeSandbox } from '../runtime/pod-runtime.ts';
import { containerHash } from './container-hash.ts';
import { planPod, type PodAction, type PodPlanInput } from './pod-plan.ts';

const now = 1_700_000_000_000;
const web: Container = { name: 'web', image: 'nginx' };
const helper: Container = { name: 'helper', image: 'busybox' };
const prepare: Container = { name: 'prepare', image: 'busybox' };

function podOf(
  spec: Partial<PodSpec> = {},
  metadata: Partial<Pod['metadata']> = {},
  status?: PodStatus,
): Pod {
  return {
    metadata: { name: 'p', namespace: 'n', uid: 'u', ...metadata },
    spec: { containers: [web], ...spec },
    ...(status === undefined ? {} : { status }),
  };
}

function sandboxOf(overrides: Partial<RuntimeSandbox> = {}): RuntimeSandbox {
  return {
    id: 's0',
    attempt: 0,
    ready: true,
    createdAtMs: now - 60_000,
    addresses: ['10.0.0.2'],
    isolation: 'tcg',
    trace: '',
    ...overrides,
  };
}

function containerOf(spec: Container, overrides: Partial<RuntimeContainer> = {}): RuntimeContainer {
  return {
    id: `${spec.name}-0`,
    name: spec.name,
    sandboxId: 's0',
    attempt: 0,
    state: 'running',
    createdAtMs: now - 50_000,
    startedAtMs: now - 50_000,
    finishedAtMs: 0,
    exitCode: 0,
    reason: '',
    message: '',
    image: spec.image ?? '',
    imageRef: '',
    hash: containerHash(spec),
    restartDelayS: 0,
    logPath: '',
    annotations: {},
    ...overrides,
  };
}

function exited(
  spec: Container,
  exitCode: number,
  overrides: Partial<RuntimeContainer> = {},
): RuntimeContainer {
  return containerOf(spec, { state: 'exited', exitCode, finishedAtMs: now - 1_000, ...overrides });
}

function plan(
  pod: Pod,
  runtime: Partial<PodRuntime>,
  overrides: Partial<PodPlanInput> = {},
): ReturnType<typeof planPod> {
  return planPod({
    pod,
    runtime: { uid: 'u', name: 'p', namespace: 'n', sandboxes: [], containers: [], ...runtime },
    nowMs: now,
    condemned: new Map(),
    isStarted: () => true,
    ...overrides,
  });
}

function describeAction(action: PodAction): string {
  switch (action.kind) {
    case 'createSandbox':
      return `createSandbox ${action.attempt}`;
    case 'stopSandbox':
    case 'removeSandbox':
      return `${action.kind} ${action.sandboxId}`;
    case 'startContainer':
      return `start ${action.container.name} ${action.attempt} delay ${action.restartDelayS}`;
    case 'killContainer':
      return `kill ${action.container.id} ${action.graceS}: ${action.message}`;
    case 'removeContainer':
      return `removeContainer ${action.container.id}`;
    case 'finalize':
      return 'finalize';
  }
}

const deleted = {
  deletionTimestamp: new Date(now + 20_000).toISOString(),
  deletionGracePeriodSeconds: 30,
};

describe('planPod', () => {
  const sandboxes = [sandboxOf()];
  const cases: [string, Pod, Partial<PodRuntime>, string[]][] = [
    ['a new pod gets a sandbox', podOf(), {}, ['createSandbox 0']],
    [
      'then its containers',
      podOf({ containers: [web, helper] }),
      { sandboxes },
      ['start web 0 delay 0', 'start helper 0 delay 0'],
    ],
    ['a running pod is left alone', podOf(), { sandboxes, containers: [containerOf(web)] }, []],
    [
      'a dead container restarts alone',
      podOf({ containers: [web, helper] }),
      {
        sandboxes,
        containers: [exited(web, 1), containerOf(helper)],
      },
      ['start web 1 delay 10'],
    ],
    [
      'exit code 0 restarts with Always',
      podOf(),
      { sandboxes, containers: [exited(web, 0)] },
      ['start web 1 delay 10'],
    ],
    [
      'OnFailure leaves success alone',
      podOf({ restartPolicy: 'OnFailure', containers: [web, helper] }),
      {
        sandboxes,
        containers: [exited(web, 0), containerOf(helper)],
      },
      [],
    ],
    [
      'Never leaves failure alone',
      podOf({ restartPolicy: 'Never', containers: [web, helper] }),
      {
        sandboxes,
        containers: [exited(web, 1), containerOf(helper)],
      },
      [],
    ],
    [
      'a complete pod gives its machine back',
      podOf({ restartPolicy: 'Never' }),
      {
        sandboxes,
        containers: [exited(web, 0)],
      },
      ['stopSandbox s0'],
    ],
    [
      'a complete and stopped pod needs nothing',
      podOf({ restartPolicy: 'Never' }),
      {
        sandboxes: [sandboxOf({ ready: false })],
        containers: [exited(web, 0)],
      },
      [],
    ],
    [
      'a dead sandbox is replaced',
      podOf(),
      {
        sandboxes: [sandboxOf({ ready: false, attempt: 2 })],
        containers: [exited(web, 137)],
      },
      ['createSandbox 3'],
    ],
    [
      'but not when nothing restarts',
      podOf({ restartPolicy: 'Never', containers: [web, helper] }),
      {
        sandboxes: [sandboxOf({ ready: false })],
        containers: [exited(web, 137)],
      },
      [],
    ],
    [
      'containers of the old sandbox start in the new one',
      podOf(),
      {
        sandboxes: [sandboxOf({ id: 's1', attempt: 1 }), sandboxOf({ ready: false })],
        containers: [exited(web, 137)],
      },
      ['start web 1 delay 10'],
    ],
    [
      'init containers come first',
      podOf({ initContainers: [prepare] }),
      { sandboxes },
      ['start prepare 0 delay 0'],
    ],
    [
      'and hold the others back',
      podOf({ initContainers: [prepare] }),
      {
        sandboxes,
        containers: [containerOf(prepare)],
      },
      [],
    ],
    [
      'until they succeed',
      podOf({ initContainers: [prepare] }),
      {
        sandboxes,
        containers: [exited(prepare, 0)],
      },
      ['start web 0 delay 0'],
    ],
    [
      'a failed init container is tried again',
      podOf({ initContainers: [prepare] }),
      {
        sandboxes,
        containers: [exited(prepare, 1)],
      },
      ['start prepare 1 delay 10'],
    ],
    [
      'with Never it ends the pod',
      podOf({ initContainers: [prepare], restartPolicy: 'Never' }),
      {
        sandboxes,
        containers: [exited(prepare, 1)],
      },
      ['stopSandbox s0'],
    ],
    [
      'init containers run again in a new sandbox',
      podOf({ initContainers: [prepare] }),
      {
        sandboxes: [sandboxOf({ id: 's1', attempt: 1 }), sandboxOf({ ready: false })],
        containers: [exited(web, 137), exited(prepare, 0)],
      },
      ['start prepare 1 delay 10'],
    ],
    [
      'a container made and not started is made again',
      podOf(),
      {
        sandboxes,
        containers: [containerOf(web, { state: 'created', attempt: 4 })],
      },
      ['removeContainer web-0', 'start web 4 delay 0'],
    ],
    [
      'a changed image restarts the container',
      podOf(),
      {
        sandboxes,
        containers: [containerOf(web, { hash: 'other' })],
      },
      ['kill web-0 30: Container web definition changed, will be restarted'],
    ],
    [
      'deletion stops containers within what is left of the grace',
      podOf({}, deleted),
      {
        sandboxes,
        containers: [containerOf(web)],
      },
      ['kill web-0 20: Stopping container web'],
    ],
    ['then the sandbox', podOf({}, deleted), { sandboxes, containers: [exited(web, 0)] }, ['stopSandbox s0']],
    ['then everything', podOf({}, deleted), { sandboxes: [sandboxOf({ ready: false })] }, ['finalize']],
    ['a pod deleted before it started is only finalized', podOf({}, deleted), {}, ['finalize']],
    ['a rejected pod is never started', podOf({}, {}, { phase: 'Failed' }), {}, []],
    [
      'old dead containers go',
      podOf(),
      {
        sandboxes,
        containers: [
          containerOf(web, { id: 'web-3', attempt: 3 }),
          exited(web, 1, { id: 'web-2', attempt: 2 }),
          exited(web, 1, { id: 'web-1', attempt: 1 }),
        ],
      },
      ['removeContainer web-1'],
    ],
    [
      'old sandboxes go with their last container',
      podOf(),
      {
        sandboxes: [sandboxOf({ id: 's1', attempt: 1 }), sandboxOf({ ready: false })],
        containers: [containerOf(web, { sandboxId: 's1' })],
      },
      ['removeSandbox s0'],
    ],
  ];
  it.each(cases)('%s', (_name, pod, runtime, expected) => {
    expect(plan(pod, runtime).actions.map(describeAction)).toEqual(expected);
  });

  it('waits out the restart delay, longer each time, and wakes at its end', () => {
    const crashed = exited(web, 1, { attempt: 2, restartDelayS: 20, startedAtMs: now - 2_000 });
    const waiting = plan(podOf(), { sandboxes, containers: [crashed] });
    expect(waiting.actions).toEqual([]);
    expect(waiting.backOff.get('web')).toBe(now + 19_000);
    expect(waiting.wakeAtMs).toBe(now + 19_000);
    const later = plan(podOf(), { sandboxes, containers: [crashed] }, { nowMs: now + 19_000 });
    expect(later.actions.map(describeAction)).toEqual(['start web 3 delay 40']);
  });

  it('bounds the delay at five minutes and forgets it after ten good minutes', () => {
    const often = exited(web, 1, {
      restartDelayS: 300,
      finishedAtMs: now - 300_000,
      startedAtMs: now - 301_000,
    });
    expect(plan(podOf(), { sandboxes, containers: [often] }).actions.map(describeAction)).toEqual([
      'start web 1 delay 300',
    ]);
    const good = exited(web, 1, { restartDelayS: 300, startedAtMs: now - 700_000 });
    expect(plan(podOf(), { sandboxes, containers: [good] }).actions.map(describeAction)).toEqual([
      'start web 1 delay 10',
    ]);
  });

  it('kills what a liveness probe condemned, with the grace the probe gives', () => {
    const condemned = new Map([
      ['web-0', { message: 'Container web failed liveness probe, will be restarted', graceS: 3 }],
    ]);
    const planned = plan(podOf(), { sandboxes, containers: [containerOf(web)] }, { condemned });
    expect(planned.actions.map(describeAction)).toEqual([
      'kill web-0 3: Container web failed liveness probe, will be restarted',
    ]);
  });

  it('ends a pod past its active deadline', () => {
    const startTime = new Date(now - 61_000).toISOString();
    const pod = podOf({ activeDeadlineSeconds: 60 }, {}, { phase: 'Running', startTime });
    const planned = plan(pod, { sandboxes, containers: [containerOf(web)] });
    expect(planned.deadlineExceeded).toBe(true);
    expect(planned.actions.map(describeAction)).toEqual(['kill web-0 30: Stopping container web']);
    expect(plan(pod, { sandboxes, containers: [containerOf(web)] }, { nowMs: now - 31_000 }).wakeAtMs).toBe(
      now - 1_000,
    );
  });

  describe('sidecars', () => {
    const sidecar = { name: 'mesh', image: 'mesh', restartPolicy: 'Always' } as Container;
    const pod = podOf({ initContainers: [sidecar], restartPolicy: 'Never' });
    it('start before the containers and are waited for', () => {
      const containers = [containerOf(sidecar)];
      expect(plan(pod, { sandboxes, containers }, { isStarted: () => false }).actions).toEqual([]);
      expect(plan(pod, { sandboxes, containers }).actions.map(describeAction)).toEqual([
        'start web 0 delay 0',
      ]);
    });
    it('restart whatever the policy', () => {
      const containers = [containerOf(web), exited(sidecar, 0)];
      expect(plan(pod, { sandboxes, containers }).actions.map(describeAction)).toEqual([
        'start mesh 1 delay 10',
      ]);
    });
    it('are stopped after the containers have ended', () => {
      const ended = [exited(web, 0), containerOf(sidecar)];
      expect(plan(pod, { sandboxes, containers: ended }).actions.map(describeAction)).toEqual([
        'kill mesh-0 30: Stopping container mesh',
      ]);
    });
  });
});
