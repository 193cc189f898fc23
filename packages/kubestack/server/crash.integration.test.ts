import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { credentials } from '@grpc/grpc-js';
import { build } from 'esbuild';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { callUnary, clientOptions, unixAddress } from '@hypernetes/foundation/grpc';
import { sleep } from '@hypernetes/foundation/lifecycle';
import { run, runText, spawnChild, type ChildProcess } from '@hypernetes/foundation/process';
import {
  IdentityClient,
  NetworksClient,
  PortsClient,
  VolumesClient,
  type Port,
} from '@hypernetes/proto/kubestack';
import { hostState } from '../testing/index.ts';
import { purgeKubestack } from './index.ts';

const prefix = `k${randomBytes(2).toString('hex')}`;
const tenantId = '0123456789abcdef0123456789abcdef';
let folder: string;
let bundle: string;
let daemon: ChildProcess | undefined;

async function start(): Promise<void> {
  const child = spawnChild(process.execPath, [join(bundle, 'kubestackd.mjs')], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  daemon = child;
  const options = {
    dataDir: folder,
    runDir: join(folder, 'run'),
    instancePrefix: prefix,
    socketPath: join(folder, 'run', 'kubestack.sock'),
  };
  child.stdin.end(JSON.stringify(options));
  await new Promise<void>((resolve, reject) => {
    child.stdout.once('data', () => resolve());
    child.once('exit', (code) => reject(new Error(`kubestackd ended with ${code ?? 'a signal'}`)));
  });
}

async function kill(): Promise<void> {
  const child = daemon;
  daemon = undefined;
  if (child === undefined) return;
  const ended = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGKILL');
  await ended;
}

function open() {
  const address = unixAddress(join(folder, 'run', 'kubestack.sock'));
  const channel = credentials.createInsecure();
  return {
    identity: new IdentityClient(address, channel, clientOptions),
    networks: new NetworksClient(address, channel, clientOptions),
    ports: new PortsClient(address, channel, clientOptions),
    volumes: new VolumesClient(address, channel, clientOptions),
  };
}

async function ensureNetwork(clients: ReturnType<typeof open>, uid: string): Promise<void> {
  const subnet = { name: 's', cidr: '192.168.0.0/24', gateway: '', dnsServers: [], hostRoutes: [] };
  const request = { uid, name: uid, tenantId, subnets: [subnet], providerNetworkId: '' };
  await callUnary(clients.networks.ensureNetwork.bind(clients.networks), request, 5_000);
}

async function setupPod(
  clients: ReturnType<typeof open>,
  sandboxId: string,
  networkUid: string,
): Promise<Port> {
  const request = { sandboxId, networkUid, pod: undefined, tapOwnerUid: 1, fixedAddress: '', nodeName: '' };
  return await callUnary(clients.ports.setupPod.bind(clients.ports), request, 5_000);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kubestackd-crash-'));
  // Below the repository, where node_modules is found.
  bundle = join(import.meta.dirname, '..', '..', '..', 'build', `test-${prefix}`);
  await mkdir(bundle, { recursive: true });
  await build({
    entryPoints: [join(import.meta.dirname, '..', 'testing', 'kubestackd-process.ts')],
    outfile: join(bundle, 'kubestackd.mjs'),
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'esm',
    external: ['better-sqlite3', 'pino'],
    banner: { js: "import { createRequire as r } from 'node:module'; const require = r(import.meta.url);" },
    logLevel: 'error',
  });
});

afterAll(async () => {
  await kill();
  await purgeKubestack({ dataDir: folder, instancePrefix: prefix });
  await rm(folder, { recursive: true, force: true });
  await rm(bundle, { recursive: true, force: true });
});

it('loses nothing it acknowledged, and finishes or sweeps what was half made, killed at any moment', async () => {
  const acknowledged = new Map<string, Port>();
  const volumes = new Set<string>();
  await start();
  let clients = open();
  await callUnary(
    clients.identity.createTenant.bind(clients.identity),
    { id: tenantId, name: 'acme' },
    5_000,
  );
  for (let round = 0; round < 6; round++) {
    const { volumes: client } = clients;
    const work = async (): Promise<void> => {
      for (let i = 0; i < 20; i++) {
        const uid = `net-${round}-${i}`;
        await ensureNetwork(clients, uid);
        acknowledged.set(`pod-${round}-${i}`, await setupPod(clients, `pod-${round}-${i}`, uid));
        const created = await callUnary(
          client.createVolume.bind(client),
          { id: '', name: '', tenantId, sizeBytes: 1n << 20n },
          5_000,
        );
        volumes.add(created.id);
      }
    };
    const working = work().catch(() => undefined);
    await sleep(20 + round * 37);
    await kill();
    await working;
    for (const each of Object.values(clients)) each.close();
    await start();
    clients = open();
  }
  const { ports } = await callUnary(clients.ports.listPorts.bind(clients.ports), { networkUid: '' }, 5_000);
  const found = new Map(ports.map((port) => [port.sandboxId, port]));
  for (const [id, port] of acknowledged) expect(found.get(id)).toEqual(port);
  const listed = await callUnary(clients.volumes.listVolumes.bind(clients.volumes), { tenantId: '' }, 5_000);
  expect(listed.volumes.map((volume) => volume.id)).toEqual(expect.arrayContaining([...volumes]));
  expect(acknowledged.size).toBeGreaterThan(0);

  // Everything on record is in the kernel, whole, and nothing else is.
  const { networks } = await callUnary(clients.networks.listNetworks.bind(clients.networks), {}, 5_000);
  const namespaces = (await runText('ip', ['netns', 'list']))
    .split('\n')
    .map((line) => line.split(' ')[0] ?? '');
  const ours = namespaces.filter((name) => name.startsWith(`${prefix}-`));
  expect(ours.sort()).toEqual(networks.map((network) => network.providerId).sort());
  expect(networks.every((network) => network.message === '')).toBe(true);
  for (const port of found.values()) {
    const links = await runText('nsenter', [
      `--net=${port.tap?.networkNamespace ?? ''}`,
      'ip',
      '-br',
      'link',
    ]);
    expect(links).toContain(port.tap?.name);
    expect(links).toContain('uplink@');
  }

  // As after a reboot: the kernel has forgotten all of it.
  await kill();
  for (const name of ours) await run('ip', ['netns', 'delete', name]);
  await run('nft', ['delete', 'table', 'ip', `${prefix}-kubestack`]);
  await start();
  const again = (await hostState(`${prefix}-`)).filter((line) => line.startsWith(`${prefix}-`));
  expect(again).toHaveLength(ours.length);
  for (const each of Object.values(clients)) each.close();
});
