import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { credentials } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { callStream, callUnary, unixAddress } from '@hypernetes/foundation/grpc';
import { waitFor } from '@hypernetes/foundation/lifecycle';
import { run, runText } from '@hypernetes/foundation/process';
import {
  IdentityClient,
  LoadBalancersClient,
  NetworksClient,
  PortsClient,
  Service,
  ServiceTablesClient,
  type Port,
  type ServiceTarget,
  type Subnet,
} from '@hypernetes/proto/kubestack';
import { EmulatedPod, hostState } from '../testing/index.ts';
import { purgeKubestack, startKubestackd, releaseKernelState, type KubestackdOptions } from './index.ts';

const prefix = `k${randomBytes(2).toString('hex')}`;
const tenants = ['0123456789abcdef0123456789abcdef', 'fedcba9876543210fedcba9876543210'] as const;
const cidr = '192.168.77.0/24';
const external = '172.30.77.10';

let folder: string;
let options: KubestackdOptions;
let daemon: AsyncDisposable;
const pods: EmulatedPod[] = [];
let clients: ReturnType<typeof makeClients>;

function makeClients(address: string) {
  const open = credentials.createInsecure();
  return {
    identity: new IdentityClient(address, open),
    networks: new NetworksClient(address, open),
    ports: new PortsClient(address, open),
    tables: new ServiceTablesClient(address, open),
    balancers: new LoadBalancersClient(address, open),
  };
}

function subnet(): Subnet {
  return { name: 'subnet1', cidr, gateway: '192.168.77.1', dnsServers: [], hostRoutes: [] };
}

async function ensureNetwork(uid: string, tenantId: string, subnets = [subnet()]) {
  const { networks } = clients;
  const request = { uid, name: uid, tenantId, subnets, providerNetworkId: '' };
  return await callUnary(networks.ensureNetwork.bind(networks), request, 10_000);
}

async function setupPod(sandboxId: string, networkUid: string): Promise<Port> {
  const { ports } = clients;
  const request = {
    sandboxId,
    networkUid,
    pod: { namespace: 'ns1', name: sandboxId, uid: sandboxId },
    tapOwnerUid: 12_345,
    fixedAddress: '',
    nodeName: 'node',
  };
  return await callUnary(ports.setupPod.bind(ports), request, 10_000);
}

async function plug(sandboxId: string, networkUid: string): Promise<EmulatedPod> {
  const port = await setupPod(sandboxId, networkUid);
  if (port.tap === undefined) throw new Error('port without tap');
  const pod = await EmulatedPod.plug(`${prefix}x${sandboxId}`, { ...port, tap: port.tap });
  pods.push(pod);
  return pod;
}

async function ensureBalancer(change: {
  members: ServiceTarget[];
  uid?: string;
  port?: number;
  protocol?: string;
  networkUid?: string;
  tenantId?: string;
  addresses?: string[];
}) {
  const { balancers } = clients;
  const request = {
    uid: change.uid ?? 'lb1',
    name: `ns1/${change.uid ?? 'lb1'}`,
    tenantId: change.tenantId ?? tenants[0],
    networkUid: change.networkUid ?? 'net-a',
    addresses: change.addresses ?? [external],
    listeners: [
      { name: 'web', protocol: change.protocol ?? 'TCP', port: change.port ?? 80, members: change.members },
    ],
    affinityTimeoutS: 0,
    sourceRanges: [],
  };
  return await callUnary(balancers.ensureLoadBalancer.bind(balancers), request, 30_000);
}

async function get(address: string): Promise<string> {
  return await new Promise<string>((resolve, reject) => {
    const request = httpRequest({ host: address, port: 80, timeout: 3_000, agent: false }, (response) => {
      let body = '';
      response.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
      response.on('end', () => resolve(body));
    });
    request.on('timeout', () => request.destroy(new Error('timeout')));
    request.on('error', reject);
    request.end();
  });
}

const webServer = (text: string): string =>
  `require('http').createServer((q, s) => s.end('${text}')).listen(80, () => console.log('up'))`;

