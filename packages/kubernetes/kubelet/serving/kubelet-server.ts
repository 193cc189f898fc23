import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { Readable, type Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { TLSSocket } from 'node:tls';
import { httpStatusOf, PlatformError, toPlatformError, type Reason } from '@hypernetes/foundation/errors';
import { createLogger } from '@hypernetes/foundation/logging';
import type { KubeletConfig } from '../kubelet-options.ts';
import { allContainers, type Pod } from '../kube-types.ts';
import type { PodStore } from '../pods/pod-store.ts';
import type { CriClient } from '../runtime/cri-client.ts';
import {
  findContainer,
  findPreviousContainer,
  readySandbox,
  type PodRuntime,
} from '../runtime/pod-runtime.ts';
import { readContainerLog, type LogOptions } from './container-logs.ts';
import { statsSummary } from './stats-summary.ts';
import { proxyUpgrade } from './stream-proxy.ts';

const log = createLogger('kubelet:server');
const urlCharactersMax = 64 << 10;

/** The kubelet's HTTPS server, for the API server: logs, exec, attach, port-forward, pods. */
export class KubeletServer implements AsyncDisposable {
  readonly #config: KubeletConfig;
  readonly #cri: CriClient;
  readonly #store: PodStore;
  readonly #server: Server;
  readonly #abort = new AbortController();

  constructor(config: KubeletConfig, cri: CriClient, store: PodStore) {
    this.#config = config;
    this.#cri = cri;
    this.#store = store;
    this.#server = createServer({
      cert: config.servingCert,
      key: config.servingKey,
      ca: config.clientCa,
      requestCert: true,
      // A client without a certificate may still ask /healthz; everything else is refused below.
      rejectUnauthorized: false,
      maxHeaderSize: urlCharactersMax,
    });
    this.#server.on('request', (request, response) => void this.#answer(request, response));
    this.#server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      void this.#upgrade(request, socket, head);
    });
    this.#server.on('tlsClientError', (error) => log.debug({ error: error.message }, 'TLS refused'));
  }

  /** Answers the port it listens on. */
  async listen(): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (cause: NodeJS.ErrnoException) =>
        reject(
          new PlatformError(
            'Precondition',
            `kubelet server: cannot listen on port ${this.#config.port}: ${cause.code ?? cause.message}; stop what uses it or choose another`,
            { cause },
          ),
        ),
      );
      this.#server.listen(this.#config.port, this.#config.listenAddress, resolve);
    });
    return (this.#server.address() as AddressInfo).port;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
    });
  }

  #authorize(request: IncomingMessage): void {
    const { socket } = request;
    if (!(socket instanceof TLSSocket) || !socket.authorized) {
      throw new PlatformError('Unauthenticated', 'kubelet: a client certificate of the cluster is needed');
    }
    const name: unknown = socket.getPeerCertificate().subject.CN;
    const names = [name].flat().map(String);
    if (!names.some((each) => this.#config.allowedClientNames.includes(each))) {
      throw new PlatformError('Forbidden', `kubelet: ${names.join(', ')} may not use this server`);
    }
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const url = new URL(request.url ?? '/', 'https://kubelet');
      if (url.pathname === '/healthz') {
        response.setHeader('Content-Type', 'text/plain; charset=utf-8').end('ok');
        return;
      }
      this.#authorize(request);
      await this.#route(url, request, response);
    } catch (error) {
      const { reason, message } = toPlatformError(error);
      if (reason === 'Internal') log.error({ err: error, path: request.url }, 'request failed');
      if (response.headersSent) {
        response.destroy();
        return;
      }
      response.writeHead(statusOf(reason), { 'Content-Type': 'text/plain; charset=utf-8' });
      response.end(`${message}\n`);
    }
  }

  async #route(url: URL, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [what = '', ...rest] = pathParts(url);
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      throw new PlatformError('Unimplemented', `${request.method ?? ''} ${url.pathname}: ask for an upgrade`);
    }
    switch (what) {
      case 'containerLogs':
        await this.#logs(url, rest, response);
        return;
      case 'pods':
        sendJson(response, { apiVersion: 'v1', kind: 'PodList', metadata: {}, items: this.#store.list() });
        return;
      case 'stats':
        sendJson(
          response,
          await statsSummary(this.#config.nodeName, this.#config.dataDir, this.#cri, this.#store.list()),
        );
        return;
      default:
        throw new PlatformError('NotFound', `kubelet: no ${url.pathname} here`);
    }
  }

  #pod(namespace: string | undefined, name: string | undefined): Pod {
    const pod = this.#store.find(namespace ?? '', name ?? '');
    if (pod !== undefined) return pod;
    throw new PlatformError('NotFound', `pod "${name ?? ''}" does not exist on this node`);
  }

  async #runtime(pod: Pod): Promise<PodRuntime> {
    const { uid, namespace, name } = pod.metadata;
    return await this.#cri.podRuntime(uid, namespace, name);
  }

  async #logs(url: URL, path: readonly string[], response: ServerResponse): Promise<void> {
    const [namespace, podName, containerName = ''] = path;
    const pod = this.#pod(namespace, podName);
    assertContainer(pod, containerName);
    const previous = flag(url, 'previous');
    const runtime = await this.#runtime(pod);
    const container = previous
      ? findPreviousContainer(runtime, containerName)
      : findContainer(runtime, containerName);
    if (container === undefined) throw noLogs(pod, containerName, previous);
    const options = parseLogOptions(url);
    response.writeHead(200, { 'Content-Type': 'text/plain; charset=utf-8' });
    response.flushHeaders();
    const gone = new AbortController();
    response.on('close', () => gone.abort());
    const signal = AbortSignal.any([gone.signal, this.#abort.signal]);
    const isRunning = async (): Promise<boolean> => {
      const now = await this.#runtime(pod).catch(() => undefined);
      // Without an answer from the runtime the container counts as running: following goes on.
      return now === undefined || stateIn(now, container.id) === 'running';
    };
    const bytes = Readable.from(readContainerLog(container.logPath, options, isRunning, signal), {
      objectMode: false,
    });
    await pipeline(bytes, response, { signal }).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
  }

  async #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    socket.on('error', () => socket.destroy());
    try {
      this.#authorize(request);
      const url = new URL(request.url ?? '/', 'https://kubelet');
      proxyUpgrade(request, socket, head, await this.#streamingUrl(url));
    } catch (error) {
      const { reason, message } = toPlatformError(error);
      if (reason === 'Internal') log.error({ err: error, path: request.url }, 'stream failed');
      const body = `${message}\n`;
      const length = Buffer.byteLength(body);
      socket.end(
        `HTTP/1.1 ${statusOf(reason)} ${reason}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ${length}\r\nConnection: close\r\n\r\n${body}`,
      );
    }
  }

  async #streamingUrl(url: URL): Promise<string> {
    const [what, namespace, podName, containerName = ''] = pathParts(url);
    const pod = this.#pod(namespace, podName);
    const runtime = await this.#runtime(pod);
    if (what === 'portForward') {
      const sandbox = readySandbox(runtime);
      if (sandbox === undefined) {
        throw new PlatformError('Precondition', `pod "${podName ?? ''}" is not running`);
      }
      return await this.#cri.portForwardUrl(sandbox.id, parsePorts(url));
    }
    if (what !== 'exec' && what !== 'attach') {
      throw new PlatformError('NotFound', `kubelet: no stream at ${url.pathname}`);
    }
    assertContainer(pod, containerName);
    const container = findContainer(runtime, containerName);
    if (container?.state !== 'running') {
      throw new PlatformError(
        'Precondition',
        `container "${containerName}" of pod "${podName ?? ''}" is not running`,
      );
    }
    const streams = parseStreams(url);
    if (what === 'attach') {
      const spec = allContainers(pod.spec).find(({ name }) => name === containerName);
      return await this.#cri.attachUrl(container.id, { ...streams, tty: spec?.tty === true });
    }
    const command = url.searchParams.getAll('command');
    if (command.length === 0) throw new PlatformError('Invalid', 'exec: you must specify a command');
    return await this.#cri.execUrl(container.id, { ...streams, command });
  }
}

