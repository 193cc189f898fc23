import { appendFile, mkdir } from 'node:fs/promises';
import { EventEmitter, on } from 'node:events';
import { dirname, join } from 'node:path';
import {
  Container,
  ContainerEventResponse,
  ContainerState,
  ContainerStatus,
  ImageServiceService,
  PodSandboxState,
  PodSandboxStatus,
  RuntimeServiceService,
  type AuthConfig,
  type ContainerConfig,
  type Image,
  type PodSandboxConfig,
} from '@hypernetes/proto/cri';
import { PlatformError } from '@hypernetes/foundation/errors';
import {
  handleServerStream,
  handleUnary,
  startGrpcServer,
  type RunningGrpcServer,
} from '@hypernetes/foundation/grpc';
import { createLogger } from '@hypernetes/foundation/logging';

const log = createLogger('testing:cri');

export interface DoubleSandbox {
  readonly id: string;
  readonly config: PodSandboxConfig;
  readonly createdAt: bigint;
  ready: boolean;
}

export interface DoubleContainer {
  readonly id: string;
  readonly sandboxId: string;
  readonly config: ContainerConfig;
  readonly logPath: string;
  readonly createdAt: bigint;
  state: ContainerState;
  startedAt: bigint;
  finishedAt: bigint;
  exitCode: number;
}

interface ExecResult {
  readonly exitCode: number;
  readonly output: string;
}

type Exec = (container: DoubleContainer, command: readonly string[]) => ExecResult | Promise<ExecResult>;

/** A container runtime without containers: it keeps the records a real one would and does what the test tells it. */
export class CriDouble implements AsyncDisposable {
  readonly sandboxes = new Map<string, DoubleSandbox>();
  readonly containers = new Map<string, DoubleContainer>();
  /** Every call that changes something, in order: `createContainer web`. */
  readonly calls: string[] = [];
  /** References that can be pulled. */
  readonly registry = new Set<string>(['nginx', 'busybox']);
  readonly images = new Map<string, Image>();
  /** What a stop takes; the processes ignore SIGTERM when it is longer than the grace period. */
  stopMs = 0;
  exec: Exec = () => ({ exitCode: 0, output: '' });
  /** Set to have createContainer fail. */
  failCreate: PlatformError | undefined;
  /** How often it did. */
  failedCreates = 0;
  /** What came with each pull, in order. */
  readonly pullAuth: (AuthConfig | undefined)[] = [];
  streamingUrl = '';
  readonly #events = new EventEmitter().setMaxListeners(0);
  #server: RunningGrpcServer | undefined;
  #count = 0;

  async listen(socketPath: string): Promise<void> {
    this.#server = await startGrpcServer(socketPath, (server) => {
      server.addService(RuntimeServiceService, this.#runtimeHandlers());
      server.addService(ImageServiceService, this.#imageHandlers());
    });
  }

  /** Ends the server, as a crash of the runtime would; the records stay. */
  async hangUp(): Promise<void> {
    await this.#server?.[Symbol.asyncDispose]();
    this.#server = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#events.emit('close');
    await this.hangUp();
  }

  /** The newest container of the name. */
  find(name: string): DoubleContainer | undefined {
    return [...this.containers.values()].findLast(({ config }) => config.metadata?.name === name);
  }

  /** The container's process ends. */
  exit(name: string, exitCode: number): void {
    const container = this.find(name);
    if (container?.state !== ContainerState.CONTAINER_RUNNING) throw new Error(`${name} does not run`);
    this.#end(container, exitCode);
  }

  /** The pod's machine dies. */
  crashSandbox(podUid: string): void {
    for (const sandbox of this.sandboxes.values()) {
      if (sandbox.config.metadata?.uid !== podUid || !sandbox.ready) continue;
      for (const container of this.containers.values()) {
        if (container.sandboxId === sandbox.id && container.state === ContainerState.CONTAINER_RUNNING) {
          this.#end(container, 137);
        }
      }
      sandbox.ready = false;
      this.#tell(sandbox.id);
    }
  }

  async log(name: string, ...lines: readonly string[]): Promise<void> {
    const path = this.find(name)?.logPath ?? '';
    const time = new Date().toISOString().replace('Z', '000000Z');
    await mkdir(dirname(path), { recursive: true });
    await appendFile(path, lines.map((line) => `${time} stdout F ${line}\n`).join(''));
  }

  #now(): bigint {
    // Times are unique, so that sorting by age is total.
    this.#count += 1;
    return BigInt(Date.now()) * 1_000_000n + BigInt(this.#count);
  }

