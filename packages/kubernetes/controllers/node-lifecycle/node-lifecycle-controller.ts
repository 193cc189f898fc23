import { isPlatformError } from '@hypernetes/foundation/errors';
import {
  keyOf,
  resources,
  updateStatusWithRetry,
  type EventRecorder,
  type Informer,
  type Lease,
  type Node,
  type Pod,
} from '../../client/index.ts';
import { createQueue, type Controller, type ControllerContext } from '../machinery/controller.ts';
import { formatTime } from '../machinery/conditions.ts';
import { isFinished, isReady } from '../machinery/pods.ts';
import { healthOf, leaseGraceMs, withHealth, type NodeHealth } from './node-health.ts';
import { evictionTime } from './taint-eviction.ts';

const leaseNamespace = 'kube-node-lease';
const checkMs = 5_000;

/** Notices nodes that went silent, taints them, and evicts their pods when their time there is up. */
export function startNodeLifecycleController(context: ControllerContext): Controller {
  return new NodeLifecycleController(context);
}

class NodeLifecycleController implements AsyncDisposable {
  readonly #context: ControllerContext;
  readonly #events: EventRecorder;
  readonly #nodes: Informer<Node>;
  readonly #leases: Informer<Lease>;
  readonly #pods: Informer<Pod>;
  readonly #nodeQueue: ReturnType<typeof createQueue>;
  readonly #podQueue: ReturnType<typeof createQueue>;
  /** When a sign of life was last seen here: comparing with the node's own clock would make skew look like death. */
  readonly #signs = new Map<string, number>();

  constructor(context: ControllerContext) {
    const { informers, clock } = context;
    this.#context = context;
    this.#events = context.recorder('node-controller');
    this.#nodes = informers.of<Node>(resources.nodes);
    this.#leases = informers.of<Lease>(resources.leases);
    this.#pods = informers.of<Pod>(resources.pods);
    this.#nodeQueue = createQueue(context, 'node-lifecycle', (key) => this.#checkNode(key));
    this.#podQueue = createQueue(context, 'taint-eviction', (key) => this.#checkPod(key));
    this.#nodes.onChange(({ key, old, current }) => {
      if (current === undefined) {
        this.#signs.delete(key);
        return;
      }
      if (old === undefined || heartbeatOf(old) !== heartbeatOf(current)) this.#signs.set(key, clock.now());
      this.#nodeQueue.add(key);
      if (JSON.stringify(old?.spec?.taints) !== JSON.stringify(current.spec?.taints)) {
        for (const pod of this.#pods.byIndex('node', key)) this.#podQueue.add(keyOf(pod));
      }
    });
    this.#leases.onChange(({ old, current }) => {
      if (current?.metadata.namespace !== leaseNamespace) return;
      if (old?.spec?.renewTime !== current.spec?.renewTime)
        this.#signs.set(current.metadata.name, clock.now());
    });
    this.#pods.onChange(({ key, old, current }) => {
      if (current !== undefined && old?.spec?.nodeName !== current.spec?.nodeName) this.#podQueue.add(key);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#nodeQueue[Symbol.asyncDispose](), this.#podQueue[Symbol.asyncDispose]()]);
  }

  #healthOf(node: Node): NodeHealth {
    const now = this.#context.clock.now();
    return healthOf(node, this.#signs.get(node.metadata.name) ?? now, now);
  }

  async #checkNode(key: string): Promise<{ requeueAfterMs: number } | undefined> {
    const { clock } = this.#context;
    const node = this.#nodes.get(key);
    if (node === undefined) return undefined;
    const health = this.#healthOf(node);
    // When no node at all is well, the fault is more likely here: pods then stay where they are.
    const evict = this.#nodes.list().some((each) => this.#healthOf(each) === 'ready');
    const wanted = withHealth(node, health, { evict, nowMs: clock.now() });
    if (wanted !== undefined) await this.#write(node, wanted, health);
    if (health !== 'ready') await this.#markPodsNotReady(key);
    const sinceSign = clock.now() - (this.#signs.get(key) ?? clock.now());
    const untilStale = leaseGraceMs - sinceSign + 100;
    return { requeueAfterMs: untilStale > 0 ? Math.min(checkMs, untilStale) : checkMs };
  }

  async #write(node: Node, wanted: Node, health: NodeHealth): Promise<void> {
    const { client } = this.#context;
    const { name, resourceVersion } = node.metadata;
    if (wanted.status?.conditions !== node.status?.conditions) {
      await client.patch(
        resources.nodes,
        { name },
        'merge',
        { metadata: { resourceVersion }, status: { conditions: wanted.status?.conditions } },
        'status',
      );
    }
    if (JSON.stringify(wanted.spec?.taints) !== JSON.stringify(node.spec?.taints ?? [])) {
      const current = await client.get<Node>(resources.nodes, { name });
      if (JSON.stringify(current.spec?.taints) !== JSON.stringify(node.spec?.taints)) return; // comes again with the change
      await client.patch(resources.nodes, { name }, 'merge', {
        metadata: { resourceVersion: current.metadata.resourceVersion },
        spec: { taints: wanted.spec?.taints?.length === 0 ? null : wanted.spec?.taints },
      });
    }
    const status = health === 'ready' ? 'NodeReady' : 'NodeNotReady';
    this.#events.event(
      { apiVersion: 'v1', kind: 'Node', metadata: node.metadata },
      'Normal',
      status,
      `Node ${name} status is now: ${status}`,
    );
  }

  async #markPodsNotReady(node: string): Promise<void> {
    const { client, clock } = this.#context;
    for (const pod of this.#pods.byIndex('node', node)) {
      if (!isReady(pod)) continue;
      await updateStatusWithRetry<Pod>(client, resources.pods, pod.metadata, (current) => {
        if (current.metadata.uid !== pod.metadata.uid || !isReady(current)) return undefined;
        const conditions = (current.status?.conditions ?? []).map((condition) =>
          condition.type === 'Ready'
            ? { ...condition, status: 'False', lastTransitionTime: formatTime(clock.now()) }
            : condition,
        );
        return { ...current, status: { ...current.status, conditions } };
      }).catch(ignoreGone);
    }
  }

  async #checkPod(key: string): Promise<{ requeueAfterMs: number } | undefined> {
    const { client, clock } = this.#context;
    const pod = this.#pods.get(key);
    if (pod === undefined || pod.metadata.deletionTimestamp !== undefined || isFinished(pod))
      return undefined;
    const node = this.#nodes.get(pod.spec?.nodeName ?? '');
    const leaveAt = node === undefined ? undefined : evictionTime(pod, node.spec?.taints, clock.now());
    if (leaveAt === undefined) return undefined;
    if (leaveAt > clock.now()) return { requeueAfterMs: leaveAt - clock.now() };
    this.#events.event(
      { apiVersion: 'v1', kind: 'Pod', metadata: pod.metadata },
      'Normal',
      'TaintManagerEviction',
      `Marking for deletion Pod ${key}`,
    );
    await client
      .delete(resources.pods, pod.metadata, pod.metadata.uid === undefined ? {} : { uid: pod.metadata.uid })
      .catch(ignoreGone);
    return undefined;
  }
}

function heartbeatOf(node: Node): string | undefined {
  return node.status?.conditions?.find(({ type, status }) => type === 'Ready' && status !== 'Unknown')
    ?.lastHeartbeatTime;
}

function ignoreGone(error: unknown): void {
  if (!isPlatformError(error, 'NotFound')) throw error;
}
