import { credentials } from '@grpc/grpc-js';
import {
  AuthConfig,
  ContainerConfig,
  ContainerState as CriContainerState,
  ImageServiceClient,
  RuntimeServiceClient,
  type Container as CriContainer,
  type ContainerEventResponse,
  type Image,
  type ImageFsInfoResponse,
  type PodSandbox,
  type PodSandboxConfig,
  type PodSandboxStats,
  type StatusResponse,
  type VersionResponse,
} from '@hypernetes/proto/cri';
import { isPlatformError } from '@hypernetes/foundation/errors';
import { callStream, callUnary, clientOptions, unixAddress } from '@hypernetes/foundation/grpc';
import { criLabels } from './labels.ts';
import {
  emptyPodRuntime,
  newestFirst,
  parseCriContainer,
  parseCriSandbox,
  type PodRuntime,
  type RuntimeContainer,
  type RuntimeSandbox,
} from './pod-runtime.ts';

const shortMs = 10_000;
const sandboxMs = 240_000;
const createMs = 120_000;
const pullMs = 30 * 60_000;
/** What a stop may take beyond the grace period given to the processes. */
const stopMarginMs = 30_000;
/** Statuses of exited containers do not change: at most this many are kept. */
const exitedCacheMax = 4_096;

/** The container runtime, as the kubelet calls it. Every call has a deadline; errors are PlatformErrors. */
export class CriClient implements Disposable {
  readonly #runtime: RuntimeServiceClient;
  readonly #images: ImageServiceClient;
  readonly #exited = new Map<string, RuntimeContainer>();

