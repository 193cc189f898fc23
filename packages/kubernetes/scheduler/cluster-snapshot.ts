import { keyOf, type Node, type Pod } from '../client/index.ts';
import { addAmounts, amountsOf, podRequests, type Amounts } from './pod-requests.ts';

/** A host port a pod takes: 'TCP 0.0.0.0 80'. */
export interface HostPort {
  readonly protocol: string;
  readonly address: string;
  readonly port: number;
}

/** A pod with what scheduling reads of it, worked out once. */
export interface PodInfo {
  readonly pod: Pod;
  readonly requests: Amounts;
  readonly hostPorts: readonly HostPort[];
}

/** A node with the pods that are bound or about to be bound to it. */
export interface NodeInfo {
  readonly node: Node;
  readonly allocatable: Amounts;
  readonly requested: Amounts;
  readonly pods: ReadonlyMap<string, PodInfo>;
}

interface MutableNodeInfo {
  node: Node | undefined;
  allocatable: Amounts;
  requested: Amounts;
  pods: Map<string, PodInfo>;
}

export function podInfoOf(pod: Pod): PodInfo {
  const hostPorts: HostPort[] = [];
  for (const container of pod.spec?.containers ?? []) {
    for (const { hostPort, hostIP, protocol, containerPort } of container.ports ?? []) {
      const port = hostPort ?? (pod.spec?.hostNetwork === true ? containerPort : undefined);
      if (port === undefined || port === 0) continue;
      hostPorts.push({ protocol: protocol ?? 'TCP', address: hostIP ?? '0.0.0.0', port });
    }
  }
  const requests = pod.spec === undefined ? {} : podRequests(pod.spec);
  return { pod, requests, hostPorts };
}

export function isFinished(pod: Pod): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
}

/**
 * Which pods take what on which node: what the API says, and above it the pods assumed to be bound (a binding that was decided but has not come
 * back through the watch yet), so that two pods in a row never get the same room.
 */
export class ClusterSnapshot {
  readonly #nodes = new Map<string, MutableNodeInfo>();
  // pod key -> node it counts on
  readonly #placed = new Map<string, { node: string; info: PodInfo }>();
  readonly #assumed = new Map<string, string | undefined>();

  setNode(node: Node): void {
    const entry = this.#entry(node.metadata.name);
    entry.node = node;
    entry.allocatable = amountsOf(node.status?.allocatable ?? node.status?.capacity);
  }

  removeNode(name: string): void {
    const entry = this.#nodes.get(name);
    if (entry === undefined) return;
    // Its pods may still be there; they keep counting should the node come back.
    entry.node = undefined;
    if (entry.pods.size === 0) this.#nodes.delete(name);
  }

  /** The pod as the API has it now. */
  setPod(pod: Pod): void {
    const key = keyOf(pod);
    const node = pod.spec?.nodeName;
    if (isFinished(pod)) {
      this.removePod(key);
      return;
    }
    if (node === undefined || node === '') {
      // Not bound as far as this copy knows: an assumption about the same pod outlives it, one about a namesake does not.
      if (this.#assumed.has(key) && this.#assumed.get(key) === pod.metadata.uid) return;
      this.removePod(key);
      return;
    }
    this.#assumed.delete(key);
    this.#place(key, node, podInfoOf(pod));
  }

  removePod(key: string): void {
    this.#assumed.delete(key);
    this.#unplace(key);
  }

  /** Counts the pod on the node from now on; undone by forget(), made real by setPod() with the node in it. */
  assume(info: PodInfo, node: string): void {
    const key = keyOf(info.pod);
    this.#assumed.set(key, info.pod.metadata.uid);
    this.#place(key, node, info);
  }

  forget(key: string): void {
    if (this.#assumed.delete(key)) this.#unplace(key);
  }

  isAssumed(key: string): boolean {
    return this.#assumed.has(key);
  }

  nodes(): NodeInfo[] {
    const infos: NodeInfo[] = [];
    for (const { node, allocatable, requested, pods } of this.#nodes.values()) {
      if (node !== undefined) infos.push({ node, allocatable, requested, pods });
    }
    return infos;
  }

  #entry(name: string): MutableNodeInfo {
    let entry = this.#nodes.get(name);
    if (entry === undefined) {
      entry = { node: undefined, allocatable: {}, requested: {}, pods: new Map() };
      this.#nodes.set(name, entry);
    }
    return entry;
  }

  #place(key: string, node: string, info: PodInfo): void {
    this.#unplace(key);
    const entry = this.#entry(node);
    entry.pods.set(key, info);
    entry.requested = addAmounts(entry.requested, info.requests);
    this.#placed.set(key, { node, info });
  }

  #unplace(key: string): void {
    const placed = this.#placed.get(key);
    if (placed === undefined) return;
    this.#placed.delete(key);
    const entry = this.#nodes.get(placed.node);
    if (entry === undefined) return;
    entry.pods.delete(key);
    entry.requested = addAmounts(entry.requested, placed.info.requests, -1);
    if (entry.node === undefined && entry.pods.size === 0) this.#nodes.delete(placed.node);
  }
}
