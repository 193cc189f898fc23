import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isPlatformError } from '@hypernetes/foundation/errors';
import { waitFor } from '@hypernetes/foundation/lifecycle';
import { ensurePki, startApiServer, type ApiServer, type Pki } from '../../apiserver/index.ts';
import { schemasForTests } from '../../api/schemas.fixture.ts';
import {
  createKubeClient,
  resources,
  updateStatusWithRetry,
  type KubeClient,
  type KubeObject,
  type Node,
  type ObjectKey,
  type Pod,
  type Resource,
} from '../../client/index.ts';
import { startControllers, type Controllers } from '../index.ts';
import { KubestackdFixture } from './kubestackd.fixture.ts';

const schemasPath = join(import.meta.dirname, '../../../../build/schemas.json');

/** A real API server, a kubestackd in memory, a client, and the controllers; no kubelet: tests say what becomes of pods. */
export class ClusterFixture implements AsyncDisposable {
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