  constructor(socketPath: string) {
    this.#runtime = new RuntimeServiceClient(
      unixAddress(socketPath),
      credentials.createInsecure(),
      clientOptions,
    );
    this.#images = new ImageServiceClient(
      unixAddress(socketPath),
      credentials.createInsecure(),
      clientOptions,
    );
  }

  [Symbol.dispose](): void {
    this.#runtime.close();
    this.#images.close();
  }

  async version(): Promise<VersionResponse> {
    return await callUnary(this.#runtime.version.bind(this.#runtime), { version: 'v1' }, shortMs);
  }

  async status(): Promise<StatusResponse> {
    return await callUnary(this.#runtime.status.bind(this.#runtime), { verbose: false }, shortMs);
  }

  async listSandboxes(podUid?: string): Promise<PodSandbox[]> {
    const filter =
      podUid === undefined
        ? undefined
        : { id: '', state: undefined, labelSelector: { [criLabels.podUid]: podUid } };
    const response = await callUnary(this.#runtime.listPodSandbox.bind(this.#runtime), { filter }, shortMs);
    return response.items;
  }

  async listContainers(podUid?: string): Promise<CriContainer[]> {
    const filter =
      podUid === undefined
        ? undefined
        : { id: '', state: undefined, podSandboxId: '', labelSelector: { [criLabels.podUid]: podUid } };
    const response = await callUnary(this.#runtime.listContainers.bind(this.#runtime), { filter }, shortMs);
    return response.containers;
  }

  /** What the runtime has of a pod, read now. */
  async podRuntime(uid: string, namespace: string, name: string): Promise<PodRuntime> {
    const [sandboxes, containers] = await Promise.all([this.listSandboxes(uid), this.listContainers(uid)]);
    const [sandboxStatuses, containerStatuses] = await Promise.all([
      Promise.all(sandboxes.map((sandbox) => this.#sandboxStatus(sandbox.id))),
      Promise.all(containers.map((container) => this.#containerStatus(container))),
    ]);
    const labels = sandboxes[0]?.labels ?? containers[0]?.labels ?? {};
    return {
      ...emptyPodRuntime(uid, labels[criLabels.podNamespace] ?? namespace, labels[criLabels.podName] ?? name),
      sandboxes: newestFirst(sandboxStatuses.filter((status) => status !== undefined)),
      containers: newestFirst(containerStatuses.filter((status) => status !== undefined)),
    };
  }

  async runSandbox(config: PodSandboxConfig, runtimeHandler: string, signal?: AbortSignal): Promise<string> {
    const response = await callUnary(
      this.#runtime.runPodSandbox.bind(this.#runtime),
      { config, runtimeHandler },
      sandboxMs,
      signal,
    );
    return response.podSandboxId;
  }

  async stopSandbox(podSandboxId: string): Promise<void> {
    await callUnary(this.#runtime.stopPodSandbox.bind(this.#runtime), { podSandboxId }, sandboxMs);
  }

  async removeSandbox(podSandboxId: string): Promise<void> {
    await callUnary(this.#runtime.removePodSandbox.bind(this.#runtime), { podSandboxId }, sandboxMs);
  }

  async createContainer(
    podSandboxId: string,
    config: ContainerConfig,
    sandboxConfig: PodSandboxConfig,
    signal?: AbortSignal,
  ): Promise<string> {
    const response = await callUnary(
      this.#runtime.createContainer.bind(this.#runtime),
      { podSandboxId, config, sandboxConfig },
      createMs,
      signal,
    );
    return response.containerId;
  }

  async startContainer(containerId: string, signal?: AbortSignal): Promise<void> {
    await callUnary(this.#runtime.startContainer.bind(this.#runtime), { containerId }, createMs, signal);
  }

  /** SIGTERM (or the image's stop signal), SIGKILL after the grace period. */
  async stopContainer(containerId: string, graceS: number, signal?: AbortSignal): Promise<void> {
    await callUnary(
      this.#runtime.stopContainer.bind(this.#runtime),
      { containerId, timeout: BigInt(Math.max(0, Math.ceil(graceS))) },
      graceS * 1_000 + stopMarginMs,
      signal,
    );
  }

  async removeContainer(containerId: string): Promise<void> {
    await callUnary(this.#runtime.removeContainer.bind(this.#runtime), { containerId }, createMs);
    this.#exited.delete(containerId);
  }

  async reopenLog(containerId: string): Promise<void> {
    await callUnary(this.#runtime.reopenContainerLog.bind(this.#runtime), { containerId }, shortMs);
  }

  /** Runs a command to its end in a container; past the time it is ended and DeadlineExceeded thrown. */
  async execSync(
    containerId: string,
    command: readonly string[],
    timeoutS: number,
    signal?: AbortSignal,
  ): Promise<{ readonly exitCode: number; readonly output: string }> {
    const response = await callUnary(
      this.#runtime.execSync.bind(this.#runtime),
      { containerId, cmd: [...command], timeout: BigInt(Math.max(0, Math.ceil(timeoutS))) },
      (timeoutS === 0 ? 3_600_000 : timeoutS * 1_000) + 5_000,
      signal,
    );
    const output = Buffer.concat([response.stdout, response.stderr]).toString('utf8');
    return { exitCode: response.exitCode, output };
  }

  /** URL of a streaming session: to be upgraded once, soon. */
  async execUrl(
    containerId: string,
    streams: {
      readonly command: readonly string[];
      readonly stdin: boolean;
      readonly stdout: boolean;
      readonly stderr: boolean;
      readonly tty: boolean;
    },
  ): Promise<string> {
    const { command, ...flags } = streams;
    const request = { containerId, cmd: [...command], ...flags };
    return (await callUnary(this.#runtime.exec.bind(this.#runtime), request, shortMs)).url;
  }

  async attachUrl(
    containerId: string,
    streams: {
      readonly stdin: boolean;
      readonly stdout: boolean;
      readonly stderr: boolean;
      readonly tty: boolean;
    },
  ): Promise<string> {
    const request = { containerId, ...streams };
    return (await callUnary(this.#runtime.attach.bind(this.#runtime), request, shortMs)).url;
  }

  async portForwardUrl(podSandboxId: string, ports: readonly number[]): Promise<string> {
    const request = { podSandboxId, port: [...ports] };
    return (await callUnary(this.#runtime.portForward.bind(this.#runtime), request, shortMs)).url;
  }

  /** Undefined when the image is not here. */
  async findImage(image: string): Promise<Image | undefined> {
    const spec = { image, annotations: {}, userSpecifiedImage: image, runtimeHandler: '', imageRef: '' };
    const response = await callUnary(
      this.#images.imageStatus.bind(this.#images),
      { image: spec, verbose: false },
      shortMs,
    );
    return response.image;
  }

  async pullImage(
    image: string,
    auth: Partial<AuthConfig> | undefined,
    signal?: AbortSignal,
  ): Promise<string> {
    const spec = { image, annotations: {}, userSpecifiedImage: image, runtimeHandler: '', imageRef: '' };
    const response = await callUnary(
      this.#images.pullImage.bind(this.#images),
      {
        image: spec,
        auth: auth === undefined ? undefined : AuthConfig.fromPartial(auth),
        sandboxConfig: undefined,
      },
      pullMs,
      signal,
    );
    return response.imageRef;
  }

  async listImages(): Promise<Image[]> {
    const response = await callUnary(
      this.#images.listImages.bind(this.#images),
      { filter: undefined },
      shortMs,
    );
    return response.images;
  }

  async imageFileSystem(): Promise<ImageFsInfoResponse> {
    return await callUnary(this.#images.imageFsInfo.bind(this.#images), {}, shortMs);
  }

  async listSandboxStats(): Promise<PodSandboxStats[]> {
    const response = await callUnary(
      this.#runtime.listPodSandboxStats.bind(this.#runtime),
      { filter: undefined },
      shortMs,
    );
    return response.stats;
  }

  events(signal: AbortSignal): AsyncIterable<ContainerEventResponse> {
    return callStream(this.#runtime.getContainerEvents({}), signal);
  }

  async #sandboxStatus(podSandboxId: string): Promise<RuntimeSandbox | undefined> {
    try {
      const response = await callUnary(
        this.#runtime.podSandboxStatus.bind(this.#runtime),
        { podSandboxId, verbose: true },
        shortMs,
      );
      return parseCriSandbox(response);
    } catch (error) {
      throwUnlessGone(error);
      return undefined;
    }
  }

  async #containerStatus(container: CriContainer): Promise<RuntimeContainer | undefined> {
    const known = this.#exited.get(container.id);
    if (known !== undefined && container.state === CriContainerState.CONTAINER_EXITED) return known;
    try {
      const response = await callUnary(
        this.#runtime.containerStatus.bind(this.#runtime),
        { containerId: container.id, verbose: false },
        shortMs,
      );
      if (response.status === undefined) return undefined;
      const parsed = parseCriContainer(response.status, container.podSandboxId);
      if (parsed.state === 'exited') this.#remember(parsed);
      return parsed;
    } catch (error) {
      throwUnlessGone(error);
      return undefined;
    }
  }

  #remember(container: RuntimeContainer): void {
    const oldest = this.#exited.keys().next();
    if (this.#exited.size >= exitedCacheMax && oldest.done !== true) this.#exited.delete(oldest.value);
    this.#exited.set(container.id, container);
  }
}

/** Between a list and the status call things go away: that is not an error. */
function throwUnlessGone(error: unknown): void {
  if (!isPlatformError(error, 'NotFound')) throw error;
}
