/* eslint-disable @typescript-eslint/unbound-method -- call() binds them */
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { credentials } from '@grpc/grpc-js';
import { callUnary, clientOptions, unixAddress } from '@hypernetes/foundation/grpc';
import { waitFor } from '@hypernetes/foundation/lifecycle';
import {
  ContainerConfig,
  ContainerState,
  ImageServiceClient,
  ImageSpec,
  PodSandboxConfig,
  PodSandboxState,
  RuntimeServiceClient,
} from '@hypernetes/proto/cri';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startTestRegistry, type RunningRegistry } from '../../../tests/fixtures/registry/index.ts';
import { releaseSandboxes } from '../sandbox/index.ts';
import { TestInfrastructure } from '../sandbox/testing/sandbox-fixture.ts';
import { startHyperd, type HyperdOptions } from './index.ts';
import { serveKubestack } from './testing/kubestack-server.ts';
import { dialSpdy, openCommandStreams, readText } from './testing/spdy-client.ts';

const prefix = `t${randomBytes(3).toString('hex')}`;
let folder: string;
let registry: RunningRegistry;
let infrastructure: TestInfrastructure;
let kubestack: AsyncDisposable;
let options: HyperdOptions;
let hyperd: AsyncDisposable;
let runtime: RuntimeServiceClient;
let images: ImageServiceClient;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hnd-'));
  await chmod(folder, 0o711);
  await mkdir(join(folder, 'run'), { mode: 0o711 });
  registry = await startTestRegistry();
  infrastructure = new TestInfrastructure(prefix, folder);
  await infrastructure.create();
  const kubestackSocket = join(folder, 'run', 'kubestack.sock');
  kubestack = await serveKubestack(kubestackSocket, infrastructure);
  options = {
    dataDir: join(folder, 'data'),
    runDir: join(folder, 'run'),
    cacheDir: process.env['HYPERNETES_TEST_CACHE'] ?? '/var/cache/hypernetes',
    kubestackSocket,
    instancePrefix: prefix,
    nodeName: 'node',
    accelerator: 'tcg',
    registryMirrors: { 'docker.io': registry.url },
  };
  await mkdir(options.dataDir, { mode: 0o711 });
  hyperd = await startHyperd(options);
  const address = unixAddress(join(folder, 'run', 'hyperd.sock'));
  runtime = new RuntimeServiceClient(address, credentials.createInsecure(), clientOptions);
  images = new ImageServiceClient(address, credentials.createInsecure(), clientOptions);
});

