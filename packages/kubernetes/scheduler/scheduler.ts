import { isDeepStrictEqual } from 'node:util';
import { isPlatformError, toPlatformError } from '@hypernetes/foundation/errors';
import { systemClock, type Clock } from '@hypernetes/foundation/lifecycle';
import { createLogger } from '@hypernetes/foundation/logging';
import {
  createEventRecorder,
  createInformer,
  keyOf,
  parseKey,
  resources,
  updateStatusWithRetry,
  type EventRecorder,
  type Informer,
  type KubeClient,
  type KubeObject,
  type Namespace,
  type Node,
  type Pod,
} from '../client/index.ts';
import { ClusterSnapshot, isFinished, podInfoOf, type PodInfo } from './cluster-snapshot.ts';
import { placePod } from './placement.ts';
import { SchedulingQueue } from './scheduling-queue.ts';

const log = createLogger('kubernetes:scheduler');
const defaultName = 'default-scheduler';
/** Parked pods are tried again this often even if no change was seen to concern them. */
const parkedRetryMs = 60_000;
const bindingsMax = 16;

export interface SchedulerOptions {
  readonly client: KubeClient;
  /** Pods that name another scheduler are left alone; default `default-scheduler`. */
  readonly schedulerName?: string;
  readonly clock?: Clock;
}

/** Starts binding pods to nodes; resolves when the cluster's state is known. Keeps no state that the API does not hold. */
export async function startScheduler(options: SchedulerOptions): Promise<AsyncDisposable> {
  const scheduler = new Scheduler(options);
  try {
    await scheduler.start();
  } catch (error) {
    await scheduler[Symbol.asyncDispose]();
    throw error;
  }
  return scheduler;
}

class Scheduler implements AsyncDisposable {
  readonly #client: KubeClient;
  readonly #name: string;
  readonly #pods: Informer<Pod>;
  readonly #nodes: Informer<Node>;
  readonly #namespaces: Informer<Namespace>;
  readonly #events: EventRecorder;
  readonly #snapshot = new ClusterSnapshot();
  readonly #queue: SchedulingQueue;
  readonly #bindings = new Set<Promise<void>>();
  readonly #parkedTimer: NodeJS.Timeout;
  #timer: NodeJS.Timeout | undefined;
  #running = false;
  #closed = false;

