import { PlatformError, isPlatformError } from '@hypernetes/foundation/errors';
import { handleServerStream, handleUnary } from '@hypernetes/foundation/grpc';
import type { Logger } from '@hypernetes/foundation/logging';
import {
  CgroupDriver,
  ContainerEventResponse,
  RuntimeCondition,
  RuntimeHandler,
  StatusResponse,
  type ContainerStats,
  type ContainerStatsFilter,
  type PodSandboxStats,
  type PodSandboxStatsFilter,
  type RuntimeServiceServer,
} from '@hypernetes/proto/cri';
import type {
  ContainerStatus,
  SandboxEvent,
  SandboxService,
  SandboxStatus,
} from '../sandbox/sandbox-service.ts';
import { createCpuRates } from './cpu-rates.ts';
import { execSync } from './exec-sync.ts';
import { parseContainerConfig, parseResources, parseSandboxConfig, runtimeHandlers } from './from-cri.ts';
import { metricDescriptors, toPodSandboxMetrics } from './metrics.ts';
import { pages } from './pages.ts';
import type { StreamingServer } from './streaming/streaming-server.ts';
import {
  containerMatches,
  sandboxMatches,
  toContainer,
  toContainerStatus,
  toEventType,
  toPodSandbox,
  toPodSandboxStats,
  toPodSandboxStatus,
  toSandboxInfo,
} from './to-cri.ts';

/** CRI's own name and version of the wire. */
const kubeApiVersion = '0.1.0';
const runtimeApiVersion = 'v1';
const statsAtOnce = 16;

export interface RuntimeServiceOptions {
  readonly sandboxes: SandboxService;
  readonly streaming: StreamingServer;
  readonly log: Logger;
  readonly version: string;
  /** Why pods can get no network now; undefined when they can. */
  readonly networkProblem: () => Promise<string | undefined>;
}

function unimplemented(what: string): () => Promise<never> {
  return () => Promise.reject(new PlatformError('Unimplemented', `${what}: not supported by this runtime`));
}

function required(value: string, what: string): string {
  if (value === '') throw new PlatformError('Invalid', `${what} is required`);
  return value;
}

/** Work on many items, some at a time; items that are gone meanwhile are left out. */
async function mapPresent<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  const pending = items.values();
  const worker = async (): Promise<void> => {
    for (const item of pending) {
      try {
        results.push(await work(item));
      } catch (error) {
        const passing = ['NotFound', 'Precondition', 'Unavailable', 'DeadlineExceeded'] as const;
        if (!passing.some((reason) => isPlatformError(error, reason))) throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: Math.min(statsAtOnce, items.length) }, worker));
  return results;
}

/** Reads of the sandbox service that answer in CRI's terms. */
class RuntimeQueries {
  readonly #sandboxes: SandboxService;
  readonly #rates = createCpuRates();

  constructor(sandboxes: SandboxService) {
    this.#sandboxes = sandboxes;
  }

  containersOf(sandboxId: string): ContainerStatus[] {
    return this.#sandboxes.listContainers().filter((container) => container.sandboxId === sandboxId);
  }