afterAll(async () => {
  runtime.close();
  images.close();
  await hyperd[Symbol.asyncDispose]();
  await releaseSandboxes({ dataDir: options.dataDir, runDir: options.runDir, instancePrefix: prefix });
  await kubestack[Symbol.asyncDispose]();
  await infrastructure.remove();
  await registry[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

type Unary<Request, Response> = Parameters<typeof callUnary<Request, Response>>[0];

async function call<Request, Response>(
  method: Unary<Request, Response>,
  request: Request,
): Promise<Response> {
  return await callUnary(method.bind(runtime), request, 120_000);
}

let podSandboxId: string;
let containerId: string;
const sandboxConfig = PodSandboxConfig.fromPartial({
  metadata: { name: 'web', namespace: 'default', uid: 'c0ffee00-0000-4000-8000-000000000000' },
  hostname: 'web',
  labels: { app: 'web' },
  annotations: { 'hypernetes.io/network-uid': 'default' },
});

test('an image from a registry runs in a virtual machine, driven over CRI alone', async () => {
  const image = ImageSpec.fromPartial({ image: 'nginx' });
  const pulled = await callUnary(
    images.pullImage.bind(images),
    { image, auth: undefined, sandboxConfig },
    120_000,
  );
  expect(pulled.imageRef).toMatch(/^sha256:/);
  const config = { ...sandboxConfig, logDirectory: join(folder, 'logs') };
  ({ podSandboxId } = await call(runtime.runPodSandbox, { config, runtimeHandler: '' }));
  ({ containerId } = await call(runtime.createContainer, {
    podSandboxId,
    config: ContainerConfig.fromPartial({ metadata: { name: 'nginx' }, image, logPath: 'nginx/0.log' }),
    sandboxConfig: config,
  }));
  await call(runtime.startContainer, { containerId });
  const { status, info } = await call(runtime.podSandboxStatus, { podSandboxId, verbose: true });
  expect(status?.state).toBe(PodSandboxState.SANDBOX_READY);
  expect(info['isolation']).toBe('tcg');
  expect(JSON.parse(info['trace'] ?? '')).toMatchObject({ clone: expect.any(Number) });
  const page = await waitFor('nginx answers', { timeoutMs: 30_000, intervalMs: 100 }, async () => {
    const cmd = ['wget', '-q', '-O', '-', 'http://127.0.0.1/'];
    const answer = await call(runtime.execSync, { containerId, cmd, timeout: 10n });
    return answer.exitCode === 0 ? answer.stdout.toString() : undefined;
  });
  expect(page).toContain('Welcome to nginx!');
});

test('exec and port-forward over SPDY', async () => {
  const request = {
    containerId,
    cmd: ['sh', '-c', 'cat; exit 3'],
    tty: false,
    stdin: true,
    stdout: true,
    stderr: true,
  };
  const { url } = await call(runtime.exec, request);
  const { session } = await dialSpdy(url, ['v4.channel.k8s.io']);
  const streams = openCommandStreams(session, { stdin: true, stdout: true, stderr: true });
  const sent = 'x'.repeat(200_000);
  streams.stdin?.end(sent);
  expect((await readText(streams.stdout)) === sent).toBe(true);
  expect(JSON.parse(await readText(streams.error))).toMatchObject({
    details: { causes: [{ message: '3' }] },
  });
  await session[Symbol.asyncDispose]();

  const forward = await call(runtime.portForward, { podSandboxId, port: [80] });
  const { session: tunnel } = await dialSpdy(forward.url, ['portforward.k8s.io']);
  tunnel.openStream({ streamtype: 'error', port: '80', requestid: '0' }).end();
  const data = tunnel.openStream({ streamtype: 'data', port: '80', requestid: '0' });
  data.write('GET / HTTP/1.0\r\n\r\n');
  expect(await readText(data)).toContain('Welcome to nginx!');
  await tunnel[Symbol.asyncDispose]();
});

test('statistics come from inside the machine', async () => {
  const { stats } = await call(runtime.listPodSandboxStats, { filter: undefined });
  expect(stats).toHaveLength(1);
  expect(stats[0]?.linux?.containers[0]?.memory?.workingSetBytes?.value).toBeGreaterThan(0n);
  expect(stats[0]?.linux?.containers[0]?.attributes?.id).toBe(containerId);
});

test('hyperd started again finds the pod as it was', async () => {
  const before = await call(runtime.containerStatus, { containerId, verbose: false });
  await hyperd[Symbol.asyncDispose]();
  hyperd = await startHyperd(options);
  const after = await call(runtime.containerStatus, { containerId, verbose: false });
  expect(after.status).toMatchObject({
    state: ContainerState.CONTAINER_RUNNING,
    startedAt: before.status?.startedAt,
  });
  const answer = await call(runtime.execSync, { containerId, cmd: ['hostname'], timeout: 10n });
  expect(answer.stdout.toString()).toBe('web\n');
});

test('stop and remove leave nothing', async () => {
  await call(runtime.stopContainer, { containerId, timeout: 5n });
  const { status } = await call(runtime.containerStatus, { containerId, verbose: false });
  expect(status).toMatchObject({ state: ContainerState.CONTAINER_EXITED, exitCode: 0 });
  await call(runtime.stopPodSandbox, { podSandboxId });
  await call(runtime.removePodSandbox, { podSandboxId });
  expect((await call(runtime.listPodSandbox, { filter: undefined })).items).toEqual([]);
  expect(infrastructure.ports.size).toBe(0);
});