async function resolveInPod(pod: EmulatedPod, expression: string): Promise<unknown> {
  const source =
    `const r = new (require('dns').promises.Resolver)({ timeout: 1000, tries: 2 }); r.setServers(['192.168.77.1']);` +
    `(${expression}).then((v) => console.log(JSON.stringify(v)), (e) => console.log(JSON.stringify(e.code)))`;
  return JSON.parse(await pod.evaluate(source)) as unknown;
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kubestackd-'));
  options = {
    dataDir: folder,
    runDir: join(folder, 'run'),
    instancePrefix: prefix,
    socketPath: join(folder, 'run', 'kubestack.sock'),
  };
  daemon = await startKubestackd(options);
  clients = makeClients(unixAddress(options.socketPath));
  for (const id of tenants) {
    await callUnary(
      clients.identity.createTenant.bind(clients.identity),
      { id, name: `tenant-${id.slice(0, 4)}` },
      5_000,
    );
  }
  await ensureNetwork('net-a', tenants[0]);
  await ensureNetwork('net-b', tenants[1]);
});

afterAll(async () => {
  for (const client of Object.values(clients)) client.close();
  for (const pod of pods) await pod[Symbol.asyncDispose]();
  await daemon[Symbol.asyncDispose]();
  await purgeKubestack(options);
  await rm(folder, { recursive: true, force: true });
});

