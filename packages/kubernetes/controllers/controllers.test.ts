import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isPlatformError } from '@hypernetes/foundation/errors';
import { schemasForTests } from '../api/schemas.fixture.ts';
import { ensurePki, startApiServer, type ApiServer, type Pki } from '../apiserver/index.ts';
import { startControllers, type Controllers } from './index.ts';
import { KubestackdFixture } from './machinery/kubestackd.fixture.ts';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { waitFor } from '@hypernetes/foundation/lifecycle';
import {
  resources,
  updateStatusWithRetry,
  type ConfigMap,
  type Deployment,
  type EndpointSlice,
  type Endpoints,
  type Event,
  type Job,
  type KubeObject,
  type Namespace,
  type Network,
  type Pod,
  type ReplicaSet,
  type Service,
  createKubeClient,
  type KubeClient,
  type Node,
  type ObjectKey,
  type Resource,
} from '../client/index.ts';
import { startScheduler } from '../scheduler/index.ts';

const schemasPath = join(import.meta.dirname, '../../../build/schemas.json');

/** A real API server, a kubestackd in memory, a client, and the controllers; no kubelet: tests say what becomes of pods. */
class ClusterFixture implements AsyncDisposable {
  readonly client: KubeClient;
  readonly kubestackd: KubestackdFixture;
  readonly #controllersClient: KubeClient;
  readonly #folder: string;
  readonly #server: ApiServer;
  readonly #pki: Pki;
  controllers: Controllers | undefined;

  private constructor(folder: string, server: ApiServer, pki: Pki) {
    this.#folder = folder;
    this.#server = server;
    this.#pki = pki;
    this.kubestackd = new KubestackdFixture(join(folder, 'kubestack.sock'));
    this.client = this.clientOf('admin');
    this.#controllersClient = this.clientOf('controllerManager');
  }

  static async start(): Promise<ClusterFixture> {
    schemasForTests();
    const folder = await mkdtemp(join(tmpdir(), 'hn-controllers-'));
    const pki = await ensurePki(join(folder, 'pki'), {
      nodeName: 'node',
      addresses: ['127.0.0.1'],
      serviceClusterIp: '10.96.0.1',
    });
    const server = await startApiServer({
      dataDir: join(folder, 'data'),
      pki,
      bindAddress: '127.0.0.1',
      port: 0,
      advertiseAddress: '127.0.0.1',
      serviceCidr: '10.96.0.0/16',
      schemasPath,
    });
    const cluster = new ClusterFixture(folder, server, pki);
    await cluster.kubestackd.start();
    return cluster;
  }

  /** A client with the rights of one part of the control plane. */
  clientOf(part: 'admin' | 'controllerManager' | 'scheduler'): KubeClient {
    const { certificatePem, keyPem } = this.#pki[part];
    return createKubeClient({
      server: this.#server.url,
      caPem: this.#pki.caPem,
      clientCertPem: certificatePem,
      clientKeyPem: keyPem,
      userAgent: 'test',
    });
  }

