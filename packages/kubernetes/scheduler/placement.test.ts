import type { PodSpec } from 'kubernetes-types/core/v1';
import { describe, expect, test } from 'vitest';
import type { Node, Pod } from '../client/index.ts';
import { ClusterSnapshot, podInfoOf } from './cluster-snapshot.ts';
import { placePod } from './placement.ts';
import { podRequests } from './pod-requests.ts';
import { SchedulingQueue } from './scheduling-queue.ts';
import { withUnschedulable } from './scheduler.ts';

const node = (
  name: string,
  options: Partial<Node['spec'] & object> & {
    labels?: Record<string, string>;
    cpu?: string;
    memory?: string;
    pods?: string;
  } = {},
): Node => {
  const { labels, cpu = '2', memory = '4Gi', pods = '110', ...spec } = options;
  return {
    metadata: { name, labels: { 'kubernetes.io/hostname': name, ...labels } },
    spec,
    status: { allocatable: { cpu, memory, pods } },
  };
};

const pod = (
  name: string,
  spec: Partial<PodSpec> = {},
  requests: Record<string, string> = {},
  labels = {},
): Pod => ({
  metadata: { name, namespace: 'ns', uid: name, labels },
  spec: { containers: [{ name: 'c', resources: { requests } }], ...spec },
});

function place(nodes: Node[], wanted: Pod, running: Pod[] = []) {
  const snapshot = new ClusterSnapshot();
  for (const each of nodes) snapshot.setNode(each);
  for (const each of running) snapshot.setPod(each);
  const placement = placePod(podInfoOf(wanted), snapshot.nodes());
  return placement.kind === 'node' ? placement.name : placement.message;
}

const term = (app: string) => ({
  labelSelector: { matchLabels: { app } },
  topologyKey: 'kubernetes.io/hostname',
});

describe('filters', () => {
  const on = (name: string, nodeName: string, requests = {}, labels = {}, spec: Partial<PodSpec> = {}): Pod =>
    pod(name, { nodeName, ...spec }, requests, labels);
  test.each<[string, Node[], Pod, Pod[], string]>([
    ['no node', [], pod('p'), [], 'no nodes available to schedule pods'],
    ['fits', [node('n')], pod('p', {}, { cpu: '2', memory: '4Gi' }), [], 'n'],
    [
      'memory',
      [node('n')],
      pod('p', {}, { memory: '5Gi' }),
      [],
      '0/1 nodes are available: 1 Insufficient memory.',
    ],
    [
      'several reasons, sorted',
      [node('a'), node('b', { unschedulable: true })],
      pod('p', {}, { memory: '5Gi', cpu: '3' }),
      [],
      '0/2 nodes are available: 1 Insufficient cpu, 1 Insufficient memory, 1 node(s) were unschedulable.',
    ],
    [
      'what runs counts',
      [node('n')],
      pod('p', {}, { cpu: '1500m' }),
      [on('r', 'n', { cpu: '501m' })],
      '0/1 nodes are available: 1 Insufficient cpu.',
    ],
    [
      'finished pods do not count',
      [node('n')],
      pod('p', {}, { cpu: '1500m' }),
      [{ ...on('r', 'n', { cpu: '501m' }), status: { phase: 'Succeeded' } }],
      'n',
    ],
    [
      'number of pods',
      [node('n', { pods: '1' })],
      pod('p'),
      [on('r', 'n')],
      '0/1 nodes are available: 1 Too many pods.',
    ],
    [
      'unknown resource',
      [node('n')],
      pod('p', {}, { 'example.com/x': '1' }),
      [],
      '0/1 nodes are available: 1 Insufficient example.com/x.',
    ],
    [
      'overhead',
      [node('n')],
      pod('p', { overhead: { memory: '100Mi' } }, { memory: '4Gi' }),
      [],
      '0/1 nodes are available: 1 Insufficient memory.',
    ],
    [
      'taint',
      [node('n', { taints: [{ key: 'k', value: 'v', effect: 'NoSchedule' }] })],
      pod('p'),
      [],
      '0/1 nodes are available: 1 node(s) had untolerated taint {k: v}.',
    ],
    [
      'tolerated taint',
      [node('n', { taints: [{ key: 'k', value: 'v', effect: 'NoSchedule' }] })],
      pod('p', { tolerations: [{ key: 'k', operator: 'Exists' }] }),
      [],
      'n',
    ],
    [
      'node selector',
      [node('a'), node('b', { labels: { disk: 'fast' } })],
      pod('p', { nodeSelector: { disk: 'fast' } }),
      [],
      'b',
    ],
    [
      'required affinity',
      [node('a', { labels: { size: '3' } }), node('b', { labels: { size: '9' } })],
      pod('p', {
        affinity: {
          nodeAffinity: {
            requiredDuringSchedulingIgnoredDuringExecution: {
              nodeSelectorTerms: [{ matchExpressions: [{ key: 'size', operator: 'Gt', values: ['5'] }] }],
            },
          },
        },
      }),
      [],
      'b',
    ],
    [
      'selector of nothing',
      [node('a')],
      pod('p', { nodeSelector: { x: 'y' } }),
      [],
      "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector.",
    ],
    [
      'host port',
      [node('a')],
      pod('p', { containers: [{ name: 'c', ports: [{ containerPort: 80, hostPort: 80 }] }] }),
      [
        on(
          'r',
          'a',
          {},
          {},
          { containers: [{ name: 'c', ports: [{ containerPort: 1, hostPort: 80, hostIP: '10.0.0.1' }] }] },
        ),
      ],
      "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.",
    ],
    [
      'anti-affinity',
      [node('a'), node('b')],
      pod('p', {
        affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term('web')] } },
      }),
      [on('r', 'a', {}, { app: 'web' })],
      'b',
    ],
    [
      'anti-affinity of those there',
      [node('a')],
      pod('p', {}, {}, { app: 'new' }),
      [
        on(
          'r',
          'a',
          {},
          {},
          {
            affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term('new')] } },
          },
        ),
      ],
      "0/1 nodes are available: 1 node(s) didn't satisfy existing pods anti-affinity rules.",
    ],
    [
      'affinity',
      [node('a'), node('b')],
      pod('p', {
        affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term('db')] } },
      }),
      [on('r', 'b', {}, { app: 'db' })],
      'b',
    ],
    [
      'affinity to itself, first of its group',
      [node('a')],
      pod(
        'p',
        { affinity: { podAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term('db')] } } },
        {},
        { app: 'db' },
      ),
      [],
      'a',
    ],
  ])('%s', (_name, nodes, wanted, running, answer) => {
    expect(place(nodes, wanted, running)).toBe(answer);
  });
});