describe('two networks with the same CIDR', () => {
  let a1: EmulatedPod, a2: EmulatedPod, b1: EmulatedPod, b2: EmulatedPod, b3: EmulatedPod;

  beforeAll(async () => {
    a1 = await plug('a1', 'net-a');
    a2 = await plug('a2', 'net-a');
    b1 = await plug('b1', 'net-b');
    b2 = await plug('b2', 'net-b');
    b3 = await plug('b3', 'net-b');
  });

  it('give the same addresses to different pods', () => {
    expect([a1.address, a2.address]).toEqual([b1.address, b2.address]);
    expect(a1.address).toBe('192.168.77.2');
  });

  it('let the pods of one reach each other and their gateway', async () => {
    expect(await a1.canPing(a2.address)).toBe(true);
    expect(await b1.canPing(b3.address)).toBe(true);
    expect(await a1.canPing('192.168.77.1')).toBe(true);
  });

  it('let nothing of the other be reached', async () => {
    // b3's address exists only on net-b.
    expect(await a1.canPing(b3.address)).toBe(false);
    await b2.serve(webServer('b2'));
    await expect(
      a1.evaluate(
        `fetch('http://${a2.address}', { signal: AbortSignal.timeout(500) }).then(async (r) => console.log(await r.text()))`,
      ),
    ).rejects.toThrow();
    await b2.stopServing();
    const uplink = await runText('ip', [
      '-n',
      `${prefix}-${(await names('net-b')).short}`,
      '-4',
      '-br',
      'address',
      'show',
      'uplink',
    ]);
    const other = /169\.254\.[0-9.]+/.exec(uplink)?.[0] ?? '';
    expect(other).not.toBe('');
    expect(await a1.canPing(other)).toBe(false);
  });

  it("drop frames with a source address or MAC that is not the port's", async () => {
    await a1.run('ip', ['address', 'add', '192.168.77.99/24', 'dev', 'eth0']);
    expect(await a1.canPing(a2.address, '192.168.77.99')).toBe(false);
    expect(await a1.canPing('192.168.77.1', '192.168.77.99')).toBe(false);
    await a1.run('ip', ['address', 'del', '192.168.77.99/24', 'dev', 'eth0']);
    const mac = (await setupPod('a1', 'net-a')).mac;
    await a1.run('ip', ['link', 'set', 'dev', 'eth0', 'address', '02:00:00:00:00:99']);
    expect(await a1.canPing(a2.address)).toBe(false);
    await a1.run('ip', ['link', 'set', 'dev', 'eth0', 'address', mac]);
    await a1.run('ip', ['route', 'replace', 'default', 'via', '192.168.77.1']);
    expect(await a1.canPing(a2.address)).toBe(true);
  });

  it('keep pods away from the host', async () => {
    const own =
      /inet ([0-9.]+)\//.exec(
        await runText('ip', ['-4', '-oneline', 'address', 'show', 'scope', 'global']),
      )?.[1] ?? '';
    expect(own).not.toBe('');
    expect(await a1.canPing(own)).toBe(false);
  });

  it("answer names of their own services, and refuse the other's", async () => {
    const { tables } = clients;
    const apply = tables.applyServices.bind(tables);
    const web = Service.fromPartial({
      key: { namespace: 'ns1', name: 'web' },
      clusterIps: ['10.96.0.77'],
      ports: [{ name: 'http', protocol: 'TCP', port: 80, targets: [{ address: a2.address, port: 80 }] }],
    });
    const many = Service.fromPartial({
      key: { namespace: 'ns1', name: 'many' },
      endpoints: Array.from({ length: 120 }, (_, index) => ({
        address: `192.168.77.${index + 100}`,
        ready: true,
      })),
    });
    await callUnary(apply, { networkUid: 'net-a', full: true, upserts: [web, many], removals: [] }, 5_000);
    expect(await resolveInPod(a1, `r.resolve4('web.ns1.svc.cluster.local')`)).toEqual(['10.96.0.77']);
    expect(await resolveInPod(a1, `r.resolveSrv('_http._tcp.web.ns1.svc.cluster.local')`)).toEqual([
      { name: 'web.ns1.svc.cluster.local', port: 80, priority: 0, weight: 100 },
    ]);
    expect(await resolveInPod(a1, `r.reverse('10.96.0.77')`)).toEqual(['web.ns1.svc.cluster.local']);
    expect(await resolveInPod(a1, `r.resolve6('web.ns1.svc.cluster.local')`)).toBe('ENODATA');
    expect(await resolveInPod(a1, `r.resolve4('none.ns1.svc.cluster.local')`)).toBe('ENOTFOUND');
    expect(await resolveInPod(b1, `r.resolve4('web.ns1.svc.cluster.local')`)).toBe('ENOTFOUND');
    // More than a UDP answer holds: truncated, then asked again by TCP.
    expect(await resolveInPod(a1, `r.resolve4('many.ns1.svc.cluster.local').then((v) => v.length)`)).toBe(
      120,
    );
  });

  it('send changes of the service table to those who watch', async () => {
    const { tables } = clients;
    const abort = new AbortController();
    const events = callStream(tables.watchServices({ networkUid: 'net-a' }), abort.signal);
    const first = (await events.next()).value;
    expect(first).toMatchObject({ full: true, baseGeneration: 0n });
    const extra = Service.fromPartial({
      key: { namespace: 'ns1', name: 'extra' },
      clusterIps: ['10.96.0.78'],
    });
    const request = { networkUid: 'net-a', full: false, upserts: [extra], removals: [] };
    const { generation } = await callUnary(tables.applyServices.bind(tables), request, 5_000);
    expect((await events.next()).value).toMatchObject({
      full: false,
      generation,
      upserts: [{ key: { name: 'extra' } }],
    });
    abort.abort();
  });

  it('are balanced to from the host, with members changed without a restart', async () => {
    await a1.serve(webServer('from a1'));
    await a2.serve(webServer('from a2'));
    const balancer = await ensureBalancer({ members: [{ address: a1.address, port: 80 }] });
    expect(balancer.addresses).toEqual([external]);
    expect(await get(external)).toBe('from a1');
    const before = await workerOf();
    await ensureBalancer({ members: [{ address: a2.address, port: 80 }] });
    expect(await get(external)).toBe('from a2');
    await ensureBalancer({
      members: [
        { address: a1.address, port: 80 },
        { address: a2.address, port: 80 },
      ],
    });
    const seen = new Set<string>();
    for (let i = 0; i < 6; i++) seen.add(await get(external));
    expect([...seen].sort()).toEqual(['from a1', 'from a2']);
    expect(await workerOf()).toBe(before);
    // Another port is a reload: the master stays.
    await ensureBalancer({
      uid: 'lb2',
      addresses: ['172.30.77.11'],
      members: [{ address: a1.address, port: 80 }],
    });
    expect(await get('172.30.77.11')).toBe('from a1');
    expect(await get(external)).toMatch(/^from a/);
    expect(
      await a1.evaluate(`fetch('http://${external}').then(async (r) => console.log(await r.text()))`),
    ).toMatch(/^from a/);
  });

  it("refuse addresses that are somebody else's and members that are no pods", async () => {
    const member = { address: b1.address, port: 80 };
    const other = { uid: 'lb9', networkUid: 'net-b', tenantId: tenants[1] };
    const own = { uid: 'lb8', members: [{ address: a1.address, port: 80 }] };
    await expect(ensureBalancer(own)).rejects.toMatchObject({
      reason: 'AlreadyExists',
      message: expect.stringContaining('taken by load balancer "ns1/lb1"') as string,
    });
    // Who of another tenant has it is nobody's business.
    await expect(ensureBalancer({ ...other, members: [member] })).rejects.toMatchObject({
      reason: 'AlreadyExists',
      message: `load balancer "ns1/lb9": address ${external} is taken`,
    });
    for (const address of ['10.96.0.5', '169.254.64.9', '127.0.0.1', '8.8.8.8', '192.168.77.50']) {
      await expect(
        ensureBalancer({ ...other, addresses: [address], members: [member] }),
      ).rejects.toMatchObject({ reason: 'Forbidden' });
    }
    await expect(
      ensureBalancer({
        ...other,
        addresses: ['172.30.77.12'],
        members: [{ address: '169.254.64.1', port: 80 }],
      }),
    ).rejects.toMatchObject({ reason: 'Invalid' });
    await expect(
      ensureBalancer({ ...other, tenantId: tenants[0], addresses: ['172.30.77.12'], members: [member] }),
    ).rejects.toMatchObject({ reason: 'Forbidden' });
  });

  it('reach no link-local address beside the host, and nobody there reaches their name server', async () => {
    const place = `${prefix}meta`;
    const script = [
      'set -e',
      `ip netns add ${place}`,
      `ip link add name ${prefix}m type veth peer name eth0 netns ${place}`,
      `ip address add 169.254.200.253/30 dev ${prefix}m`,
      `ip link set dev ${prefix}m up`,
      `ip -n ${place} address add 169.254.200.254/30 dev eth0`,
      `ip -n ${place} link set dev eth0 up`,
      `ip -n ${place} route add default via 169.254.200.253`,
    ];
    try {
      await run('sh', [], { input: script.join('\n') });
      const uplinks = await runText('ip', ['-4', '-br', 'address', 'show', 'to', '169.254.64.0/18']);
      const uplink = uplinks.split('\n').find((line) => line.startsWith(`${prefix}u`)) ?? '';
      const nameServer = /169\.254\.[0-9.]+/.exec(uplink)?.[0] ?? '';
      expect(nameServer).not.toBe('');
      const ask = `const r = new (require('dns').promises.Resolver)({ timeout: 700, tries: 1 }); r.setServers(['${nameServer}']);
        r.resolve4('none.ns1.svc.cluster.local').catch((e) => console.log(e.code))`;
      const outside = [`--net=/run/netns/${place}`, process.execPath, '-e', ask];
      expect((await runText('nsenter', outside)).trim()).toBe('ETIMEOUT');
      expect((await runText(process.execPath, ['-e', ask])).trim()).toBe('ENOTFOUND');
      expect(await a1.canPing('169.254.200.254')).toBe(false);
    } finally {
      await run('ip', ['netns', 'delete', place], { allowExitCodes: [1] });
    }
  });

  it('balance UDP too', async () => {
    await a2.serve(
      `const s = require('dgram').createSocket('udp4'); s.on('message', (m, p) => s.send('re ' + m, p.port, p.address)); s.bind(5353, () => console.log('up'))`,
    );
    await ensureBalancer({
      uid: 'udp',
      protocol: 'UDP',
      port: 53,
      addresses: ['172.30.77.13'],
      members: [{ address: a2.address, port: 5353 }],
    });
    const answer = await runText(process.execPath, [
      '-e',
      `const s = require('dgram').createSocket('udp4'); s.on('message', (m) => { console.log(String(m)); s.close(); }); s.send('hello', 53, '172.30.77.13'); setTimeout(() => s.close(), 2000).unref()`,
    ]);
    expect(answer.trim()).toBe('re hello');
  });

  it('survive a restart of kubestackd, and what was broken meanwhile is made again', async () => {
    const before = await hostState(prefix);
    await daemon[Symbol.asyncDispose]();
    expect(await get(external)).toMatch(/^from a/);
    expect(await a1.canPing(a2.address)).toBe(true);
    await run('nft', ['delete', 'table', 'ip', `${prefix}-kubestack`]);
    daemon = await startKubestackd(options);
    expect(await hostState(prefix)).toEqual(before);
    expect(await get(external)).toMatch(/^from a/);
    expect(await a1.canPing(a2.address)).toBe(true);
    expect(await resolveInPod(a1, `r.resolve4('web.ns1.svc.cluster.local')`)).toEqual(['10.96.0.77']);
    expect((await setupPod('a1', 'net-a')).addresses).toEqual([`${a1.address}/24`]);
  });

  it('get their load balancer back when its process dies', async () => {
    process.kill((await masters())[0] ?? 0, 'SIGKILL');
    await waitFor('answer', { timeoutMs: 15_000, intervalMs: 200 }, async () =>
      (await get(external)).startsWith('from'),
    );
    expect(await masters()).toHaveLength(1);
  });

  it('are not deleted while in use', async () => {
    const { networks } = clients;
    await expect(
      callUnary(networks.deleteNetwork.bind(networks), { uid: 'net-a' }, 5_000),
    ).rejects.toMatchObject({
      reason: 'Precondition',
      message: expect.stringContaining('ns1/a1') as string,
    });
    const { identity } = clients;
    await expect(
      callUnary(identity.deleteTenant.bind(identity), { id: tenants[0] }, 5_000),
    ).rejects.toMatchObject({ reason: 'Precondition' });
  });
});