  async podStats(sandbox: SandboxStatus): Promise<PodSandboxStats> {
    const stats = await this.#sandboxes.sandboxStats(sandbox.id);
    return toPodSandboxStats(stats, sandbox, this.containersOf(sandbox.id), this.#rates);
  }

  async listPodStats(filter: PodSandboxStatsFilter | undefined): Promise<PodSandboxStats[]> {
    const ready = this.#sandboxes.listSandboxes().filter(({ state }) => state === 'ready');
    return await mapPresent(
      ready.filter((sandbox) => sandboxMatches(sandbox, filter)),
      async (sandbox) => await this.podStats(sandbox),
    );
  }

  async containerStats(containerId: string): Promise<ContainerStats> {
    const container = this.#sandboxes.getContainer(containerId);
    const pod = await this.podStats(this.#sandboxes.getSandbox(container.sandboxId));
    const found = pod.linux?.containers.find(({ attributes }) => attributes?.id === container.id);
    if (found === undefined) {
      throw new PlatformError(
        'Precondition',
        `container ${container.id}: has no statistics: it is not running`,
      );
    }
    return found;
  }

  async listContainerStats(filter: ContainerStatsFilter | undefined): Promise<ContainerStats[]> {
    const wanted = this.#sandboxes
      .listContainers()
      .filter((container) => containerMatches(container, filter));
    const ids = new Set(wanted.map(({ id }) => id));
    const sandboxIds = new Set(wanted.map(({ sandboxId }) => sandboxId));
    const sandboxes = this.#sandboxes
      .listSandboxes()
      .filter(({ id, state }) => sandboxIds.has(id) && state === 'ready');
    const pods = await mapPresent(sandboxes, async (sandbox) => await this.podStats(sandbox));
    return pods
      .flatMap((pod) => pod.linux?.containers ?? [])
      .filter(({ attributes }) => ids.has(attributes?.id ?? ''));
  }

  event(event: SandboxEvent): ContainerEventResponse {
    const sandbox = this.#sandboxes.listSandboxes().find(({ id }) => id === event.sandboxId);
    return ContainerEventResponse.fromPartial({
      containerId: event.containerId,
      containerEventType: toEventType(event.kind),
      createdAt: event.atNs,
      ...(sandbox === undefined ? {} : { podSandboxStatus: toPodSandboxStatus(sandbox) }),
      containersStatuses: this.containersOf(event.sandboxId).map(toContainerStatus),
    });
  }
}

async function runtimeStatus(options: RuntimeServiceOptions): Promise<StatusResponse> {
  const problem = await options.networkProblem();
  return StatusResponse.fromPartial({
    status: {
      conditions: [
        RuntimeCondition.fromPartial({ type: 'RuntimeReady', status: true }),
        RuntimeCondition.fromPartial({
          type: 'NetworkReady',
          status: problem === undefined,
          reason: problem === undefined ? '' : 'NetworkNotReady',
          message: problem ?? '',
        }),
      ],
    },
    runtimeHandlers: runtimeHandlers.map((name) => RuntimeHandler.fromPartial({ name, features: {} })),
    features: { supplementalGroupsPolicy: true },
  });
}

function streamingCalls(options: RuntimeServiceOptions) {
  const { sandboxes, streaming } = options;
  const running = (containerId: string): string => {
    const container = sandboxes.getContainer(required(containerId, 'container_id'));
    if (container.state === 'running') return container.id;
    throw new PlatformError(
      'Precondition',
      `container ${container.id}: is not running, it is ${container.state}`,
    );
  };
  return {
    exec: async (request: {
      containerId: string;
      cmd: string[];
      tty: boolean;
      stdin: boolean;
      stdout: boolean;
      stderr: boolean;
    }) => {
      if (request.cmd.length === 0) throw new PlatformError('Invalid', 'exec: the command is empty');
      const { cmd: command, tty, stdin, stdout, stderr } = request;
      const url = streaming.execUrl({
        containerId: running(request.containerId),
        command,
        tty,
        stdin,
        stdout,
        stderr,
      });
      return await Promise.resolve({ url });
    },
    attach: async (request: {
      containerId: string;
      tty: boolean;
      stdin: boolean;
      stdout: boolean;
      stderr: boolean;
    }) => {
      const { tty, stdin, stdout, stderr } = request;
      const url = streaming.attachUrl({
        containerId: running(request.containerId),
        tty,
        stdin,
        stdout,
        stderr,
      });
      return await Promise.resolve({ url });
    },
    portForward: async (request: { podSandboxId: string; port: number[] }) => {
      const sandbox = sandboxes.getSandbox(required(request.podSandboxId, 'pod_sandbox_id'));
      if (sandbox.state !== 'ready') {
        throw new PlatformError('Precondition', `pod sandbox ${sandbox.id}: is not running`);
      }
      return await Promise.resolve({
        url: streaming.portForwardUrl({ sandboxId: sandbox.id, ports: request.port }),
      });
    },
  };
}

/** CRI v1 RuntimeService over the sandbox service. */
export function createRuntimeService(options: RuntimeServiceOptions): RuntimeServiceServer {
  const { sandboxes, log } = options;
  const queries = new RuntimeQueries(sandboxes);
  const streams = streamingCalls(options);
  const unary = <Request, Response>(
    method: string,
    work: (request: Request, signal: AbortSignal) => Promise<Response>,
  ) => handleUnary(log, method, work);

  const listSandboxes = (filter: Parameters<typeof sandboxMatches>[1]) =>
    sandboxes
      .listSandboxes()
      .filter((sandbox) => sandboxMatches(sandbox, filter))
      .map(toPodSandbox);
  const listContainers = (filter: Parameters<typeof containerMatches>[1]) =>
    sandboxes
      .listContainers()
      .filter((container) => containerMatches(container, filter))
      .map(toContainer);

  return {
    version: unary('Version', () =>
      Promise.resolve({
        version: kubeApiVersion,
        runtimeName: 'hypernetes',
        runtimeVersion: options.version,
        runtimeApiVersion,
      }),
    ),
    status: unary('Status', async () => await runtimeStatus(options)),
    runtimeConfig: unary('RuntimeConfig', () =>
      Promise.resolve({ linux: { cgroupDriver: CgroupDriver.CGROUPFS } }),
    ),
    // The pod CIDR of the node: networks decide addresses here, so there is nothing to do with it.
    updateRuntimeConfig: unary('UpdateRuntimeConfig', () => Promise.resolve({})),

    runPodSandbox: unary('RunPodSandbox', async (request, signal) => {
      const config = parseSandboxConfig(request.config, request.runtimeHandler);
      return { podSandboxId: await sandboxes.runSandbox(config, signal) };
    }),
    stopPodSandbox: unary('StopPodSandbox', async ({ podSandboxId }) => {
      await sandboxes.stopSandbox(required(podSandboxId, 'pod_sandbox_id'));
      return {};
    }),
    removePodSandbox: unary('RemovePodSandbox', async ({ podSandboxId }) => {
      await sandboxes.removeSandbox(required(podSandboxId, 'pod_sandbox_id'));
      return {};
    }),
    podSandboxStatus: unary('PodSandboxStatus', async ({ podSandboxId, verbose }) => {
      const sandbox = sandboxes.getSandbox(required(podSandboxId, 'pod_sandbox_id'));
      return await Promise.resolve({
        status: toPodSandboxStatus(sandbox),
        info: verbose ? toSandboxInfo(sandbox) : {},
        containersStatuses: queries.containersOf(sandbox.id).map(toContainerStatus),
        timestamp: BigInt(Date.now()) * 1_000_000n,
      });
    }),
    listPodSandbox: unary(
      'ListPodSandbox',
      async ({ filter }) => await Promise.resolve({ items: listSandboxes(filter) }),
    ),
    streamPodSandboxes: handleServerStream(log, 'StreamPodSandboxes', async function* ({ filter }) {
      for (const podSandboxes of pages(listSandboxes(filter))) yield await Promise.resolve({ podSandboxes });
    }),
    updatePodSandboxResources: unary('UpdatePodSandboxResources', unimplemented('UpdatePodSandboxResources')),

    createContainer: unary('CreateContainer', async (request, signal) => {
      const sandboxId = required(request.podSandboxId, 'pod_sandbox_id');
      const config = parseContainerConfig(request.config);
      return { containerId: await sandboxes.createContainer(sandboxId, config, signal) };
    }),
    startContainer: unary('StartContainer', async ({ containerId }) => {
      await sandboxes.startContainer(required(containerId, 'container_id'));
      return {};
    }),
    stopContainer: unary('StopContainer', async ({ containerId, timeout }) => {
      const timeoutMs = timeout > 0n ? Number(timeout) * 1_000 : 0;
      await sandboxes.stopContainer(required(containerId, 'container_id'), timeoutMs);
      return {};
    }),
    removeContainer: unary('RemoveContainer', async ({ containerId }) => {
      await sandboxes.removeContainer(required(containerId, 'container_id'));
      return {};
    }),
    listContainers: unary(
      'ListContainers',
      async ({ filter }) => await Promise.resolve({ containers: listContainers(filter) }),
    ),
    streamContainers: handleServerStream(log, 'StreamContainers', async function* ({ filter }) {
      for (const containers of pages(listContainers(filter))) yield await Promise.resolve({ containers });
    }),
    containerStatus: unary('ContainerStatus', async ({ containerId, verbose }) => {
      const container = sandboxes.getContainer(required(containerId, 'container_id'));
      const info: Record<string, string> = verbose ? { sandboxId: container.sandboxId } : {};
      return await Promise.resolve({ status: toContainerStatus(container), info });
    }),
    updateContainerResources: unary('UpdateContainerResources', async ({ containerId, linux }) => {
      await sandboxes.updateContainerResources(required(containerId, 'container_id'), parseResources(linux));
      return {};
    }),
    reopenContainerLog: unary('ReopenContainerLog', async ({ containerId }) => {
      await sandboxes.reopenContainerLog(required(containerId, 'container_id'));
      return {};
    }),

    execSync: unary('ExecSync', async ({ containerId, cmd, timeout }, signal) => {
      const timeoutMs = timeout > 0n ? Number(timeout) * 1_000 : 0;
      const request = { containerId: required(containerId, 'container_id'), command: cmd, timeoutMs };
      return await execSync(sandboxes, request, signal);
    }),
    exec: unary('Exec', streams.exec),
    attach: unary('Attach', streams.attach),
    portForward: unary('PortForward', streams.portForward),

    containerStats: unary('ContainerStats', async ({ containerId }) => ({
      stats: await queries.containerStats(required(containerId, 'container_id')),
    })),
    listContainerStats: unary('ListContainerStats', async ({ filter }) => ({
      stats: await queries.listContainerStats(filter),
    })),
    streamContainerStats: handleServerStream(log, 'StreamContainerStats', async function* ({ filter }) {
      for (const containerStats of pages(await queries.listContainerStats(filter))) yield { containerStats };
    }),
    podSandboxStats: unary('PodSandboxStats', async ({ podSandboxId }) => ({
      stats: await queries.podStats(sandboxes.getSandbox(required(podSandboxId, 'pod_sandbox_id'))),
    })),
    listPodSandboxStats: unary('ListPodSandboxStats', async ({ filter }) => ({
      stats: await queries.listPodStats(filter),
    })),
    streamPodSandboxStats: handleServerStream(log, 'StreamPodSandboxStats', async function* ({ filter }) {
      for (const podSandboxStats of pages(await queries.listPodStats(filter))) yield { podSandboxStats };
    }),
    listMetricDescriptors: unary('ListMetricDescriptors', () =>
      Promise.resolve({ descriptors: metricDescriptors() }),
    ),
    listPodSandboxMetrics: unary('ListPodSandboxMetrics', async () => ({
      podMetrics: (await queries.listPodStats(undefined)).map(toPodSandboxMetrics),
    })),
    streamPodSandboxMetrics: handleServerStream(log, 'StreamPodSandboxMetrics', async function* () {
      for (const pods of pages(await queries.listPodStats(undefined))) {
        yield { podSandboxMetrics: pods.map(toPodSandboxMetrics) };
      }
    }),

    getContainerEvents: handleServerStream(log, 'GetContainerEvents', async function* (_request, signal) {
      for await (const event of sandboxes.events(signal)) yield queries.event(event);
    }),
    checkpointContainer: unary('CheckpointContainer', unimplemented('CheckpointContainer')),
    checkpointPod: unary('CheckpointPod', unimplemented('CheckpointPod')),
    restorePod: unary('RestorePod', unimplemented('RestorePod')),
  };
}
