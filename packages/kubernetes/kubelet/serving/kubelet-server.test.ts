import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import { request } from 'node:https';
import { connect } from 'node:tls';
import type { AddressInfo } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { WebSocketServer, type WebSocket } from 'ws';
import { waitFor } from '@hypernetes/foundation/lifecycle';
import { resources } from '../../client/index.ts';
import { startKubelet, type Kubelet } from '../index.ts';
import type { Pod } from '../kube-types.ts';
import { makeTestCertificates } from '../testing/certificates.ts';
import { CriDouble } from '../testing/cri-double.ts';
import { KubeDouble } from '../testing/kube-double.ts';

const certificates = await makeTestCertificates();
let folder: string;
let cri: CriDouble;
let kube: KubeDouble;
let kubelet: Kubelet;
let streaming: Server | undefined;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hypernetes-server-'));
  cri = new CriDouble();
  kube = new KubeDouble();
  await cri.listen(join(folder, 'cri.sock'));
  kubelet = await startKubelet({
    client: kube,
    nodeName: 'node1',
    nodeAddress: '127.0.0.1',
    criSocket: join(folder, 'cri.sock'),
    runDir: join(folder, 'run'),
    dataDir: join(folder, 'data'),
    podLogsDir: join(folder, 'logs'),
    servingCert: certificates.serving.certificatePem,
    servingKey: certificates.serving.keyPem,
    clientCa: certificates.authorityPem,
    allowedClientNames: ['kube-apiserver-kubelet-client'],
    port: 0,
  });
});

afterEach(async () => {
  await kubelet[Symbol.asyncDispose]();
  await cri[Symbol.asyncDispose]();
  streaming?.closeAllConnections();
  streaming?.close();
  streaming = undefined;
  await rm(folder, { recursive: true, force: true });
});

async function runPod(container: Partial<Pod['spec']['containers'][number]> = {}): Promise<void> {
  await kube.create<Pod>(resources.pods, {
    metadata: { name: 'web', namespace: 'default' } as Pod['metadata'],
    spec: { nodeName: 'node1', containers: [{ name: 'nginx', image: 'nginx', ...container }] },
  });
  await untilStatus((status) => status?.phase === 'Running');
}

async function untilStatus(test: (status: Pod['status']) => boolean): Promise<void> {
  await waitFor('pod status', { timeoutMs: 8_000, intervalMs: 10 }, async () => {
    const { status } = await kube.get<Pod>(resources.pods, { namespace: 'default', name: 'web' });
    return test(status);
  });
}

type Client = keyof Pick<typeof certificates, 'apiServer' | 'stranger'> | 'nobody';

function tlsOptions(client: Client) {
  const pair = client === 'nobody' ? undefined : certificates[client];
  return {
    ca: certificates.authorityPem,
    ...(pair === undefined ? {} : { cert: pair.certificatePem, key: pair.keyPem }),
  };
}

async function get(path: string, client: Client = 'apiServer'): Promise<{ status: number; body: string }> {
  const options = {
    host: '127.0.0.1',
    port: kubelet.port,
    path,
    agent: false,
    ...tlsOptions(client),
  } as const;
  return await new Promise((resolve, reject) => {
    request(options, (response) => {
      let body = '';
      response.setEncoding('utf8');
      response.on('data', (chunk: string) => (body += chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }));
    })
      .on('error', reject)
      .end();
  });
}

/** Sends an upgrade request by hand and gives back everything that comes until `wanted` is in it. */
async function upgrade(path: string, wanted: string, client: Client = 'apiServer'): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port: kubelet.port, ...tlsOptions(client) });
  let text = '';
  socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
  socket.on('error', () => undefined);
  await once(socket, 'secureConnect');
  const headers = 'Host: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream: v4';
  socket.write(`POST ${path} HTTP/1.1\r\n${headers}\r\n\r\nearly bytes`);
  await waitFor(
    wanted,
    { timeoutMs: 5_000, intervalMs: 5 },
    () => text.includes(wanted),
    () => text,
  );
  socket.destroy();
  return text;
}

