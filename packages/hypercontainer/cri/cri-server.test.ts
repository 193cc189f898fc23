/* eslint-disable @typescript-eslint/unbound-method -- call() and callImage() bind them */
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { credentials, status as grpcStatus } from '@grpc/grpc-js';
import { PlatformError } from '@hypernetes/foundation/errors';
import { callStream, callUnary, clientOptions, unixAddress } from '@hypernetes/foundation/grpc';
import { createLogger } from '@hypernetes/foundation/logging';
import {
  ContainerConfig,
  ContainerEventType,
  ContainerFilter,
  ContainerState,
  ImageServiceClient,
  ImageSpec,
  NamespaceMode,
  PodSandboxConfig,
  PodSandboxFilter,
  PodSandboxState,
  RuntimeServiceClient,
  type ContainerEventResponse,
} from '@hypernetes/proto/cri';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ImageRecord, ImageStore, PullOptions } from '../image-store/index.ts';
import { startCriServer } from './cri-server.ts';
import { dialSpdy, openCommandStreams, readText } from './testing/spdy-client.ts';
import { ProcessSandboxes } from './testing/process-sandboxes.ts';
import { startStreamingServer } from './streaming/streaming-server.ts';

const image: ImageRecord = {
  id: `sha256:${'1'.repeat(64)}`,
  references: ['docker.io/library/nginx:latest'],
  digests: [`docker.io/library/nginx@sha256:${'2'.repeat(64)}`],
  sizeBytes: 123,
  config: {
    user: '101:0',
    env: [],
    entrypoint: [],
    command: [],
    workingDir: '',
    stopSignal: '',
    volumes: [],
    exposedPorts: [],
    labels: {},
  },
  layers: [],
};

/** What the image service is to pass on, and back. */
class RecordingImages implements ImageStore {
  readonly pulls: [string, PullOptions['auth']][] = [];
  readonly loads: string[] = [];
  readonly removed: string[] = [];
  pull(reference: string, options: PullOptions = {}): Promise<ImageRecord> {
    this.pulls.push([reference, options.auth]);
    if (reference === 'nope') {
      return Promise.reject(new PlatformError('NotFound', 'docker.io/library/nope:latest: not found'));
    }
    return Promise.resolve(image);
  }
  find(name: string): ImageRecord | undefined {
    return name === 'nginx' || name === image.id ? image : undefined;
  }
  list(): readonly ImageRecord[] {
    return [image];
  }
  remove(name: string): Promise<void> {
    this.removed.push(name);
    return Promise.resolve();
  }
  load(path: string): Promise<readonly ImageRecord[]> {
    this.loads.push(path);
    return Promise.resolve([image]);
  }
  usage(): Promise<{ path: string; usedBytes: number; inodesUsed: number }> {
    return Promise.resolve({ path: '/images', usedBytes: 5, inodesUsed: 2 });
  }
  retain(): void {
    throw new Error('not the front door’s business');
  }
  release(): void {
    throw new Error('not the front door’s business');
  }
  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}

let folder: string;
let sandboxes: ProcessSandboxes;
let images: RecordingImages;
let runtime: RuntimeServiceClient;
let imageClient: ImageServiceClient;
let networkProblem: string | undefined;
let dispose: () => Promise<void>;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cri-'));
  sandboxes = new ProcessSandboxes();
  images = new RecordingImages();
  networkProblem = undefined;
  const streaming = await startStreamingServer({ sandboxes, address: { host: '127.0.0.1', port: 0 } });
  const socketPath = join(folder, 'cri.sock');
  const log = createLogger('test');
  log.level = 'silent';
  const server = await startCriServer({
    socketPath,
    sandboxes,
    images,
    streaming,
    log,
    version: '9.9',
    networkProblem: () => Promise.resolve(networkProblem),
  });
  expect((await stat(socketPath)).mode & 0o777).toBe(0o600);
  runtime = new RuntimeServiceClient(unixAddress(socketPath), credentials.createInsecure(), clientOptions);
  imageClient = new ImageServiceClient(unixAddress(socketPath), credentials.createInsecure(), clientOptions);
  dispose = async () => {
    runtime.close();
    imageClient.close();
    await server[Symbol.asyncDispose]();
    await streaming[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  };
});

afterEach(async () => {
  await dispose();
});

type Unary<Request, Response> = Parameters<typeof callUnary<Request, Response>>[0];

async function call<Request, Response>(
  method: Unary<Request, Response>,
  request: Request,
): Promise<Response> {
  return await callUnary(method.bind(runtime), request, 5_000);
}

