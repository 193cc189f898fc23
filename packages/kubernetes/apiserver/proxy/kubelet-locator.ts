import type { Node, Pod } from 'kubernetes-types/core/v1';
import { badRequest, type ApiObject } from '../../api/index.ts';
import { notFound, unavailable } from '../http/status-error.ts';

export interface KubeletTarget {
  readonly host: string;
  readonly port: number;
  /** Path and query on the kubelet. */
  readonly path: string;
}

/** Reads what a target is found by. */
export interface ClusterReader {
  getPod(place: { readonly namespace: string; readonly name: string }): Promise<ApiObject>;
  findNode(name: string): Promise<ApiObject | undefined>;
}

interface PodPlace {
  readonly namespace: string;
  readonly name: string;
}

const defaultContainerAnnotation = 'kubectl.kubernetes.io/default-container';
const defaultKubeletPort = 10250;
const logParameters = [
  'follow',
  'insecureSkipTLSVerifyBackend',
  'limitBytes',
  'previous',
  'sinceSeconds',
  'sinceTime',
  'stream',
  'tailLines',
  'timestamps',
];
/** Names of PodExecOptions beside those of the kubelet. */
const streamParameters = { stdin: 'input', stdout: 'output', stderr: 'error', tty: 'tty' } as const;

/** Where on which kubelet a request about a pod goes. */
export class KubeletLocator {
  readonly #reader: ClusterReader;

  constructor(reader: ClusterReader) {
    this.#reader = reader;
  }

  /** Undefined while the pod is on no node: there is no log yet. */
  async log(place: PodPlace, query: URLSearchParams): Promise<KubeletTarget | undefined> {
    const pod = await this.#pod(place);
    const container = containerOf(pod, place.name, query.get('container'));
    if ((pod.spec?.nodeName ?? '') === '') return undefined;
    const forwarded = new URLSearchParams();
    for (const name of logParameters) {
      const value = query.get(name);
      if (value !== null) forwarded.set(name, value);
    }
    return await this.#target(
      pod,
      place,
      ['containerLogs', place.namespace, place.name, container],
      forwarded,
    );
  }

  async stream(place: PodPlace, kind: 'exec' | 'attach', query: URLSearchParams): Promise<KubeletTarget> {
    const pod = await this.#pod(place);
    const container = containerOf(pod, place.name, query.get('container'));
    const forwarded = new URLSearchParams();
    for (const [name, kubeletName] of Object.entries(streamParameters)) {
      const value = query.get(name);
      if (value === 'true' || value === '1' || value === '') forwarded.set(kubeletName, '1');
    }
    if (kind === 'exec') {
      const command = query.getAll('command');
      if (command.length === 0) throw badRequest('you must specify at least 1 command for the container');
      for (const word of command) forwarded.append('command', word);
    }
    if (!forwarded.has('input') && !forwarded.has('output') && !forwarded.has('error')) {
      throw badRequest('you must specify at least one of stdin, stdout, stderr');
    }
    return await this.#target(pod, place, [kind, place.namespace, place.name, container], forwarded);
  }

  async portForward(place: PodPlace, query: URLSearchParams): Promise<KubeletTarget> {
    const pod = await this.#pod(place);
    const forwarded = new URLSearchParams();
    // Clients over WebSocket name the ports here: the kubelet calls the parameter port.
    for (const ports of query.getAll('ports'))
      for (const port of ports.split(',')) forwarded.append('port', port);
    return await this.#target(pod, place, ['portForward', place.namespace, place.name], forwarded);
  }

  /** The kubelet of a node itself (nodes/proxy). */
  async node(name: string, path: readonly string[], query: URLSearchParams): Promise<KubeletTarget> {
    return { ...(await this.#address(name)), path: joinPath(path, query) };
  }

  async #pod(place: PodPlace): Promise<Pod> {
    return (await this.#reader.getPod(place)) as unknown as Pod;
  }

  async #target(
    pod: Pod,
    place: PodPlace,
    path: readonly string[],
    query: URLSearchParams,
  ): Promise<KubeletTarget> {
    const nodeName = pod.spec?.nodeName ?? '';
    if (nodeName === '') throw badRequest(`pod ${place.name} does not have a host assigned`);
    return { ...(await this.#address(nodeName)), path: joinPath(path, query) };
  }

  async #address(nodeName: string): Promise<{ host: string; port: number }> {
    const node = (await this.#reader.findNode(nodeName)) as unknown as Node | undefined;
    if (node === undefined) throw notFound({ group: '', plural: 'nodes' }, nodeName);
    const addresses = node.status?.addresses ?? [];
    const host = (addresses.find(({ type }) => type === 'InternalIP') ?? addresses[0])?.address;
    if (host === undefined) throw unavailable(`node ${nodeName} has no address yet`);
    return { host, port: node.status?.daemonEndpoints?.kubeletEndpoint?.Port ?? defaultKubeletPort };
  }
}

function joinPath(parts: readonly string[], query: URLSearchParams): string {
  const text = query.toString();
  return `/${parts.map(encodeURIComponent).join('/')}${text === '' ? '' : `?${text}`}`;
}

/** The named container, or the only or default one. 400 when it is unclear or not there. */
function containerOf(pod: Pod, podName: string, wanted: string | null): string {
  const main = (pod.spec?.containers ?? []).map((container) => container.name);
  const initial = (pod.spec?.initContainers ?? []).map((container) => container.name);
  const chosen =
    wanted !== null && wanted !== ''
      ? wanted
      : main.length === 1
        ? main[0]
        : pod.metadata?.annotations?.[defaultContainerAnnotation];
  if (chosen === undefined) {
    const others = initial.length === 0 ? '' : ` or one of the init containers: [${initial.join(' ')}]`;
    throw badRequest(
      `a container name must be specified for pod ${podName}, choose one of: [${main.join(' ')}]${others}`,
    );
  }
  const ephemeral = (pod.spec?.ephemeralContainers ?? []).map((container) => container.name);
  if (![...main, ...initial, ...ephemeral].includes(chosen)) {
    throw badRequest(`container ${chosen} is not valid for pod ${podName}`);
  }
  return chosen;
}