  #tell(sandboxId: string): void {
    this.#events.emit('event', sandboxId);
  }

  #end(container: DoubleContainer, exitCode: number): void {
    container.state = ContainerState.CONTAINER_EXITED;
    container.exitCode = exitCode;
    container.finishedAt = this.#now();
    this.#tell(container.sandboxId);
  }

  #sandbox(id: string): DoubleSandbox {
    const found = this.sandboxes.get(id);
    if (found === undefined) throw new PlatformError('NotFound', `sandbox ${id} not found`);
    return found;
  }

  #container(id: string): DoubleContainer {
    const found = this.containers.get(id);
    if (found === undefined) throw new PlatformError('NotFound', `container ${id} not found`);
    return found;
  }

  #statusOfSandbox(sandbox: DoubleSandbox): PodSandboxStatus {
    return PodSandboxStatus.fromPartial({
      id: sandbox.id,
      ...(sandbox.config.metadata === undefined ? {} : { metadata: sandbox.config.metadata }),
      state: sandbox.ready ? PodSandboxState.SANDBOX_READY : PodSandboxState.SANDBOX_NOTREADY,
      createdAt: sandbox.createdAt,
      network: { ip: '10.244.0.9' },
      labels: sandbox.config.labels,
      annotations: sandbox.config.annotations,
    });
  }

  #statusOfContainer(container: DoubleContainer): ContainerStatus {
    const { config } = container;
    return ContainerStatus.fromPartial({
      id: container.id,
      ...(config.metadata === undefined ? {} : { metadata: config.metadata }),
      ...(config.image === undefined ? {} : { image: config.image }),
      imageRef: `${config.image?.userSpecifiedImage ?? ''}@sha256:0`,
      state: container.state,
      createdAt: container.createdAt,
      startedAt: container.startedAt,
      finishedAt: container.finishedAt,
      exitCode: container.exitCode,
      labels: config.labels,
      annotations: config.annotations,
      mounts: config.mounts,
      logPath: container.logPath,
    });
  }

  #runtimeHandlers() {
    const unary = <Request, Response>(
      name: string,
      work: (request: Request) => Promise<Response> | Response,
    ) => handleUnary<Request, Response>(log, name, async (request) => await work(request));
    return {
      version: unary('version', () => ({
        version: 'v1',
        runtimeName: 'hyperd',
        runtimeVersion: 'double',
        runtimeApiVersion: 'v1',
      })),
      status: unary('status', () => ({
        status: {
          conditions: ['RuntimeReady', 'NetworkReady'].map((type) => ({
            type,
            status: true,
            reason: '',
            message: '',
          })),
        },
        info: {},
        runtimeHandlers: [],
        features: undefined,
      })),
      runPodSandbox: unary('run', ({ config }: { config: PodSandboxConfig }) => {
        const id = `sandbox-${this.#count}-${config.metadata?.name ?? ''}`;
        this.calls.push(`runPodSandbox ${config.metadata?.name ?? ''} ${config.metadata?.attempt ?? 0}`);
        this.sandboxes.set(id, { id, config, createdAt: this.#now(), ready: true });
        this.#tell(id);
        return { podSandboxId: id };
      }),
      stopPodSandbox: unary('stop', ({ podSandboxId }: { podSandboxId: string }) => {
        const sandbox = this.sandboxes.get(podSandboxId);
        if (sandbox === undefined) return {};
        this.calls.push(`stopPodSandbox ${sandbox.config.metadata?.name ?? ''}`);
        sandbox.ready = false;
        this.#tell(podSandboxId);
        return {};
      }),
      removePodSandbox: unary('remove', ({ podSandboxId }: { podSandboxId: string }) => {
        for (const [id, container] of this.containers) {
          if (container.sandboxId === podSandboxId) this.containers.delete(id);
        }
        this.sandboxes.delete(podSandboxId);
        return {};
      }),
      podSandboxStatus: unary('status', ({ podSandboxId }: { podSandboxId: string }) => ({
        status: this.#statusOfSandbox(this.#sandbox(podSandboxId)),
        info: { isolation: 'tcg', trace: '{"clone":80}' },
        containersStatuses: [],
        timestamp: 0n,
      })),
      listPodSandbox: unary('list', ({ filter }: { filter?: { labelSelector: Record<string, string> } }) => ({
        items: [...this.sandboxes.values()]
          .filter(({ config }) => selects(filter?.labelSelector, config.labels))
          .map((sandbox) => ({ ...this.#statusOfSandbox(sandbox), runtimeHandler: '' })),
      })),
      createContainer: unary(
        'create',
        ({ podSandboxId, config }: { podSandboxId: string; config: ContainerConfig }) => {
          if (this.failCreate !== undefined) {
            this.failedCreates += 1;
            throw this.failCreate;
          }
          const sandbox = this.#sandbox(podSandboxId);
          const { name = '', attempt = 0 } = config.metadata ?? {};
          const id = `${name}-${attempt}-${this.#count}`;
          this.calls.push(`createContainer ${name} ${attempt}`);
          this.containers.set(id, {
            id,
            sandboxId: podSandboxId,
            config,
            logPath: join(sandbox.config.logDirectory, config.logPath),
            createdAt: this.#now(),
            state: ContainerState.CONTAINER_CREATED,
            startedAt: 0n,
            finishedAt: 0n,
            exitCode: 0,
          });
          return { containerId: id };
        },
      ),
      startContainer: unary('start', ({ containerId }: { containerId: string }) => {
        const container = this.#container(containerId);
        container.state = ContainerState.CONTAINER_RUNNING;
        container.startedAt = this.#now();
        this.#tell(container.sandboxId);
        return {};
      }),
      stopContainer: unary(
        'stop',
        async ({ containerId, timeout }: { containerId: string; timeout: bigint }) => {
          const container = this.#container(containerId);
          this.calls.push(`stopContainer ${container.config.metadata?.name ?? ''} ${timeout}`);
          const graceMs = Number(timeout) * 1_000;
          await new Promise((resolve) => setTimeout(resolve, Math.min(this.stopMs, graceMs)));
          if (container.state === ContainerState.CONTAINER_RUNNING) {
            this.#end(container, this.stopMs > graceMs ? 137 : 143);
          }
          return {};
        },
      ),
      removeContainer: unary('remove', ({ containerId }: { containerId: string }) => {
        this.containers.delete(containerId);
        return {};
      }),
      containerStatus: unary('status', ({ containerId }: { containerId: string }) => ({
        status: this.#statusOfContainer(this.#container(containerId)),
        info: {},
      })),
      listContainers: unary('list', ({ filter }: { filter?: { labelSelector: Record<string, string> } }) => ({
        containers: [...this.containers.values()]
          .filter(({ config }) => selects(filter?.labelSelector, config.labels))
          .map((container) =>
            Container.fromPartial({
              id: container.id,
              podSandboxId: container.sandboxId,
              state: container.state,
              labels: container.config.labels,
              annotations: container.config.annotations,
            }),
          ),
      })),
      reopenContainerLog: unary('reopen', () => ({})),
      execSync: unary('exec', async ({ containerId, cmd }: { containerId: string; cmd: string[] }) => {
        const container = this.#container(containerId);
        const { exitCode, output } = await this.exec(container, cmd);
        return { exitCode, stdout: Buffer.from(output), stderr: Buffer.alloc(0) };
      }),
      exec: unary('exec', () => ({ url: this.streamingUrl })),
      attach: unary('attach', () => ({ url: this.streamingUrl })),
      portForward: unary('portForward', () => ({ url: this.streamingUrl })),
      listPodSandboxStats: unary('stats', () => ({ stats: [] })),
      getContainerEvents: handleServerStream(log, 'events', (_request, signal) => this.#follow(signal)),
    };
  }

  async *#follow(signal: AbortSignal): AsyncGenerator<ContainerEventResponse> {
    const close = new AbortController();
    this.#events.once('close', () => close.abort());
    try {
      const events = on(this.#events, 'event', { signal: AbortSignal.any([signal, close.signal]) });
      for await (const [sandboxId] of events as AsyncIterable<[string]>) {
        const sandbox = this.sandboxes.get(sandboxId);
        if (sandbox === undefined) continue;
        yield ContainerEventResponse.fromPartial({
          containerId: sandboxId,
          podSandboxStatus: this.#statusOfSandbox(sandbox),
        });
      }
    } catch {
      // closed
    }
  }

  #imageHandlers() {
    const unary = <Request, Response>(
      name: string,
      work: (request: Request) => Promise<Response> | Response,
    ) => handleUnary<Request, Response>(log, name, async (request) => await work(request));
    return {
      listImages: unary('list', () => ({ images: [...this.images.values()] })),
      imageStatus: unary('status', ({ image }: { image?: { image: string } }) => ({
        image:
          this.images.get(image?.image ?? '') ??
          [...this.images.values()].find(({ id }) => id === image?.image),
        info: {},
      })),
      pullImage: unary('pull', ({ image, auth }: { image?: { image: string }; auth?: AuthConfig }) => {
        const name = image?.image ?? '';
        this.pullAuth.push(auth);
        this.calls.push(`pullImage ${name}`);
        if (!this.registry.has(name)) throw new PlatformError('NotFound', `${name}: not found`);
        const id = `sha256:${name}`;
        this.images.set(name, {
          id,
          repoTags: [name],
          repoDigests: [],
          size: 100n,
          uid: undefined,
          username: '',
          spec: undefined,
          pinned: false,
        });
        return { imageRef: id };
      }),
    };
  }
}

function selects(
  selector: Readonly<Record<string, string>> | undefined,
  labels: Readonly<Record<string, string>>,
) {
  return Object.entries(selector ?? {}).every(([key, value]) => labels[key] === value);
}