async function callImage<Request, Response>(
  method: Unary<Request, Response>,
  request: Request,
): Promise<Response> {
  return await callUnary(method.bind(imageClient), request, 5_000);
}

const config = (name = 'p', labels: Record<string, string> = {}): PodSandboxConfig =>
  PodSandboxConfig.fromPartial({
    metadata: { name, namespace: 'ns', uid: name },
    logDirectory: '/logs',
    labels,
  });

async function newContainer(): Promise<{ podSandboxId: string; containerId: string }> {
  const { podSandboxId } = await call(runtime.runPodSandbox, { config: config(), runtimeHandler: '' });
  const { containerId } = await call(runtime.createContainer, {
    podSandboxId,
    config: ContainerConfig.fromPartial({
      metadata: { name: 'c' },
      image: { image: 'nginx' },
      logPath: 'c/0.log',
      labels: { app: 'x' },
      linux: { resources: { memoryLimitInBytes: 200n } },
    }),
    sandboxConfig: config(),
  });
  return { podSandboxId, containerId };
}

test('a pod’s life', async () => {
  const { podSandboxId, containerId } = await newContainer();
  const created = await call(runtime.containerStatus, { containerId, verbose: false });
  expect(created.status).toMatchObject({ state: ContainerState.CONTAINER_CREATED, logPath: '/logs/c/0.log' });
  await call(runtime.startContainer, { containerId });
  const sandbox = await call(runtime.podSandboxStatus, { podSandboxId, verbose: true });
  expect(sandbox.status).toMatchObject({
    state: PodSandboxState.SANDBOX_READY,
    network: { ip: '10.244.0.2' },
  });
  expect(sandbox.info).toMatchObject({
    isolation: 'tcg',
    trace: '{"network":1,"clone":60}',
    networkUid: 'default',
  });
  expect(sandbox.containersStatuses.map(({ state }) => state)).toEqual([ContainerState.CONTAINER_RUNNING]);
  await call(runtime.stopContainer, { containerId, timeout: 3n });
  expect(sandboxes.calls).toContain(`stopContainer ${containerId} 3000`);
  const stopped = await call(runtime.containerStatus, { containerId, verbose: false });
  expect(stopped.status).toMatchObject({
    state: ContainerState.CONTAINER_EXITED,
    exitCode: 143,
    reason: 'Error',
  });
  await call(runtime.removeContainer, { containerId });
  await call(runtime.stopPodSandbox, { podSandboxId });
  await call(runtime.removePodSandbox, { podSandboxId });
  expect((await call(runtime.listPodSandbox, { filter: undefined })).items).toEqual([]);
});

test('version, status, configuration', async () => {
  expect(await call(runtime.version, { version: 'v1' })).toMatchObject({
    runtimeName: 'hypernetes',
    runtimeApiVersion: 'v1',
  });
  const ready = await call(runtime.status, { verbose: false });
  expect(ready.status?.conditions.map(({ type, status }) => [type, status])).toEqual([
    ['RuntimeReady', true],
    ['NetworkReady', true],
  ]);
  networkProblem = 'kubestackd cannot be reached';
  const unready = await call(runtime.status, { verbose: false });
  expect(unready.status?.conditions[1]).toMatchObject({
    status: false,
    message: 'kubestackd cannot be reached',
  });
  expect(
    await call(runtime.updateRuntimeConfig, { runtimeConfig: { networkConfig: { podCidr: '10.0.0.0/24' } } }),
  ).toEqual({});
});

test('errors carry their gRPC code', async () => {
  const missing = call(runtime.podSandboxStatus, { podSandboxId: 'x', verbose: false });
  await expect(missing).rejects.toMatchObject({ reason: 'NotFound', cause: { code: grpcStatus.NOT_FOUND } });
  const host = config();
  host.linux = { ...PodSandboxConfig.fromPartial({ linux: {} }).linux! };
  const withHost = PodSandboxConfig.fromPartial({
    ...host,
    linux: { securityContext: { namespaceOptions: { network: NamespaceMode.NODE } } },
  });
  await expect(call(runtime.runPodSandbox, { config: withHost, runtimeHandler: '' })).rejects.toMatchObject({
    cause: { code: grpcStatus.INVALID_ARGUMENT },
  });
  await expect(
    call(runtime.checkpointContainer, { containerId: 'x', location: '/x', timeout: 1n }),
  ).rejects.toMatchObject({ cause: { code: grpcStatus.UNIMPLEMENTED } });
});