/** Kubelets answer what a client got wrong, or asked too early, with 400. */
function statusOf(reason: Reason): number {
  return reason === 'Invalid' || reason === 'Precondition' ? 400 : httpStatusOf(reason);
}

function pathParts(url: URL): string[] {
  try {
    return url.pathname.split('/').slice(1).map(decodeURIComponent);
  } catch (cause) {
    throw new PlatformError('Invalid', `path ${url.pathname} is not well encoded`, { cause });
  }
}

function sendJson(response: ServerResponse, value: unknown): void {
  response.setHeader('Content-Type', 'application/json').end(JSON.stringify(value));
}

function flag(url: URL, ...names: readonly string[]): boolean {
  return names.some((name) => ['true', '1'].includes(url.searchParams.get(name) ?? ''));
}

function count(url: URL, name: string): number | undefined {
  const text = url.searchParams.get(name);
  if (text === null || text === '') return undefined;
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= 0) return value;
  throw new PlatformError('Invalid', `${name}: ${JSON.stringify(text)} must be a number, 0 or more`);
}

/** The query of a log request (core v1 PodLogOptions). */
export function parseLogOptions(url: URL, nowMs = Date.now()): LogOptions {
  const sinceSeconds = count(url, 'sinceSeconds');
  const sinceTime = url.searchParams.get('sinceTime');
  const sinceMs =
    sinceTime !== null && sinceTime !== ''
      ? Date.parse(sinceTime)
      : sinceSeconds === undefined
        ? undefined
        : nowMs - sinceSeconds * 1_000;
  if (Number.isNaN(sinceMs)) {
    throw new PlatformError('Invalid', `sinceTime: ${JSON.stringify(sinceTime)} is no RFC 3339 time`);
  }
  const stream = url.searchParams.get('stream')?.toLowerCase();
  return {
    follow: flag(url, 'follow'),
    timestamps: flag(url, 'timestamps'),
    tailLines: count(url, 'tailLines'),
    limitBytes: count(url, 'limitBytes'),
    sinceMs,
    ...(stream === 'stdout' || stream === 'stderr' ? { stream } : {}),
  };
}