describe('the default network', () => {
  it('is reachable from the host, and its pods reach the API server of the host and nothing else', async () => {
    await ensureNetwork('default', '', [{ ...subnet(), cidr: '10.231.0.0/24', gateway: '10.231.0.1' }]);
    const pod = await plug('d1', 'default');
    await pod.serve(
      `require('http').createServer((q, s) => s.end(q.socket.remoteAddress)).listen(80, '0.0.0.0', () => console.log('up'))`,
    );
    expect(await get(pod.address)).toMatch(/^169\.254\./);
    const { createServer } = await import('node:http');
    const seen: string[] = [];
    const servers = await Promise.all(
      [6_443, 6_444].map(
        async (port) =>
          await new Promise<ReturnType<typeof createServer>>((resolve, reject) => {
            const server = createServer((request, response) => {
              seen.push(request.socket.remoteAddress ?? '');
              response.end('host');
            });
            server.once('error', reject);
            server.listen(port, '0.0.0.0', () => resolve(server));
          }),
      ),
    ).catch(() => []);
    try {
      const own =
        /inet ([0-9.]+)\//.exec(
          await runText('ip', ['-4', '-oneline', 'address', 'show', 'scope', 'global']),
        )?.[1] ?? '';
      const fetchFrom = (port: number) =>
        pod.evaluate(
          `fetch('http://${own}:${port}', { signal: AbortSignal.timeout(1500) }).then(async (r) => console.log(await r.text()), () => console.log('refused')).finally(() => process.exit())`,
        );
      if (servers.length === 2) {
        expect(await fetchFrom(6_443)).toBe('host');
        expect(seen).toEqual([pod.address]);
        expect(await fetchFrom(6_444)).toBe('refused');
      }
    } finally {
      for (const server of servers) server.close();
    }
    const a1 = pods.find((candidate) => candidate.namespace.endsWith('xa1'));
    expect(await a1?.canPing(pod.address)).toBe(false);
  });
});

