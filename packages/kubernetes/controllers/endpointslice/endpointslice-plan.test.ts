import { expect, test } from 'vitest';
import type { EndpointSlice, Pod, Service } from '../../client/index.ts';
import { planSubsets } from '../endpoints/endpoints-plan.ts';
import { endpointOf, planSlices } from './endpointslice-plan.ts';

const service = (spec: Partial<NonNullable<Service['spec']>> = {}): Service => ({
  metadata: { name: 'web', namespace: 'ns', uid: 's', labels: { tier: 'x' } },
  spec: {
    clusterIP: '10.96.0.5',
    selector: { app: 'web' },
    ports: [{ name: 'http', port: 80, targetPort: 'web' }],
    ...spec,
  },
});

const pod = (
  name: string,
  {
    ip = `10.0.0.${name}`,
    ready = true,
    port = 8080,
    ...rest
  }: {
    ip?: string;
    ready?: boolean;
    port?: number;
    deleted?: boolean;
    hostname?: string;
    phase?: string;
  } = {},
): Pod => ({
  metadata: {
    name,
    namespace: 'ns',
    uid: name,
    ...(rest.deleted === true ? { deletionTimestamp: 'now' } : {}),
  },
  spec: {
    nodeName: 'n',
    containers: [{ name: 'c', ports: [{ name: 'web', containerPort: port }] }],
    ...(rest.hostname === undefined ? {} : { hostname: rest.hostname, subdomain: 'web' }),
  },
  status: {
    phase: rest.phase ?? 'Running',
    podIP: ip,
    conditions: [{ type: 'Ready', status: ready ? 'True' : 'False' }],
  },
});

const stored = (slice: EndpointSlice, name: string): EndpointSlice => ({
  ...slice,
  metadata: { ...slice.metadata, name },
});

test('conditions: ready, serving, terminating; publishNotReadyAddresses; no address or finished: no endpoint', () => {
  expect(endpointOf(service(), pod('1'))?.conditions).toEqual({
    ready: true,
    serving: true,
    terminating: false,
  });
  expect(endpointOf(service(), pod('1', { deleted: true }))?.conditions).toEqual({
    ready: false,
    serving: true,
    terminating: true,
  });
  expect(
    endpointOf(service({ publishNotReadyAddresses: true }), pod('1', { ready: false }))?.conditions?.ready,
  ).toBe(true);
  expect(endpointOf(service(), pod('1', { ip: '' }))).toBeUndefined();
  expect(endpointOf(service(), pod('1', { phase: 'Succeeded' }))).toBeUndefined();
  expect(endpointOf(service(), pod('1', { hostname: 'db-0' }))?.hostname).toBe('db-0');
});

test('one slice per set of ports, at most 100 endpoints each', () => {
  const pods = Array.from({ length: 150 }, (_, i) => pod(String(i)));
  const plan = planSlices(service(), [...pods, pod('other', { port: 9090 })], []);
  expect(plan.create.map(({ endpoints, ports }) => [endpoints.length, ports?.[0]?.port])).toEqual([
    [100, 8080],
    [50, 8080],
    [1, 9090],
  ]);
  expect(plan.create[0]?.metadata).toMatchObject({
    generateName: 'web-',
    labels: {
      tier: 'x',
      'kubernetes.io/service-name': 'web',
      'endpointslice.kubernetes.io/managed-by': 'endpointslice-controller.k8s.io',
    },
    ownerReferences: [{ kind: 'Service', uid: 's' }],
  });
});

test('a change touches one slice, nothing changed touches none, the last endpoint takes the slice along', () => {
  const pods = Array.from({ length: 101 }, (_, i) => pod(String(i)));
  const slices = planSlices(service(), pods, []).create.map((slice, i) => stored(slice, `s${i}`));
  expect(planSlices(service(), pods, slices)).toEqual({ create: [], update: [], remove: [] });
  const changed = pods.map((each) => (each.metadata.name === '7' ? pod('7', { ready: false }) : each));
  expect(planSlices(service(), changed, slices).update.map(({ metadata }) => metadata.name)).toEqual(['s0']);
  const fewer = planSlices(service(), pods.slice(0, 100), slices);
  expect([fewer.update.length, fewer.remove.map(({ metadata }) => metadata.name)]).toEqual([0, ['s1']]);
  const more = planSlices(service(), [...pods, pod('new')], slices);
  expect([more.create.length, more.update.map(({ metadata }) => metadata.name)]).toEqual([0, ['s1']]);
});

test('headless without ports still has endpoints; a pod without the named port has none', () => {
  const headless = planSlices(service({ clusterIP: 'None', ports: [] }), [pod('1')], []);
  expect(headless.create[0]).toMatchObject({
    ports: [],
    metadata: { labels: { 'service.kubernetes.io/headless': '' } },
  });
  const other = service({ ports: [{ port: 80, targetPort: 'absent' }] });
  expect(planSlices(other, [pod('1')], []).create).toEqual([]);
});

test('legacy subsets', () => {
  const subsets = planSubsets(service(), [
    pod('2'),
    pod('1'),
    pod('3', { ready: false }),
    pod('4', { deleted: true }),
  ]);
  expect(subsets).toHaveLength(1);
  expect(subsets[0]?.addresses?.map(({ ip }) => ip)).toEqual(['10.0.0.1', '10.0.0.2']);
  expect(subsets[0]?.notReadyAddresses?.map(({ ip }) => ip)).toEqual(['10.0.0.3']);
  expect(subsets[0]?.ports).toEqual([{ name: 'http', protocol: 'TCP', port: 8080 }]);
});