  constructor(options: SchedulerOptions) {
    this.#client = options.client;
    this.#name = options.schedulerName ?? defaultName;
    const clock = options.clock ?? systemClock;
    this.#queue = new SchedulingQueue(() => clock.now());
    this.#events = createEventRecorder({ client: options.client, component: this.#name, clock });
    this.#nodes = createInformer<Node>(options.client, resources.nodes);
    this.#pods = createInformer<Pod>(options.client, resources.pods);
    this.#namespaces = createInformer<Namespace>(options.client, resources.namespaces);
    this.#nodes.onChange(({ key, old, current }) => this.#onNode(key, old, current));
    this.#pods.onChange(({ key, old, current }) => this.#onPod(key, old, current));
    this.#parkedTimer = setInterval(() => {
      this.#queue.retryParked();
      this.#wake();
    }, parkedRetryMs);
  }

  async start(): Promise<void> {
    await Promise.all([this.#nodes.start(), this.#pods.start(), this.#namespaces.start()]);
    this.#running = true;
    this.#wake();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearInterval(this.#parkedTimer);
    await Promise.all(
      [this.#nodes, this.#pods, this.#namespaces].map((informer: Informer<KubeObject>) =>
        informer[Symbol.asyncDispose](),
      ),
    );
    await Promise.allSettled(this.#bindings);
    await this.#events[Symbol.asyncDispose]();
  }

  #onNode(key: string, old: Node | undefined, current: Node | undefined): void {
    if (current === undefined) this.#snapshot.removeNode(key);
    else this.#snapshot.setNode(current);
    if (current !== undefined && (old === undefined || schedulingChanged(old, current))) {
      this.#queue.retryParked();
      this.#wake();
    }
  }

  #onPod(key: string, old: Pod | undefined, current: Pod | undefined): void {
    if (current === undefined) this.#snapshot.removePod(key);
    else this.#snapshot.setPod(current);
    if (current !== undefined && this.#isOurs(current)) {
      this.#queue.add(
        {
          key,
          priority: current.spec?.priority ?? 0,
          createdAt: current.metadata.creationTimestamp ?? '',
        },
        old !== undefined && !isDeepStrictEqual(old.spec, current.spec),
      );
    } else if (current === undefined || !this.#snapshot.isAssumed(key)) {
      // A pod whose binding is being written stays in the queue until that is done.
      this.#queue.remove(key);
    }
    // A pod that is bound, gone or finished makes room, or company for those that want it.
    const placedBefore = isPlaced(old);
    if (
      placedBefore !== isPlaced(current) ||
      (placedBefore && !isDeepStrictEqual(old?.metadata.labels, current?.metadata.labels))
    ) {
      this.#queue.retryParked();
    }
    this.#wake();
  }

  #isOurs(pod: Pod): boolean {
    return (
      (pod.spec?.nodeName ?? '') === '' &&
      pod.metadata.deletionTimestamp === undefined &&
      !isFinished(pod) &&
      (pod.spec?.schedulerName ?? defaultName) === this.#name &&
      (pod.spec?.schedulingGates ?? []).length === 0 &&
      !this.#snapshot.isAssumed(keyOf(pod))
    );
  }

  #wake(): void {
    if (!this.#running || this.#closed) return;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#pump(), 0);
  }

  /** Decides synchronously, one pod after the other; only writing the bindings runs side by side. */
  #pump(): void {
    while (!this.#closed && this.#bindings.size < bindingsMax) {
      const next = this.#queue.next();
      if (!('key' in next)) {
        if (next.waitMs !== undefined) this.#timer = setTimeout(() => this.#pump(), next.waitMs);
        return;
      }
      const pod = this.#pods.get(next.key);
      if (pod === undefined || !this.#isOurs(pod)) this.#queue.remove(next.key);
      else this.#scheduleOne(next.key, pod);
    }
  }

  #scheduleOne(key: string, pod: Pod): void {
    const info = podInfoOf(pod);
    const placement = placePod(
      info,
      this.#snapshot.nodes(),
      (namespace) => this.#namespaces.get(namespace)?.metadata.labels,
    );
    const work =
      placement.kind === 'node'
        ? this.#bind(key, info, placement.name)
        : this.#refuse(key, pod, placement.message);
    const tracked = work.finally(() => {
      this.#bindings.delete(tracked);
      this.#wake();
    });
    this.#bindings.add(tracked);
  }

  async #bind(key: string, info: PodInfo, node: string): Promise<void> {
    const { pod } = info;
    this.#snapshot.assume(info, node);
    try {
      const { name, namespace, uid } = pod.metadata;
      const binding = {
        apiVersion: 'v1',
        kind: 'Binding',
        metadata: { name, namespace: namespace ?? '', ...(uid === undefined ? {} : { uid }) },
        target: { apiVersion: 'v1', kind: 'Node', name: node },
      };
      await this.#client.create<KubeObject>(resources.pods, binding, 'binding');
      this.#queue.remove(key);
      this.#events.event(
        { apiVersion: 'v1', kind: 'Pod', metadata: pod.metadata },
        'Normal',
        'Scheduled',
        `Successfully assigned ${key} to ${node}`,
      );
    } catch (thrown) {
      // The answer may have been lost on its way: the watch tells whether the pod is bound.
      this.#snapshot.forget(key);
      const { reason, message } = toPlatformError(thrown);
      if (reason === 'NotFound') {
        this.#queue.remove(key);
        return;
      }
      log.warn({ pod: key, node, reason, message }, 'binding failed');
      this.#queue.failed(key, false);
    }
  }

  async #refuse(key: string, pod: Pod, message: string): Promise<void> {
    this.#queue.failed(key, true);
    this.#events.event(
      { apiVersion: 'v1', kind: 'Pod', metadata: pod.metadata },
      'Warning',
      'FailedScheduling',
      message,
    );
    try {
      await updateStatusWithRetry<Pod>(this.#client, resources.pods, parseKey(key), (current) =>
        current.metadata.uid === pod.metadata.uid ? withUnschedulable(current, message) : undefined,
      );
    } catch (error) {
      if (!isPlatformError(error, 'NotFound')) {
        log.warn({ pod: key, message: toPlatformError(error).message }, 'condition not written');
      }
    }
  }
}

function isPlaced(pod: Pod | undefined): boolean {
  return pod !== undefined && (pod.spec?.nodeName ?? '') !== '' && !isFinished(pod);
}

/** Heartbeats change a node every few seconds; only what filters and scores read is news. */
function schedulingChanged(old: Node, current: Node): boolean {
  const relevant = ({ metadata, spec, status }: Node): unknown => [
    metadata.labels,
    spec?.taints,
    spec?.unschedulable,
    status?.allocatable,
  ];
  return !isDeepStrictEqual(relevant(old), relevant(current));
}

/** The pod with PodScheduled False; undefined when it says so already or is bound by now. */
export function withUnschedulable(pod: Pod, message: string, nowMs = Date.now()): Pod | undefined {
  if ((pod.spec?.nodeName ?? '') !== '') return undefined;
  const conditions = pod.status?.conditions ?? [];
  const known = conditions.find(({ type }) => type === 'PodScheduled');
  if (known?.status === 'False' && known.reason === 'Unschedulable' && known.message === message)
    return undefined;
  const lastTransitionTime =
    known?.status === 'False' && known.lastTransitionTime !== undefined
      ? known.lastTransitionTime
      : new Date(nowMs).toISOString().replace(/\.\d+Z$/, 'Z');
  const condition = {
    type: 'PodScheduled',
    status: 'False',
    reason: 'Unschedulable',
    message,
    lastTransitionTime,
  };
  return {
    ...pod,
    status: {
      ...pod.status,
      conditions: [...conditions.filter(({ type }) => type !== 'PodScheduled'), condition],
    },
  };
}