describe('scores', () => {
  test('the emptier node', () => {
    expect(
      place([node('a'), node('b')], pod('p'), [pod('r', { nodeName: 'a' }, { cpu: '1', memory: '2Gi' })]),
    ).toBe('b');
  });
  test('away from a taint that only discourages, towards a preferred label', () => {
    const taints = [{ key: 'k', effect: 'PreferNoSchedule' }];
    expect(place([node('a', { taints }), node('b', { cpu: '1', memory: '1Gi' })], pod('p'))).toBe('b');
    const preferred = { weight: 1, preference: { matchExpressions: [{ key: 'x', operator: 'Exists' }] } };
    const affinity = { nodeAffinity: { preferredDuringSchedulingIgnoredDuringExecution: [preferred] } };
    expect(place([node('a'), node('b', { labels: { x: '' } })], pod('p', { affinity }))).toBe('b');
  });
});

test('requests: init containers do not add up, sidecars do', () => {
  const container = (name: string, cpu: string, restartPolicy?: string) => ({
    name,
    resources: { requests: { cpu } },
    ...(restartPolicy === undefined ? {} : { restartPolicy }),
  });
  const requests = podRequests({
    containers: [container('a', '100m'), container('b', '200m')],
    initContainers: [container('i', '1'), container('s', '50m', 'Always'), container('j', '500m')],
  });
  expect(requests).toEqual({ cpu: 1000 });
});

test('an assumed pod keeps its room until it is forgotten, and an update of the unbound pod does not free it', () => {
  const snapshot = new ClusterSnapshot();
  snapshot.setNode(node('n'));
  const first = pod('first', {}, { cpu: '2' });
  snapshot.setPod(first);
  snapshot.assume(podInfoOf(first), 'n');
  snapshot.setPod(first);
  const second = podInfoOf(pod('second', {}, { cpu: '2' }));
  expect(placePod(second, snapshot.nodes()).kind).toBe('unschedulable');
  snapshot.forget('ns/first');
  expect(placePod(second, snapshot.nodes()).kind).toBe('node');
  snapshot.assume(podInfoOf(first), 'n');
  snapshot.setPod({ ...first, spec: { ...first.spec!, nodeName: 'n' } });
  snapshot.removePod('ns/first');
  expect(snapshot.nodes()[0]?.requested['cpu']).toBe(0);
});

test('queue: priority, then age; a parked pod waits for a change and then for its backoff', () => {
  let now = 0;
  const queue = new SchedulingQueue(() => now);
  queue.add({ key: 'young', priority: 0, createdAt: '2' });
  queue.add({ key: 'old', priority: 0, createdAt: '1' });
  queue.add({ key: 'important', priority: 9, createdAt: '3' });
  expect(queue.next()).toEqual({ key: 'important' });
  queue.remove('important');
  expect(queue.next()).toEqual({ key: 'old' });
  queue.failed('old', true);
  expect(queue.next()).toEqual({ key: 'young' });
  queue.retryParked();
  queue.failed('young', true);
  expect(queue.next()).toEqual({ waitMs: 1_000 });
  now = 1_000;
  expect(queue.next()).toEqual({ key: 'old' });
  queue.failed('old', true);
  expect(queue.next()).toEqual({ key: 'young' });
  queue.failed('young', true);
  expect(queue.next()).toEqual({ waitMs: undefined });
  queue.add({ key: 'old', priority: 0, createdAt: '1' }, true);
  now = 10_000;
  expect(queue.next()).toEqual({ key: 'old' });
});

test('condition: keeps the time of its last change, says nothing twice', () => {
  const once = withUnschedulable(pod('p'), 'full', 0);
  expect(once?.status?.conditions).toEqual([
    {
      type: 'PodScheduled',
      status: 'False',
      reason: 'Unschedulable',
      message: 'full',
      lastTransitionTime: '1970-01-01T00:00:00Z',
    },
  ]);
  expect(withUnschedulable(once!, 'full')).toBeUndefined();
  expect(withUnschedulable(once!, 'fuller')?.status?.conditions?.[0]).toMatchObject({
    message: 'fuller',
    lastTransitionTime: '1970-01-01T00:00:00Z',
  });
  expect(withUnschedulable(pod('p', { nodeName: 'n' }), 'full')).toBeUndefined();
});
