import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '@hypernetes/foundation/lifecycle';
import { ip, ipBatch } from '@hypernetes/foundation/linux';
import { run, runText, spawnChild, type ChildProcess } from '@hypernetes/foundation/process';
import { resources, type EndpointSlice, type Service } from '../client/index.ts';
import { KubeDouble } from '../kubelet/testing/kube-double.ts';
import { removeNodeProxy, startNodeProxy } from './index.ts';

// Four network namespaces joined by a fifth in the middle, the host: two pods, a client outside, and real sockets in each.
const prefix = `t${randomBytes(3).toString('hex')}`;
const host = `${prefix}-host`;
const client = `${prefix}-client`;
const pods = { a: `${prefix}-a`, b: `${prefix}-b` } as const;
const places = [
  [pods.a, '10.0.1'],
  [pods.b, '10.0.2'],
  [client, '192.168.9'],
] as const;

const serverScript = `
const name = process.argv[1];
require('net').createServer((s) => { s.on('error', () => {}); s.end(name + ' ' + s.remoteAddress); }).listen(8080, () => console.log('up'));
const u = require('dgram').createSocket('udp4');
u.on('message', (m, r) => u.send(name, r.port, r.address)); u.bind(8053);
`;

const clientScript = `
const [address, port, count] = process.argv.slice(1);
const one = () => new Promise((done) => {
  let text = '';
  const s = require('net').connect({ host: address, port: Number(port), timeout: 3000 });
  s.on('data', (d) => { text += d; });
  s.on('end', () => done(text)); s.on('error', (e) => done(e.code)); s.on('timeout', () => { s.destroy(); done('timeout'); });
});
(async () => { for (let i = 0; i < Number(count); i++) console.log(await one()); })();
`;

const udpScript = `
const [address, port] = process.argv.slice(1);
const s = require('dgram').createSocket('udp4');
s.on('message', (m) => { console.log(String(m)); s.close(); });
s.send('hello', Number(port), address);
setTimeout(() => process.exit(1), 3000).unref();
`;

const servers: ChildProcess[] = [];
const kube = new KubeDouble();
let proxy: AsyncDisposable;

async function ask(from: string, address: string, port: number, count = 1): Promise<string[]> {
  const args = [
    'netns',
    'exec',
    from,
    process.execPath,
    '-e',
    clientScript,
    address,
    String(port),
    String(count),
  ];
  return (await runText('ip', args)).trim().split('\n');
}

async function makeService(
  name: string,
  clusterIP: string,
  spec: Partial<NonNullable<Service['spec']>> = {},
) {
  await kube.create<Service>(resources.services, {
    metadata: { name, namespace: 'default' },
    spec: { clusterIP, ports: [{ port: 80, protocol: 'TCP' }], ...spec },
  });
}

function sliceOf(
  service: string,
  addresses: readonly string[],
  port = 8080,
  protocol = 'TCP',
): EndpointSlice {
  return {
    metadata: {
      name: `${service}-1`,
      namespace: 'default',
      labels: { 'kubernetes.io/service-name': service },
    },
    addressType: 'IPv4',
    endpoints: addresses.map((address) => ({ addresses: [address], conditions: { ready: true } })),
    ports: [{ name: '', port, protocol }],
  };
}

async function until(what: string, test: () => Promise<boolean>): Promise<void> {
  await waitFor(what, { timeoutMs: 10_000, intervalMs: 50 }, test);
}

beforeAll(async () => {
  await ip(['netns', 'add', host]);
  await ip(['link', 'set', 'lo', 'up'], host);
  for (const [index, [name, network]] of places.entries()) {
    await ip(['netns', 'add', name]);
    const [near, far] = [`${prefix}n${index}`, `${prefix}f${index}`];
    await ip(['link', 'add', near, 'netns', host, 'type', 'veth', 'peer', 'name', far, 'netns', name]);
    await ipBatch([`addr add ${network}.1/24 dev ${near}`, `link set ${near} up`], host);
    await ipBatch(
      [
        'link set lo up',
        `addr add ${network}.2/24 dev ${far}`,
        `link set ${far} up`,
        `route add default via ${network}.1`,
      ],
      name,
    );
  }
  await ip(['route', 'add', 'default', 'via', '192.168.9.2'], host);
  await run('ip', ['netns', 'exec', host, 'sysctl', '-qw', 'net.ipv4.ip_forward=1']);
  for (const [name, namespace] of Object.entries(pods)) {
    const args = ['netns', 'exec', namespace, process.execPath, '-e', serverScript, name];
    const server = spawnChild('ip', args, { stdio: ['ignore', 'pipe', 'inherit'] });
    servers.push(server);
    await once(server.stdout, 'data');
  }
  await kube.create(resources.namespaces, { metadata: { name: 'default' } });
  await makeService('web', '10.96.0.20', {
    externalIPs: ['172.30.0.10'],
    ports: [{ port: 80, nodePort: 30080 }],
  });
  await kube.create(resources.endpointSlices, sliceOf('web', ['10.0.1.2', '10.0.2.2']));
  await makeService('empty', '10.96.0.21');
  proxy = await startNodeProxy({
    client: kube,
    instancePrefix: prefix,
    nodeName: 'n',
    networkNamespace: host,
  });
  await until('first rules', async () => /^[ab] /.test((await ask(host, '10.96.0.20', 80)).join()));
});

afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  for (const server of servers) server.kill('SIGKILL');
  for (const name of [host, client, ...Object.values(pods)]) {
    await run('ip', ['netns', 'delete', name], { allowExitCodes: [1] });
  }
});

describe('node proxy', () => {
  it('spreads connections from the host to a cluster address over the endpoints', async () => {
    const answers = await ask(host, '10.96.0.20', 80, 40);
    const names = answers.map((answer) => answer.split(' ')[0]);
    expect(new Set(names)).toEqual(new Set(['a', 'b']));
  });

  it('serves node ports and external addresses to clients outside, as the node', async () => {
    const answers = [
      ...(await ask(client, '192.168.9.1', 30_080)),
      ...(await ask(client, '172.30.0.10', 80)),
    ];
    for (const answer of answers) expect(answer).toMatch(/^[ab] ::ffff:10\.0\.[12]\.1$/);
  });

  it('refuses what has no endpoints, and ports no Service has', async () => {
    expect(await ask(host, '10.96.0.21', 80)).toEqual(['ECONNREFUSED']);
    expect(await ask(client, '10.96.0.21', 80)).toEqual(['ECONNREFUSED']);
    expect(await ask(host, '10.96.0.20', 81)).toEqual(['ECONNREFUSED']);
  });

  it('follows endpoints as they come and go', async () => {
    const key = { namespace: 'default', name: 'web-1' };
    await kube.patch(resources.endpointSlices, key, 'merge', {
      endpoints: sliceOf('web', ['10.0.2.2']).endpoints,
    });
    await until('only b', async () => {
      return (await ask(host, '10.96.0.20', 80, 8)).every((answer) => answer.startsWith('b '));
    });
    await kube.patch(resources.endpointSlices, key, 'merge', { endpoints: [] });
    await until('refused', async () => (await ask(host, '10.96.0.20', 80))[0] === 'ECONNREFUSED');
    await until(
      'node port refused',
      async () => (await ask(client, '192.168.9.1', 30_080))[0] === 'ECONNREFUSED',
    );
    await kube.patch(resources.endpointSlices, key, 'merge', {
      endpoints: sliceOf('web', ['10.0.1.2']).endpoints,
    });
    await until('a', async () => (await ask(host, '10.96.0.20', 80))[0]?.startsWith('a ') === true);
  });

  it('keeps a client with its endpoint', async () => {
    await makeService('sticky', '10.96.0.22', { sessionAffinity: 'ClientIP' });
    await kube.create(resources.endpointSlices, sliceOf('sticky', ['10.0.1.2', '10.0.2.2']));
    await until('served', async () => (await ask(client, '10.96.0.22', 80))[0] !== 'ECONNREFUSED');
    const names = (await ask(client, '10.96.0.22', 80, 20)).map((answer) => answer.split(' ')[0]);
    expect(new Set(names).size).toBe(1);
    await kube.delete(resources.services, { namespace: 'default', name: 'sticky' });
    await until('gone', async () => {
      return !(
        await runText('ip', ['netns', 'exec', host, 'nft', 'list', 'table', 'ip', `${prefix}-proxy`])
      ).includes('sticky');
    });
  });

  it('serves UDP', async () => {
    await makeService('dns', '10.96.0.23', { ports: [{ port: 53, protocol: 'UDP' }] });
    await kube.create(resources.endpointSlices, sliceOf('dns', ['10.0.1.2'], 8053, 'UDP'));
    await until('an answer', async () => {
      const args = ['netns', 'exec', host, process.execPath, '-e', udpScript, '10.96.0.23', '53'];
      return (await run('ip', args, { allowExitCodes: [1] })).stdout.toString().trim() === 'a';
    });
  });

  it('takes over its own table after a restart, and leaves nothing when removed', async () => {
    await proxy[Symbol.asyncDispose]();
    expect((await ask(host, '10.96.0.20', 80))[0]).toMatch(/^a /);
    proxy = await startNodeProxy({
      client: kube,
      instancePrefix: prefix,
      nodeName: 'n',
      networkNamespace: host,
    });
    await until(
      'still served',
      async () => (await ask(host, '10.96.0.20', 80))[0]?.startsWith('a ') === true,
    );
    await proxy[Symbol.asyncDispose]();
    await removeNodeProxy(prefix, host);
    await removeNodeProxy(prefix, host);
    const tables = await runText('ip', ['netns', 'exec', host, 'nft', 'list', 'tables']);
    expect(tables).not.toContain(prefix);
  });
});