/** Kubelets say input, output, error; API servers may pass on their own words. With a terminal there is no separate stderr. */
function parseStreams(url: URL) {
  const tty = flag(url, 'tty');
  return {
    stdin: flag(url, 'input', 'stdin'),
    stdout: flag(url, 'output', 'stdout'),
    stderr: flag(url, 'error', 'stderr') && !tty,
    tty,
  };
}

function parsePorts(url: URL): number[] {
  return url.searchParams
    .getAll('port')
    .concat(url.searchParams.getAll('ports'))
    .flatMap((text) => text.split(','))
    .map((text) => {
      const port = Number(text);
      if (Number.isInteger(port) && port > 0 && port < 65_536) return port;
      throw new PlatformError('Invalid', `port ${JSON.stringify(text)} must be between 1 and 65535`);
    });
}

function assertContainer(pod: Pod, containerName: string): void {
  if (allContainers(pod.spec).some(({ name }) => name === containerName)) return;
  throw new PlatformError(
    'NotFound',
    `container "${containerName}" not found in pod "${pod.metadata.name}_${pod.metadata.namespace}"`,
  );
}

function noLogs(pod: Pod, containerName: string, previous: boolean): PlatformError {
  const { name } = pod.metadata;
  if (previous) {
    return new PlatformError(
      'Invalid',
      `previous terminated container "${containerName}" in pod "${name}" not found`,
    );
  }
  const status = [
    ...(pod.status?.containerStatuses ?? []),
    ...(pod.status?.initContainerStatuses ?? []),
  ].find((each) => each.name === containerName);
  const why = status?.state?.waiting?.reason ?? 'ContainerCreating';
  return new PlatformError(
    'Invalid',
    `container "${containerName}" in pod "${name}" is waiting to start: ${why}`,
  );
}

function stateIn(runtime: PodRuntime, containerId: string): string | undefined {
  return runtime.containers.find(({ id }) => id === containerId)?.state;
}