async function listen(server: Server): Promise<number> {
  streaming = server;
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

describe('who may ask', () => {
  it('anybody for health, only the API server for the rest', async () => {
    await runPod();
    expect(await get('/healthz', 'nobody')).toEqual({ status: 200, body: 'ok' });
    expect((await get('/pods')).body).toContain('"name":"web"');
    expect((await get('/pods', 'nobody')).status).toBe(401);
    expect((await get('/pods', 'stranger')).status).toBe(403);
    expect((await get('/containerLogs/default/web/nginx', 'stranger')).status).toBe(403);
    const exec = '/exec/default/web/nginx?command=ls&output=1';
    expect(await upgrade(exec, 'HTTP/1.1', 'nobody')).toMatch(/^HTTP\/1\.1 401 /);
    expect(await upgrade(exec, 'HTTP/1.1', 'stranger')).toMatch(/^HTTP\/1\.1 403 /);
  });
});

describe('logs', () => {
  it('gives them, and says what is not there', async () => {
    await runPod();
    await cri.log('nginx', 'one', 'two', 'three');
    expect(await get('/containerLogs/default/web/nginx?tailLines=2')).toEqual({
      status: 200,
      body: 'two\nthree\n',
    });
    expect(await get('/containerLogs/default/web/nginx?tailLines=x')).toMatchObject({ status: 400 });
    expect(await get('/containerLogs/default/web/nginx?previous=true')).toEqual({
      status: 400,
      body: 'previous terminated container "nginx" in pod "web" not found\n',
    });
    expect(await get('/containerLogs/default/web/other')).toMatchObject({ status: 404 });
    expect(await get('/containerLogs/default/none/nginx')).toMatchObject({ status: 404 });
    expect(await get('/containerLogs/default/%ff/nginx')).toMatchObject({ status: 400 });
    expect(await get('/nothing')).toMatchObject({ status: 404 });
  });

  it('follows until the container ends, and keeps the ones before', async () => {
    await runPod({ name: 'nginx' });
    await cri.log('nginx', 'one');
    const following = get('/containerLogs/default/web/nginx?follow=true');
    await new Promise((resolve) => setTimeout(resolve, 50));
    await cri.log('nginx', 'two');
    cri.exit('nginx', 1);
    expect((await following).body).toBe('one\ntwo\n');
    await untilStatus((status) => status?.containerStatuses?.[0]?.restartCount === 1);
    expect((await get('/containerLogs/default/web/nginx?previous=true')).body).toBe('one\ntwo\n');
  });
});

describe('logs of others than the running container', () => {
  it('of init containers, while they run and after; before the main one starts why it does not', async () => {
    await kube.create<Pod>(resources.pods, {
      metadata: { name: 'web', namespace: 'default' } as Pod['metadata'],
      spec: {
        nodeName: 'node1',
        initContainers: [{ name: 'prepare', image: 'busybox' }],
        containers: [{ name: 'nginx', image: 'nginx' }],
      },
    });
    await untilStatus((status) => status?.initContainerStatuses?.[0]?.state?.running !== undefined);
    await cri.log('prepare', 'preparing');
    expect((await get('/containerLogs/default/web/prepare')).body).toBe('preparing\n');
    expect(await get('/containerLogs/default/web/nginx')).toEqual({
      status: 400,
      body: 'container "nginx" in pod "web" is waiting to start: PodInitializing\n',
    });
    cri.exit('prepare', 0);
    await untilStatus((status) => status?.phase === 'Running');
    expect((await get('/containerLogs/default/web/prepare')).body).toBe('preparing\n');
  });

  it('before and after a restart: following ends with the container, each has its own', async () => {
    await runPod();
    await cri.log('nginx', 'first');
    const following = get('/containerLogs/default/web/nginx?follow=true');
    await new Promise((resolve) => setTimeout(resolve, 50));
    cri.exit('nginx', 1);
    await untilStatus((status) => status?.containerStatuses?.[0]?.restartCount === 1);
    await cri.log('nginx', 'second');
    expect((await following).body).toBe('first\n');
    expect((await get('/containerLogs/default/web/nginx')).body).toBe('second\n');
    expect((await get('/containerLogs/default/web/nginx?previous=true')).body).toBe('first\n');
  });
});

describe('streams', () => {
  it('exec and attach into a container that does not run say so', async () => {
    await kube.create<Pod>(resources.pods, {
      metadata: { name: 'web', namespace: 'default' } as Pod['metadata'],
      spec: { nodeName: 'node1', restartPolicy: 'Never', containers: [{ name: 'nginx', image: 'nginx' }] },
    });
    await untilStatus((status) => status?.phase === 'Running');
    cri.exit('nginx', 0);
    await untilStatus((status) => status?.phase === 'Succeeded');
    for (const path of [
      '/exec/default/web/nginx?command=ls&output=1',
      '/attach/default/web/nginx?output=1',
    ]) {
      const said = await upgrade(path, 'is not running');
      expect(said).toMatch(/^HTTP\/1\.1 400 /);
      expect(said).toContain('container "nginx" of pod "web" is not running');
    }
  });

  it.each([
    ['exec', '/exec/default/web/nginx?command=ls&output=1'],
    ['attach', '/attach/default/web/nginx?input=1&output=1'],
  ])('%s joins the client with the runtime, bytes sent early included', async (_what, path) => {
    await runPod();
    let seen = '';
    const server = createServer();
    server.on('upgrade', (upgraded, socket, head: Buffer) => {
      seen = `${upgraded.method ?? ''} ${upgraded.url ?? ''} ${String(upgraded.headers['x-stream'])}`;
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n');
      const echo = (chunk: Buffer): void => void socket.write(`echo ${chunk.toString()}`);
      if (head.length > 0) echo(head);
      socket.on('data', echo);
      socket.on('error', () => undefined);
    });
    cri.streamingUrl = `http://127.0.0.1:${await listen(server)}/exec/token`;
    const text = await upgrade(path, 'echo early bytes');
    expect(text).toMatch(/^HTTP\/1\.1 101 /);
    expect(seen).toBe('POST /exec/token v4');
  });

  it('refuses with a reason, and says when the runtime is not there', async () => {
    await runPod();
    expect(await upgrade('/exec/default/web/nginx?output=1', 'must specify')).toMatch(/^HTTP\/1\.1 400 /);
    expect(await upgrade('/portForward/default/web?port=0', '1 and 65535')).toMatch(/^HTTP\/1\.1 400 /);
    cri.streamingUrl = 'http://127.0.0.1:1/exec/token';
    expect(await upgrade('/attach/default/web/nginx?output=1', '502')).toContain('502 Bad Gateway');
  });
});

describe('probes over the runtime', () => {
  const accept = (socket: WebSocket): void => {
    for (const channel of [0, 1]) socket.send(Buffer.of(channel, 80, 0));
  };
  const refuse = (socket: WebSocket): void => {
    socket.send(Buffer.of(1, 80, 0));
    socket.send(Buffer.concat([Buffer.of(1), Buffer.from('connection refused')]));
    socket.close();
  };

  async function listenPortForward(onConnection: (socket: WebSocket) => void): Promise<void> {
    const server = createServer();
    new WebSocketServer({ server }).on('connection', onConnection);
    cri.streamingUrl = `http://127.0.0.1:${await listen(server)}/portforward/token`;
  }

  const isReady = (status: Pod['status']): boolean => status?.containerStatuses?.[0]?.ready === true;

  it('asks HTTP inside the pod', async () => {
    let asked = '';
    await listenPortForward((socket) => {
      accept(socket);
      socket.on('message', (message: Buffer) => {
        asked += message.subarray(1).toString();
        if (!asked.endsWith('\r\n\r\n')) return;
        socket.send(
          Buffer.concat([Buffer.of(0), Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')]),
        );
      });
    });
    await runPod({ readinessProbe: { httpGet: { path: '/ready', port: 80 } } });
    await untilStatus(isReady);
    expect(asked).toMatch(/^GET \/ready HTTP\/1\.1\r\n/);
  });

  it('asks HTTP for hooks too: postStart before the pod is ready, preStop when it goes', async () => {
    const asked: string[] = [];
    await listenPortForward((socket) => {
      accept(socket);
      socket.on('message', (message: Buffer) => {
        asked.push(message.toString('latin1', 1).split('\r\n', 1)[0] ?? '');
        socket.send(
          Buffer.concat([Buffer.of(0), Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n')]),
        );
      });
    });
    await runPod({
      lifecycle: {
        postStart: { httpGet: { path: '/started', port: 80 } },
        preStop: { httpGet: { path: 'stopping', port: 80 } },
      },
    });
    await untilStatus(isReady);
    expect(asked).toEqual(['GET /started HTTP/1.1']);
    await kube.delete(resources.pods, { namespace: 'default', name: 'web' }, { gracePeriodSeconds: 5 });
    await waitFor('pod gone', { timeoutMs: 5_000, intervalMs: 10 }, () => cri.sandboxes.size === 0);
    expect(asked).toEqual(['GET /started HTTP/1.1', 'GET /stopping HTTP/1.1']);
  });

  it('takes a refused connection for a failure, and a runtime that is away for none', async () => {
    let refused = false;
    await listenPortForward((socket) => (refused ? refuse : accept)(socket));
    await runPod({ readinessProbe: { tcpSocket: { port: 80 }, periodSeconds: 1, failureThreshold: 1 } });
    await untilStatus(isReady);
    const there = cri.streamingUrl;
    cri.streamingUrl = 'http://127.0.0.1:1/portforward/token';
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    await untilStatus(isReady);
    refused = true;
    cri.streamingUrl = there;
    await untilStatus((status) => !isReady(status));
  });

  it('neither takes a slow refusal for a connection, nor a connection that never comes', async () => {
    let answer: ((socket: WebSocket) => void) | undefined = refuse;
    let asked = 0;
    await listenPortForward((socket) => {
      asked += 1;
      const late = answer;
      if (late !== undefined) setTimeout(() => late(socket), 700);
    });
    await runPod({ readinessProbe: { tcpSocket: { port: 80 }, periodSeconds: 1, timeoutSeconds: 1 } });
    const askedAtLeast = async (count: number): Promise<void> => {
      const from = asked;
      await waitFor('probes', { timeoutMs: 6_000, intervalMs: 10 }, () => asked >= from + count);
    };
    const seen: boolean[] = [];
    const look = async (): Promise<void> => {
      await untilStatus((status) => {
        seen.push(isReady(status));
        return true;
      });
    };
    await askedAtLeast(2);
    await look();
    answer = undefined;
    await askedAtLeast(3);
    await look();
    expect(seen).toEqual([false, false]);
    answer = accept;
    await untilStatus(isReady);
  });
});