  async startControllers(): Promise<void> {
    this.controllers = startControllers({
      client: this.#controllersClient,
      kubestackSocket: join(this.#folder, 'kubestack.sock'),
      caPem: this.#pki.caPem,
      advertised: { address: '172.30.255.1', port: 6443 },
    });
    await this.controllers.ready;
  }

  async stopControllers(): Promise<void> {
    await this.controllers?.[Symbol.asyncDispose]();
    this.controllers = undefined;
  }

  /** Waits until the object is as wanted, and answers it. */
  async until<T extends KubeObject>(
    resource: Resource,
    key: ObjectKey,
    wanted: (object: T) => boolean,
    timeoutMs = 10_000,
  ): Promise<T> {
    let last: T | undefined;
    return await waitFor<T>(
      `${resource.plural} ${key.name}`,
      { timeoutMs, intervalMs: 20 },
      async () => {
        last = await this.client.get<T>(resource, key);
        return wanted(last) ? last : undefined;
      },
      () => last,
    );
  }

  async untilGone(resource: Resource, key: ObjectKey, timeoutMs = 10_000): Promise<void> {
    await waitFor(`end of ${resource.plural} ${key.name}`, { timeoutMs, intervalMs: 20 }, async () => {
      try {
        await this.client.get(resource, key);
        return false;
      } catch (error) {
        if (isPlatformError(error, 'NotFound')) return true;
        throw error;
      }
    });
  }

  async pods(namespace: string): Promise<Pod[]> {
    return (await this.client.list<Pod>(resources.pods, { namespace })).items;
  }

  async namespace(name: string, network?: string): Promise<void> {
    const namespace = { metadata: { name }, spec: network === undefined ? {} : { network } };
    await this.client.create(resources.namespaces, namespace);
  }

  /** Makes a node that is Ready, without taints. */
  async node(name: string): Promise<void> {
    await this.client.create<Node>(resources.nodes, { metadata: { name } });
    await updateStatusWithRetry<Node>(this.client, resources.nodes, { name }, (node) => ({
      ...node,
      status: {
        allocatable: { cpu: '4', memory: '8Gi', pods: '20' },
        capacity: { cpu: '4', memory: '8Gi', pods: '20' },
        conditions: [{ type: 'Ready', status: 'True', lastHeartbeatTime: '2026-01-01T00:00:00Z' }],
      },
    }));
  }

  /** What a kubelet would report: running and ready, at an address. */
  async runPod(key: ObjectKey, podIp: string, ready = true): Promise<void> {
    await updateStatusWithRetry<Pod>(this.client, resources.pods, key, (pod) => ({
      ...pod,
      status: {
        ...pod.status,
        phase: 'Running',
        podIP: podIp,
        podIPs: [{ ip: podIp }],
        conditions: [
          { type: 'Ready', status: ready ? 'True' : 'False', lastTransitionTime: '2026-01-01T00:00:00Z' },
        ],
      },
    }));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopControllers();
    await this.client[Symbol.asyncDispose]();
    await this.#controllersClient[Symbol.asyncDispose]();
    await this.kubestackd[Symbol.asyncDispose]();
    await this.#server[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

let cluster: ClusterFixture;
beforeAll(async () => {
  cluster = await ClusterFixture.start();
  await cluster.startControllers();
}, 60_000);
afterAll(async () => {
  await cluster[Symbol.asyncDispose]();
});

const until = (what: string, probe: () => boolean | Promise<boolean>): Promise<true> =>
  waitFor(what, { timeoutMs: 10_000, intervalMs: 20 }, async () => (await probe()) || undefined);
const container = { name: 'c', image: 'nginx', ports: [{ name: 'web', containerPort: 80 }] };
const podOf = (namespace: string, name: string, labels: Record<string, string> = {}): Pod => ({
  metadata: { name, namespace, labels },
  spec: { containers: [container] },
});
const networkOf = (
  name: string,
  tenantID: string,
  cidr = '192.168.0.0/24',
  gateway = '192.168.0.1',
): Network => ({
  metadata: { name },
  spec: { tenantID, subnets: { subnet1: { cidr, gateway } } },
});

describe('bootstrap', () => {
  test('namespaces have their account and the authority; the cluster its two services', async () => {
    for (const namespace of ['default', 'kube-system']) {
      await cluster.until(resources.serviceAccounts, { namespace, name: 'default' }, () => true);
    }
    const authority = await cluster.until<ConfigMap>(
      resources.configMaps,
      { namespace: 'default', name: 'kube-root-ca.crt' },
      () => true,
    );
    expect(authority.data?.['ca.crt']).toContain('BEGIN CERTIFICATE');
    const dns = await cluster.until<Service>(
      resources.services,
      { namespace: 'kube-system', name: 'kube-dns' },
      () => true,
    );
    expect(dns.spec?.clusterIP).toBe('10.96.0.10');
    const api = await cluster.until<Service>(
      resources.services,
      { namespace: 'default', name: 'kubernetes' },
      () => true,
    );
    expect(api.spec?.clusterIP).toBe('10.96.0.1');
    await until('default network', () => cluster.kubestackd.networks.has('default'));
    await until(
      'table',
      () =>
        cluster.kubestackd.tables.get('default')?.get('default/kubernetes')?.ports[0]?.targets[0]?.port ===
        6443,
    );
    const table = cluster.kubestackd.tables.get('default');
    expect(
      table?.get('kube-system/kube-dns')?.ports.map(({ protocol, targets }) => [protocol, targets]),
    ).toEqual([
      ['UDP', [{ address: '10.244.0.1', port: 53 }]],
      ['TCP', [{ address: '10.244.0.1', port: 53 }]],
    ]);
  });
});

describe('network', () => {
  test('waits for its tenant, becomes active, is not deleted while used, is deleted whole', async () => {
    await cluster.client.create(resources.networks, networkOf('late', 'tenant-late'));
    const pending = await cluster.until<Network>(
      resources.networks,
      { name: 'late' },
      ({ status }) => status?.phase === 'Pending',
    );
    expect(pending.status).toMatchObject({ reason: 'TenantNotFound' });
    expect(pending.status?.conditions).toContainEqual(
      expect.objectContaining({ type: 'Ready', status: 'False', reason: 'TenantNotFound' }),
    );
    cluster.kubestackd.addTenant('tenant-late');
    const active = await cluster.until<Network>(
      resources.networks,
      { name: 'late' },
      ({ status }) => status?.phase === 'Active',
    );
    expect(active.status?.providerNetworkID).toBe(`provider-${active.metadata.uid!}`);
    expect(active.status?.reason).toBeUndefined();
    expect(active.metadata.finalizers).toContain('hypernetes.io/network');
    await until('events', async () => {
      const { items } = await cluster.client.list<Event>(resources.events, { namespace: 'default' });
      const reasons = items
        .filter(({ involvedObject }) => involvedObject.name === 'late')
        .map(({ reason }) => reason);
      return reasons.includes('TenantNotFound') && reasons.includes('NetworkActive');
    });
    await cluster.namespace('on-late', 'late');
    await until(
      'namespace seen',
      async () =>
        (await cluster.client.get<Namespace>(resources.namespaces, { name: 'on-late' })).spec?.network ===
        'late',
    );
    await new Promise((resolve) => setTimeout(resolve, 100));
    await cluster.client.delete(resources.networks, { name: 'late' });
    const used = await cluster.until<Network>(
      resources.networks,
      { name: 'late' },
      ({ status }) => status?.phase === 'Terminating',
    );
    expect(used.status?.message).toContain('namespaces on-late');
    expect(cluster.kubestackd.networks.has(active.metadata.uid!)).toBe(true);
    await cluster.client.delete(resources.namespaces, { name: 'on-late' });
    await cluster.untilGone(resources.networks, { name: 'late' });
    expect(cluster.kubestackd.networks.has(active.metadata.uid!)).toBe(false);
  });

  test('a provider that is down means Pending and is tried again', async () => {
    cluster.kubestackd.addTenant('tenant-down');
    await cluster.kubestackd.stop();
    await cluster.client.create(resources.networks, networkOf('down', 'tenant-down'));
    const pending = await cluster.until<Network>(
      resources.networks,
      { name: 'down' },
      ({ status }) => status?.phase === 'Pending',
    );
    expect(pending.status?.reason).toBe('ProviderUnavailable');
    await cluster.kubestackd.start();
    await cluster.until<Network>(
      resources.networks,
      { name: 'down' },
      ({ status }) => status?.phase === 'Active',
    );
    await cluster.client.delete(resources.networks, { name: 'down' });
    await cluster.untilGone(resources.networks, { name: 'down' });
  });

  test('what the provider has and nobody asked for any more is swept', async () => {
    const orphan = { uid: 'orphan', name: 'x', tenantId: 't', subnets: [], providerNetworkId: '' };
    cluster.kubestackd.networks.set('orphan', orphan);
    await cluster.kubestackd.stop();
    await cluster.kubestackd.start();
    await until('sweep', () => !cluster.kubestackd.networks.has('orphan'));
    expect(cluster.kubestackd.networks.has('default')).toBe(true);
  });
});

describe('services', () => {
  test('endpoints, slices and tables follow the pods; a change costs one entry', async () => {
    await cluster.namespace('svc');
    await cluster.until(resources.serviceAccounts, { namespace: 'svc', name: 'default' }, () => true);
    await cluster.client.create<Service>(resources.services, {
      metadata: { name: 'web', namespace: 'svc' },
      spec: { selector: { app: 'web' }, ports: [{ name: 'http', port: 8080, targetPort: 'web' }] },
    });
    for (const name of ['a', 'b'])
      await cluster.client.create(resources.pods, podOf('svc', name, { app: 'web' }));
    await cluster.runPod({ namespace: 'svc', name: 'a' }, '10.244.0.5');
    await cluster.runPod({ namespace: 'svc', name: 'b' }, '10.244.0.6', false);
    await until(
      'table',
      () => cluster.kubestackd.tables.get('default')?.get('svc/web')?.ports[0]?.targets.length === 1,
    );
    expect(cluster.kubestackd.tables.get('default')?.get('svc/web')?.ports).toEqual([
      { name: 'http', protocol: 'TCP', port: 8080, targets: [{ address: '10.244.0.5', port: 80 }] },
    ]);
    const slicesOf = async () =>
      await cluster.client.list<EndpointSlice>(resources.endpointSlices, { namespace: 'svc' });
    await until('both in the slice', async () => (await slicesOf()).items[0]?.endpoints.length === 2);
    const slices = await slicesOf();
    expect(slices.items).toHaveLength(1);
    expect(
      slices.items[0]?.endpoints.map(({ addresses, conditions }) => [addresses[0], conditions?.ready]),
    ).toEqual([
      ['10.244.0.5', true],
      ['10.244.0.6', false],
    ]);
    const legacy = await cluster.until<Endpoints>(
      resources.endpoints,
      { namespace: 'svc', name: 'web' },
      ({ subsets }) => subsets?.[0]?.notReadyAddresses?.length === 1,
    );
    expect(legacy.subsets?.[0]?.addresses?.map(({ ip }) => ip)).toEqual(['10.244.0.5']);
    const before = { ...cluster.controllers!.serviceTableTraffic };
    await cluster.runPod({ namespace: 'svc', name: 'b' }, '10.244.0.6');
    await until(
      'second target',
      () => cluster.kubestackd.tables.get('default')?.get('svc/web')?.ports[0]?.targets.length === 2,
    );
    await until('count', () => cluster.controllers!.serviceTableTraffic.upserts > before.upserts);
    expect(cluster.controllers!.serviceTableTraffic).toEqual({ ...before, upserts: before.upserts + 1 });
    expect(cluster.kubestackd.applied.at(-1)).toMatchObject({
      full: false,
      upserts: [{ key: { name: 'web' } }],
      removals: [],
    });
    await cluster.client.delete(resources.services, { namespace: 'svc', name: 'web' });
    await until('removal', () => !cluster.kubestackd.tables.get('default')!.has('svc/web'));
    await until(
      'slices gone',
      async () =>
        (await cluster.client.list(resources.endpointSlices, { namespace: 'svc' })).items.length === 0,
    );
    await cluster.untilGone(resources.endpoints, { namespace: 'svc', name: 'web' });
  });

  test('a network has its own table and load balancers; a conflict is told and solved later', async () => {
    cluster.kubestackd.addTenant('tenant-lb');
    await cluster.client.create(resources.networks, networkOf('lb', 'tenant-lb'));
    const network = await cluster.until<Network>(
      resources.networks,
      { name: 'lb' },
      ({ status }) => status?.phase === 'Active',
    );
    const uid = network.metadata.uid!;
    await cluster.namespace('lb', 'lb');
    await cluster.until(resources.serviceAccounts, { namespace: 'lb', name: 'default' }, () => true);
    const external = (name: string): Service => ({
      metadata: { name, namespace: 'lb' },
      spec: {
        type: 'LoadBalancer',
        selector: { app: 'web' },
        ports: [{ port: 80 }],
        externalIPs: ['172.30.0.10'],
      },
    });
    await cluster.client.create(resources.services, external('one'));
    const shown = await cluster.until<Service>(
      resources.services,
      { namespace: 'lb', name: 'one' },
      ({ status }) => (status?.loadBalancer?.ingress ?? []).length > 0,
    );
    expect(shown.status?.loadBalancer?.ingress?.[0]?.ip).toBe('172.30.0.10');
    expect(shown.metadata.finalizers).toContain('service.kubernetes.io/load-balancer-cleanup');
    await cluster.client.create(resources.pods, podOf('lb', 'p', { app: 'web' }));
    await cluster.runPod({ namespace: 'lb', name: 'p' }, '192.168.0.7');
    await until(
      'member',
      () => cluster.kubestackd.loadBalancers.get(shown.metadata.uid!)?.listeners[0]?.members.length === 1,
    );
    expect(cluster.kubestackd.loadBalancers.get(shown.metadata.uid!)).toMatchObject({
      tenantId: 'tenant-lb',
      networkUid: uid,
      addresses: ['172.30.0.10'],
      listeners: [{ port: 80, protocol: 'TCP', members: [{ address: '192.168.0.7', port: 80 }] }],
    });
    await until('table of the network', () => cluster.kubestackd.tables.get(uid)?.has('lb/one') === true);
    expect(cluster.kubestackd.tables.get(uid)?.get('kube-system/kube-dns')?.ports[0]?.targets).toEqual([
      { address: '192.168.0.1', port: 53 },
    ]);
    expect(cluster.kubestackd.tables.get('default')?.has('lb/one')).toBe(false);
    await cluster.client.create(resources.services, external('two'));
    const refused = await cluster.until<Service>(
      resources.services,
      { namespace: 'lb', name: 'two' },
      ({ status }) => (status?.conditions ?? []).length > 0,
    );
    expect(refused.status?.conditions?.[0]).toMatchObject({
      type: 'LoadBalancerReady',
      status: 'False',
      reason: 'AddressConflict',
    });
    await cluster.client.delete(resources.services, { namespace: 'lb', name: 'one' });
    await cluster.untilGone(resources.services, { namespace: 'lb', name: 'one' });
    await cluster.until<Service>(
      resources.services,
      { namespace: 'lb', name: 'two' },
      ({ status }) => (status?.loadBalancer?.ingress ?? []).length > 0,
      15_000,
    );
    await cluster.client.delete(resources.namespaces, { name: 'lb' });
    await cluster.client.delete(resources.pods, { namespace: 'lb', name: 'p' }, { gracePeriodSeconds: 0 });
    await cluster.client.delete(resources.networks, { name: 'lb' });
    await cluster.untilGone(resources.networks, { name: 'lb' }, 20_000);
    expect(cluster.kubestackd.loadBalancers.size).toBe(0);
  });
});

describe('workloads', () => {
  const deploymentOf = (image: string, replicas: number): Deployment => ({
    metadata: { name: 'web', namespace: 'work' },
    spec: {
      replicas,
      selector: { matchLabels: { app: 'web' } },
      template: { metadata: { labels: { app: 'web' } }, spec: { containers: [{ ...container, image }] } },
    },
  });
  const key = { namespace: 'work', name: 'web' };
  const runAll = async (): Promise<void> => {
    for (const pod of await cluster.pods('work')) {
      if (pod.status?.phase !== 'Running' && pod.metadata.deletionTimestamp === undefined) {
        await cluster
          .runPod(pod.metadata, `10.244.1.${Math.floor(Math.random() * 250)}`)
          .catch(() => undefined);
      }
      // No kubelet here to see the grace time out.
      if (pod.metadata.deletionTimestamp !== undefined) {
        await cluster.client
          .delete(resources.pods, pod.metadata, { gracePeriodSeconds: 0 })
          .catch(() => undefined);
      }
    }
  };

  test('rolls out, rolls over, scales, is deleted with all it made', async () => {
    await cluster.namespace('work');
    await cluster.until(resources.serviceAccounts, { namespace: 'work', name: 'default' }, () => true);
    await cluster.client.create(resources.deployments, deploymentOf('nginx:1', 3));
    const available = async (revision: string): Promise<Deployment> => {
      await until(`revision ${revision}`, async () => {
        await runAll();
        const { metadata, status } = await cluster.client.get<Deployment>(resources.deployments, key);
        return (
          metadata.annotations?.['deployment.kubernetes.io/revision'] === revision &&
          status?.observedGeneration === metadata.generation &&
          status?.updatedReplicas === 3 &&
          status.replicas === 3 &&
          status.availableReplicas === 3
        );
      });
      return await cluster.client.get<Deployment>(resources.deployments, key);
    };
    const first = await available('1');
    expect(first.status?.conditions).toContainEqual(
      expect.objectContaining({ type: 'Progressing', status: 'True', reason: 'NewReplicaSetAvailable' }),
    );
    expect(await cluster.pods('work')).toHaveLength(3);
    await cluster.client.patch(resources.deployments, key, 'json', [
      { op: 'replace', path: '/spec/template/spec/containers/0/image', value: 'nginx:2' },
    ]);
    await available('2');
    await until('old pods gone', async () => {
      await runAll();
      return (await cluster.pods('work')).length === 3;
    });
    expect((await cluster.pods('work')).map(({ spec }) => spec?.containers[0]?.image)).toEqual([
      'nginx:2',
      'nginx:2',
      'nginx:2',
    ]);
    const sets = (await cluster.client.list<ReplicaSet>(resources.replicaSets, { namespace: 'work' })).items;
    expect(sets.map(({ spec }) => spec?.replicas).sort()).toEqual([0, 3]);
    await cluster.client.patch(resources.deployments, key, 'merge', { spec: { replicas: 1 } });
    await until('scaled', async () => {
      await runAll();
      return (await cluster.pods('work')).length === 1;
    });
    await cluster.client.delete(resources.deployments, key, { propagationPolicy: 'Foreground' });
    await until('all gone', async () => {
      await runAll();
      const left = await cluster.client.list(resources.replicaSets, { namespace: 'work' });
      return left.items.length === 0 && (await cluster.pods('work')).length === 0;
    });
    await cluster.untilGone(resources.deployments, key);
  }, 40_000);

  test('orphaned pods stay and are adopted again; background deletion takes them', async () => {
    const set: ReplicaSet = {
      metadata: { name: 'rs', namespace: 'work' },
      spec: {
        replicas: 2,
        selector: { matchLabels: { set: 'rs' } },
        template: { metadata: { labels: { set: 'rs' } }, spec: { containers: [container] } },
      },
    };
    const setKey = { namespace: 'work', name: 'rs' };
    const own = async (): Promise<Pod[]> =>
      (await cluster.pods('work')).filter(({ metadata }) => metadata.labels?.['set'] === 'rs');
    await cluster.client.create(resources.replicaSets, set);
    await until('pods', async () => (await own()).length === 2);
    const names = (await own()).map(({ metadata }) => metadata.name).sort();
    await cluster.client.delete(resources.replicaSets, setKey, { propagationPolicy: 'Orphan' });
    await cluster.untilGone(resources.replicaSets, setKey);
    expect((await own()).every(({ metadata }) => (metadata.ownerReferences ?? []).length === 0)).toBe(true);
    const again = await cluster.client.create(resources.replicaSets, set);
    await until('adopted', async () =>
      (await own()).every(({ metadata }) => metadata.ownerReferences?.[0]?.uid === again.metadata.uid),
    );
    expect((await own()).map(({ metadata }) => metadata.name).sort()).toEqual(names);
    await cluster.client.delete(resources.replicaSets, setKey, { propagationPolicy: 'Background' });
    await until('collected', async () =>
      (await own()).every(({ metadata }) => metadata.deletionTimestamp !== undefined),
    );
  });
});

describe('job', () => {
  test('runs its pods to completion', async () => {
    await cluster.namespace('job');
    await cluster.until(resources.serviceAccounts, { namespace: 'job', name: 'default' }, () => true);
    await cluster.client.create<Job>(resources.jobs, {
      metadata: { name: 'j', namespace: 'job' },
      spec: {
        completions: 2,
        parallelism: 1,
        template: { spec: { containers: [container], restartPolicy: 'Never' } },
      },
    });
    const finish = async (): Promise<void> => {
      for (const pod of await cluster.pods('job')) {
        if (pod.status?.phase === 'Succeeded') continue;
        await updateStatusWithRetry<Pod>(cluster.client, resources.pods, pod.metadata, (current) => ({
          ...current,
          status: { ...current.status, phase: 'Succeeded' },
        }));
      }
    };
    const key = { namespace: 'job', name: 'j' };
    await until('completion', async () => {
      await finish();
      const { status } = await cluster.client.get<Job>(resources.jobs, key);
      return status?.conditions?.some(({ type }) => type === 'Complete') === true;
    });
    const done = await cluster.client.get<Job>(resources.jobs, key);
    expect(done.status).toMatchObject({ succeeded: 2 });
    expect(done.status?.completionTime).toBeDefined();
    expect(await cluster.pods('job')).toHaveLength(2);
  });
});

describe('namespace', () => {
  test('is emptied of all kinds, waits for finalizers, says what is left', async () => {
    await cluster.namespace('doomed');
    await cluster.client.create<ConfigMap>(resources.configMaps, {
      metadata: { name: 'held', namespace: 'doomed', finalizers: ['example.com/hold'] },
    });
    await cluster.client.create<KubeObject>(resources.secrets, {
      metadata: { name: 's', namespace: 'doomed' },
    });
    await cluster.client.delete(resources.namespaces, { name: 'doomed' });
    const waiting = await cluster.until<Namespace>(
      resources.namespaces,
      { name: 'doomed' },
      ({ status }) => (status?.conditions ?? []).length > 0,
    );
    expect(waiting.status?.conditions).toContainEqual(
      expect.objectContaining({
        type: 'NamespaceFinalizersRemaining',
        status: 'True',
        message: expect.stringContaining('example.com/hold in 1 resource instances'),
      }),
    );
    await cluster.client.patch(resources.configMaps, { namespace: 'doomed', name: 'held' }, 'merge', {
      metadata: { finalizers: null },
    });
    await cluster.untilGone(resources.namespaces, { name: 'doomed' });
  });
});

describe('scheduler', () => {
  test('binds what fits, says why the rest does not, and binds it when there is room', async () => {
    await cluster.namespace('sched');
    await cluster.until(resources.serviceAccounts, { namespace: 'sched', name: 'default' }, () => true);
    await using client = cluster.clientOf('scheduler');
    await using _scheduler = await startScheduler({ client });
    const big = (name: string): Pod => ({
      metadata: { name, namespace: 'sched' },
      spec: {
        containers: [{ name: 'c', image: 'x', resources: { requests: { memory: '5Gi' } } }],
        terminationGracePeriodSeconds: 0,
      },
    });
    await cluster.client.create(resources.pods, big('one'));
    await cluster.client.create(resources.pods, big('two'));
    const condition = (pod: Pod) => pod.status?.conditions?.find(({ type }) => type === 'PodScheduled');
    const early = await cluster.until<Pod>(
      resources.pods,
      { namespace: 'sched', name: 'one' },
      (pod) => condition(pod) !== undefined,
    );
    expect(condition(early)?.message).toBe('no nodes available to schedule pods');
    await cluster.node('node');
    await until('one bound', async () =>
      (await cluster.pods('sched')).some(({ spec }) => spec?.nodeName === 'node'),
    );
    await until('other refused', async () =>
      (await cluster.pods('sched')).some(
        (pod) => condition(pod)?.message === '0/1 nodes are available: 1 Insufficient memory.',
      ),
    );
    const pods = await cluster.pods('sched');
    expect(pods.filter(({ spec }) => spec?.nodeName === 'node')).toHaveLength(1);
    const bound = pods.find(({ spec }) => spec?.nodeName === 'node')!;
    const waits = pods.find((pod) => pod !== bound)!;
    expect(condition(waits)).toMatchObject({ status: 'False', reason: 'Unschedulable' });
    await cluster.client.delete(resources.pods, bound.metadata, { gracePeriodSeconds: 0 });
    await cluster.until<Pod>(resources.pods, waits.metadata, ({ spec }) => spec?.nodeName === 'node');
    await until('event', async () => {
      const { items } = await cluster.client.list<Event>(resources.events, { namespace: 'sched' });
      return items.some(
        ({ reason, message }) =>
          reason === 'Scheduled' && message === `Successfully assigned sched/${waits.metadata.name} to node`,
      );
    });
  }, 30_000);
});

describe('restart', () => {
  test('controllers that start again change nothing that is right', async () => {
    await cluster.namespace('calm');
    await cluster.until(resources.serviceAccounts, { namespace: 'calm', name: 'default' }, () => true);
    await cluster.client.create<ReplicaSet>(resources.replicaSets, {
      metadata: { name: 'rs', namespace: 'calm' },
      spec: {
        replicas: 3,
        selector: { matchLabels: { set: 'rs' } },
        template: { metadata: { labels: { set: 'rs' } }, spec: { containers: [container] } },
      },
    });
    await cluster.until<ReplicaSet>(
      resources.replicaSets,
      { namespace: 'calm', name: 'rs' },
      ({ status }) => status?.replicas === 3,
    );
    const before = (await cluster.pods('calm')).map(({ metadata }) => metadata.uid).sort();
    await cluster.stopControllers();
    await cluster.startControllers();
    await cluster.client.patch(resources.replicaSets, { namespace: 'calm', name: 'rs' }, 'merge', {
      spec: { replicas: 4 },
    });
    await cluster.until<ReplicaSet>(
      resources.replicaSets,
      { namespace: 'calm', name: 'rs' },
      ({ status }) => status?.replicas === 4,
    );
    const after = (await cluster.pods('calm')).map(({ metadata }) => metadata.uid);
    expect(after).toHaveLength(4);
    expect(after).toEqual(expect.arrayContaining(before));
  });
});