describe('down and purge', () => {
  it('down removes all from the kernel and keeps what is on record; purge leaves nothing', async () => {
    for (const pod of pods.splice(0)) await pod[Symbol.asyncDispose]();
    await daemon[Symbol.asyncDispose]();
    await releaseKernelState(options);
    expect(await hostState(prefix)).toEqual([]);
    daemon = await startKubestackd(options);
    expect((await setupPod('a1', 'net-a')).addresses).toEqual(['192.168.77.2/24']);
    await daemon[Symbol.asyncDispose]();
    await purgeKubestack(options);
    expect(await hostState(prefix)).toEqual([]);
    await expect(stat(join(folder, 'kubestack'))).rejects.toThrow('ENOENT');
    daemon = { [Symbol.asyncDispose]: async () => Promise.resolve() };
  });
});

async function names(uid: string): Promise<{ short: string }> {
  const { networks } = clients;
  const network = await callUnary(networks.getNetwork.bind(networks), { uid }, 5_000);
  return { short: network.providerId.slice(prefix.length + 1) };
}

/** Process ids of HAProxy masters of this test: those whose parent is no HAProxy. */
async function masters(): Promise<readonly number[]> {
  const list = (await runText('ps', ['-eo', 'pid,ppid,args']))
    .split('\n')
    .filter((line) => line.includes('haproxy -W') && line.includes(folder));
  const rows = list.map((line) => line.trim().split(/\s+/).map(Number));
  const pids = rows.map((row) => row[0]);
  return rows.filter((row) => !pids.includes(row[1])).map((row) => row[0] ?? 0);
}

async function workerOf(): Promise<string> {
  const master = (await masters())[0] ?? 0;
  return (await readFile(`/proc/${master}/task/${master}/children`, 'utf8')).trim();
}