test('lists are filtered, and streamed', async () => {
  const { podSandboxId, containerId } = await newContainer();
  await call(runtime.runPodSandbox, { config: config('q', { tier: 'db' }), runtimeHandler: 'hypernetes' });
  await call(runtime.stopPodSandbox, { podSandboxId });
  const list = async (
    filter: Parameters<typeof PodSandboxFilter.fromPartial>[0],
  ): Promise<(string | undefined)[]> => {
    const answer = await call(runtime.listPodSandbox, { filter: PodSandboxFilter.fromPartial(filter) });
    return answer.items.map(({ metadata }) => metadata?.name);
  };
  expect(await list({})).toEqual(['p', 'q']);
  expect(await list({ id: podSandboxId.slice(0, 60) })).toEqual(['p', 'q']);
  expect(await list({ id: podSandboxId })).toEqual(['p']);
  expect(await list({ labelSelector: { tier: 'db' } })).toEqual(['q']);
  expect(await list({ state: { state: PodSandboxState.SANDBOX_READY } })).toEqual(['q']);
  const filter = ContainerFilter.fromPartial({ podSandboxId, labelSelector: { app: 'x' } });
  expect((await call(runtime.listContainers, { filter })).containers.map(({ id }) => id)).toEqual([
    containerId,
  ]);
  const streamed: string[] = [];
  for await (const page of callStream(runtime.streamPodSandboxes({ filter: undefined }))) {
    streamed.push(...page.podSandboxes.map(({ metadata }) => metadata?.name ?? ''));
  }
  expect(streamed).toEqual(['p', 'q']);
});

describe('ExecSync', () => {
  test('output and exit code', async () => {
    const { containerId } = await newContainer();
    await call(runtime.startContainer, { containerId });
    const cmd = ['sh', '-c', 'echo out; echo err >&2; exit 5'];
    const answer = await call(runtime.execSync, { containerId, cmd, timeout: 5n });
    expect([answer.stdout.toString(), answer.stderr.toString(), answer.exitCode]).toEqual([
      'out\n',
      'err\n',
      5,
    ]);
    expect(sandboxes.openSessions).toBe(1);
  });

  test('past its time the command is killed', async () => {
    const { containerId } = await newContainer();
    const late = call(runtime.execSync, { containerId, cmd: ['sleep', '100'], timeout: 1n });
    await expect(late).rejects.toMatchObject({
      reason: 'DeadlineExceeded',
      message: expect.stringMatching(/timed out after 1 s/),
    });
    expect(sandboxes.openSessions).toBe(0);
  });

  test('more output than the limit is cut, and the command still ends', async () => {
    const { containerId } = await newContainer();
    const cmd = ['sh', '-c', 'head -c 20000000 /dev/zero'];
    const answer = await call(runtime.execSync, { containerId, cmd, timeout: 0n });
    expect(answer.stdout).toHaveLength(16 << 20);
    expect(answer.exitCode).toBe(0);
  });
});

test('Exec answers a URL that works; not for a container that does not run', async () => {
  const { containerId } = await newContainer();
  const request = { containerId, cmd: ['echo', 'hi'], tty: false, stdin: false, stdout: true, stderr: true };
  await expect(call(runtime.exec, request)).rejects.toMatchObject({ reason: 'Precondition' });
  await call(runtime.startContainer, { containerId });
  const { url } = await call(runtime.exec, request);
  const { session } = await dialSpdy(url, ['v4.channel.k8s.io']);
  const streams = openCommandStreams(session, { stdout: true, stderr: true });
  expect(await readText(streams.stdout)).toBe('hi\n');
  await session[Symbol.asyncDispose]();
});

