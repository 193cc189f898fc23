import type * as core from 'kubernetes-types/core/v1';
import type { Image, RuntimeCondition } from '@hypernetes/proto/cri';
import { isPlatformError, toPlatformError } from '@hypernetes/foundation/errors';
import { sleep, systemClock, type Clock } from '@hypernetes/foundation/lifecycle';
import { createLogger } from '@hypernetes/foundation/logging';
import { resources, type KubeClient, type Lease, type Node } from '../../client/index.ts';
import type { KubeletConfig } from '../kubelet-options.ts';
import type { NodeCapacity } from '../pods/admission.ts';
import type { CriClient } from '../runtime/cri-client.ts';
import { allocatableOf, isSameStatus, nodeStatus, readMachine, type MachineFacts } from './node-status.ts';

const log = createLogger('kubelet:node');
/** How often the runtime is asked how it is. */
const checkMs = 2_000;
/** Without a change the status is written this often. */
const heartbeatMs = 300_000;
const leaseRenewMs = 10_000;
const leaseDurationS = 40;
const leaseNamespace = 'kube-node-lease';

/** Registers the node, says how it is, and renews its lease. */
export class NodeAgent implements AsyncDisposable {
  readonly #client: KubeClient;
  readonly #cri: CriClient;
  readonly #config: KubeletConfig;
  readonly #clock: Clock;
  readonly #abort = new AbortController();
  readonly #loops: Promise<void>[] = [];
  #machine: MachineFacts;
  #port = 0;
  #node: Node | undefined;
  #writtenAtMs = 0;

  private constructor(
    client: KubeClient,
    cri: CriClient,
    config: KubeletConfig,
    machine: MachineFacts,
    clock: Clock,
  ) {
    this.#client = client;
    this.#cri = cri;
    this.#config = config;
    this.#machine = machine;
    this.#clock = clock;
  }

  static async create(
    client: KubeClient,
    cri: CriClient,
    config: KubeletConfig,
    clock: Clock = systemClock,
  ): Promise<NodeAgent> {
    return new NodeAgent(client, cri, config, await readMachine(config.dataDir), clock);
  }

  get allocatable(): NodeCapacity {
    return allocatableOf(this.#machine, this.#config);
  }

  /** `port`: where this kubelet's server listens. */
  start(port: number): void {
    this.#port = port;
    this.#loops.push(
      this.#forever('node status', checkMs, () => this.#report()),
      this.#forever('node lease', leaseRenewMs, () => this.#renewLease()),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    await Promise.allSettled(this.#loops);
  }

  async #forever(what: string, periodMs: number, work: () => Promise<void>): Promise<void> {
    const { signal } = this.#abort;
    let failing = false;
    while (!signal.aborted) {
      try {
        await work();
        failing = false;
      } catch (error) {
        if (!failing) log.warn({ what, error: toPlatformError(error).message }, 'not written, trying again');
        failing = true;
      }
      await sleep(failing ? Math.min(periodMs, 1_000) : periodMs, signal).catch(() => undefined);
    }
  }

  async #report(): Promise<void> {
    this.#node ??= await this.#register();
    this.#machine = await readMachine(this.#config.dataDir);
    const status = await this.#currentStatus(this.#node.status);
    const now = this.#clock.now();
    if (isSameStatus(this.#node.status, status) && now - this.#writtenAtMs < heartbeatMs) return;
    try {
      const key = { name: this.#config.nodeName };
      this.#node = await this.#client.patch<Node>(resources.nodes, key, 'merge', { status }, 'status');
      this.#writtenAtMs = now;
    } catch (error) {
      // Somebody deleted the node: register anew.
      this.#node = undefined;
      throw error;
    }
  }

  async #currentStatus(old: core.NodeStatus | undefined): Promise<core.NodeStatus> {
    let conditions: RuntimeCondition[] | undefined;
    let images: Image[] = [];
    let runtime = old?.nodeInfo?.containerRuntimeVersion ?? 'hyperd://unknown';
    let runtimeError = '';
    try {
      const [version, status] = await Promise.all([this.#cri.version(), this.#cri.status()]);
      runtime = `hyperd://${version.runtimeVersion}`;
      conditions = status.status?.conditions ?? [];
      images = await this.#cri.listImages();
    } catch (error) {
      runtimeError = toPlatformError(error).message;
    }
    return nodeStatus({
      machine: this.#machine,
      allocatable: this.allocatable,
      nodeName: this.#config.nodeName,
      nodeAddress: this.#config.nodeAddress,
      port: this.#port,
      containerRuntimeVersion: runtime,
      runtimeConditions: conditions,
      runtimeError,
      images,
      nowMs: this.#clock.now(),
      old,
    });
  }

  async #register(): Promise<Node> {
    const { nodeName: name, nodeLabels } = this.#config;
    const labels = {
      'kubernetes.io/hostname': name,
      'kubernetes.io/os': 'linux',
      'kubernetes.io/arch': process.arch === 'x64' ? 'amd64' : process.arch,
      ...nodeLabels,
    };
    try {
      const created = await this.#client.create<Node>(resources.nodes, {
        apiVersion: 'v1',
        kind: 'Node',
        metadata: { name, labels },
        spec: {},
      });
      log.info({ node: name }, 'node registered');
      return created;
    } catch (error) {
      if (!isPlatformError(error, 'AlreadyExists')) throw error;
    }
    return await this.#client.patch<Node>(resources.nodes, { name }, 'merge', { metadata: { labels } });
  }

  async #renewLease(): Promise<void> {
    const name = this.#config.nodeName;
    const renewTime = new Date(this.#clock.now()).toISOString().replace('Z', '000Z');
    const key = { namespace: leaseNamespace, name };
    try {
      await this.#client.patch<Lease>(resources.leases, key, 'merge', { spec: { renewTime } });
    } catch (error) {
      if (!isPlatformError(error, 'NotFound')) throw error;
      const owner = this.#node?.metadata.uid;
      await this.#client.create<Lease>(resources.leases, {
        apiVersion: 'coordination.k8s.io/v1',
        kind: 'Lease',
        metadata: {
          ...key,
          ...(owner === undefined
            ? {}
            : { ownerReferences: [{ apiVersion: 'v1', kind: 'Node', name, uid: owner }] }),
        },
        spec: { holderIdentity: name, leaseDurationSeconds: leaseDurationS, renewTime },
      });
    }
  }
}