test('statistics and metrics', async () => {
  const { podSandboxId, containerId } = await newContainer();
  const { stats } = await call(runtime.podSandboxStats, { podSandboxId });
  expect(stats?.linux?.memory?.usageBytes?.value).toBe(600n);
  expect(stats?.linux?.network?.defaultInterface?.rxBytes?.value).toBe(10n);
  const one = await call(runtime.containerStats, { containerId });
  expect(one.stats).toMatchObject({
    attributes: { id: containerId, metadata: { name: 'c' } },
    cpu: { usageCoreNanoSeconds: { value: 7_000_000_000n } },
    memory: { workingSetBytes: { value: 90n }, availableBytes: { value: 110n } },
    writableLayer: { usedBytes: { value: 4096n } },
  });
  const filtered = { id: '', podSandboxId: 'other', labelSelector: {} };
  expect((await call(runtime.listContainerStats, { filter: filtered })).stats).toEqual([]);
  const { descriptors } = await call(runtime.listMetricDescriptors, {});
  const { podMetrics } = await call(runtime.listPodSandboxMetrics, {});
  const names = new Set(descriptors.map(({ name }) => name));
  const metrics = podMetrics.flatMap((pod) => [
    ...pod.metrics,
    ...pod.containerMetrics.flatMap((c) => c.metrics),
  ]);
  expect(metrics.find(({ name }) => name === 'container_cpu_usage_seconds_total')?.value?.value).toBe(7n);
  for (const { name } of metrics) expect(names).toContain(name);
});

test('events are streamed until the client goes', async () => {
  const abort = new AbortController();
  const received: ContainerEventResponse[] = [];
  const reading = (async () => {
    for await (const event of callStream(runtime.getContainerEvents({}), abort.signal)) received.push(event);
  })();
  await new Promise((resolve) => setTimeout(resolve, 100));
  const { podSandboxId, containerId } = await newContainer();
  await expect.poll(() => received.length).toBe(2);
  abort.abort();
  await reading;
  expect(received.map((event) => [event.containerId, event.containerEventType])).toEqual([
    [podSandboxId, ContainerEventType.CONTAINER_CREATED_EVENT],
    [containerId, ContainerEventType.CONTAINER_CREATED_EVENT],
  ]);
  expect(received[1]?.podSandboxStatus?.id).toBe(podSandboxId);
  expect(received[1]?.containersStatuses.map(({ id }) => id)).toEqual([containerId]);
});

describe('images', () => {
  const spec = (name: string, annotations = {}): ImageSpec =>
    ImageSpec.fromPartial({ image: name, annotations });

  test('pull, with credentials', async () => {
    const auth = {
      username: 'u',
      password: 'p',
      auth: '',
      serverAddress: '',
      identityToken: '',
      registryToken: '',
    };
    const answer = await callImage(imageClient.pullImage, {
      image: spec('nginx'),
      auth,
      sandboxConfig: undefined,
    });
    expect(answer.imageRef).toBe(image.id);
    expect(images.pulls).toEqual([['nginx', { username: 'u', password: 'p' }]]);
    const missing = callImage(imageClient.pullImage, {
      image: spec('nope'),
      auth: undefined,
      sandboxConfig: undefined,
    });
    await expect(missing).rejects.toMatchObject({
      reason: 'NotFound',
      message: 'docker.io/library/nope:latest: not found',
    });
  });

  test('an archive of this host, by annotation', async () => {
    const archive = spec('/tmp/x.tar', { 'hypernetes.io/archive': 'true' });
    const answer = await callImage(imageClient.pullImage, {
      image: archive,
      auth: undefined,
      sandboxConfig: undefined,
    });
    expect(answer.imageRef).toBe('docker.io/library/nginx:latest');
    expect(images.loads).toEqual(['/tmp/x.tar']);
    // What can be an image of a pod is never opened as a file.
    const name = spec('tmp/x.tar', { 'hypernetes.io/archive': 'true' });
    const refused = callImage(imageClient.pullImage, {
      image: name,
      auth: undefined,
      sandboxConfig: undefined,
    });
    await expect(refused).rejects.toMatchObject({ reason: 'Invalid' });
    expect(images.loads).toEqual(['/tmp/x.tar']);
  });

  test('status, list, remove, file system', async () => {
    const found = await callImage(imageClient.imageStatus, { image: spec('nginx'), verbose: false });
    expect(found.image).toMatchObject({
      id: image.id,
      repoTags: image.references,
      size: 123n,
      uid: { value: 101n },
    });
    expect(
      (await callImage(imageClient.imageStatus, { image: spec('x'), verbose: true })).image,
    ).toBeUndefined();
    const filter = { image: spec('x') };
    expect((await callImage(imageClient.listImages, { filter })).images).toEqual([]);
    expect((await callImage(imageClient.listImages, { filter: undefined })).images).toHaveLength(1);
    await callImage(imageClient.removeImage, { image: spec('nginx') });
    expect(images.removed).toEqual(['nginx']);
    const usage = await callImage(imageClient.imageFsInfo, {});
    expect(usage.imageFilesystems[0]).toMatchObject({
      fsId: { mountpoint: '/images' },
      usedBytes: { value: 5n },
    });
  });
});
