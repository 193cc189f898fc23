import { createServer, type Server } from 'node:https';
import { request as httpsRequest, type RequestOptions } from 'node:https';
import type { IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { connect, TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestServer } from '../api-server.fixture.ts';

let server: TestServer;
let kubelet: Server;
const seen: { url: string; client: string; headers: IncomingMessage['headers'] }[] = [];

/** What came over the connection of a refused upgrade. */
const afterRefusal: string[] = [];

function note(request: IncomingMessage): void {
  if (!(request.socket instanceof TLSSocket)) throw new Error('not over TLS');
  const client = request.socket.getPeerCertificate().subject.CN;
  seen.push({ url: request.url ?? '', client: String(client), headers: request.headers });
}

// What a kubelet does, as far as the proxy can tell: text for logs, and the end of an upgrade that sends back what it gets.
function startKubelet(): Server {
  const fake = createServer(
    {
      key: server.pki.kubelet.keyPem,
      cert: server.pki.kubelet.certificatePem,
      ca: server.pki.caPem,
      requestCert: true,
      rejectUnauthorized: true,
    },
    (request, response) => {
      note(request);
      if (request.url?.includes('/waiting') === true) {
        response.writeHead(400).end('container "waiting" in pod "p" is waiting to start: ContainerCreating');
        return;
      }
      response.writeHead(200, { 'content-type': 'text/plain' });
      response.write('first line\n');
      if (request.url?.includes('follow=true') !== true) response.end('last line\n');
    },
  );
  fake.on('upgrade', (request: IncomingMessage, socket: Duplex) => {
    note(request);
    if (request.url?.includes('refused') === true) {
      // As a kubelet does that speaks HTTP on after it has refused an upgrade.
      afterRefusal.length = 0;
      socket.on('data', (chunk: Buffer) => afterRefusal.push(chunk.toString('latin1')));
      socket.on('end', () => socket.end());
      socket.write('HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nno');
      return;
    }
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${request.headers.upgrade ?? ''}\r\n\r\n`,
    );
    socket.pipe(socket);
  });
  return fake;
}

beforeAll(async () => {
  server = await TestServer.start();
  await server.createNamespace('k');
  kubelet = startKubelet();
  await new Promise<void>((resolve) => kubelet.listen(0, '127.0.0.1', resolve));
  await server.create('/api/v1/nodes', {
    metadata: { name: 'n1' },
    status: {
      addresses: [{ type: 'InternalIP', address: '127.0.0.1' }],
      daemonEndpoints: { kubeletEndpoint: { Port: (kubelet.address() as AddressInfo).port } },
    },
  });
  const containers = ['main', 'waiting'].map((name) => ({ name, image: 'x' }));
  await server.create('/api/v1/namespaces/k/pods', {
    metadata: { name: 'p' },
    spec: { containers, nodeName: 'n1' },
  });
  await server.create('/api/v1/namespaces/k/pods', {
    metadata: { name: 'idle' },
    spec: { containers: [containers[0]] },
  });
});
afterAll(async () => {
  kubelet.closeAllConnections();
  kubelet.close();
  await server[Symbol.asyncDispose]();
});

const pod = '/api/v1/namespaces/k/pods/p';

function options(path: string, headers: Record<string, string>, method = 'POST'): RequestOptions {
  const { admin, caPem } = server.pki;
  const credentials = { key: admin.keyPem, cert: admin.certificatePem, ca: caPem };
  return { host: '127.0.0.1', port: server.port, path, method, headers, agent: false, ...credentials };
}

async function upgrade(
  path: string,
  headers: Record<string, string>,
  method = 'POST',
): Promise<Duplex | number> {
  const outgoing = httpsRequest(options(path, { connection: 'Upgrade', ...headers }, method));
  outgoing.end();
  return await new Promise((resolve, reject) => {
    outgoing.on('upgrade', (_response, socket) => resolve(socket));
    outgoing.on('response', (response) => resolve(response.statusCode ?? 0));
    outgoing.on('error', reject);
  });
}

describe('log', () => {
  test('comes from the kubelet, asked with the certificate of the API server', async () => {
    const { code, text } = await server.get(`${pod}/log?container=main&tailLines=5&bogus=1`);
    expect(code).toBe(200);
    expect(text).toBe('first line\nlast line\n');
    expect(seen.at(-1)).toMatchObject({
      client: 'kube-apiserver-kubelet-client',
      url: '/containerLogs/k/p/main?tailLines=5',
    });
  });

  test('is streamed while it grows', async () => {
    const outgoing = httpsRequest(options(`${pod}/log?container=main&follow=true`, {}, 'GET'));
    outgoing.end();
    const incoming = await new Promise<IncomingMessage>((resolve) => outgoing.on('response', resolve));
    const first = await new Promise<Buffer>((resolve) => incoming.once('data', resolve));
    expect(first.toString()).toBe('first line\n');
    incoming.destroy();
  });

  test('errors of the kubelet and of the request are Statuses', async () => {
    const waiting = await server.get(`${pod}/log?container=waiting`);
    expect(waiting.body).toMatchObject({ code: 400, reason: 'BadRequest' });
    expect(waiting.body.message).toMatch(/waiting to start: ContainerCreating/);
    expect((await server.get(`${pod}/log`)).body.message).toBe(
      'a container name must be specified for pod p, choose one of: [main waiting]',
    );
    expect((await server.get(`${pod}/log?container=none`)).body.message).toBe(
      'container none is not valid for pod p',
    );
    expect((await server.get('/api/v1/namespaces/k/pods/idle/log')).text).toBe('');
  });
});

describe('upgrades', () => {
  test.each([
    [
      'SPDY exec',
      `${pod}/exec?container=main&command=sh&command=-c&stdin=true&stdout=true&tty=true`,
      'SPDY/3.1',
      'POST',
    ],
    ['WebSocket exec', `${pod}/exec?container=main&command=ls&stdout=true`, 'websocket', 'GET'],
    ['attach', `${pod}/attach?container=main&stdout=true`, 'SPDY/3.1', 'POST'],
    ['port-forward', `${pod}/portforward?ports=80`, 'SPDY/3.1', 'POST'],
  ])('%s: bytes go through both ways', async (_what, path, protocol, method) => {
    const headers = {
      upgrade: protocol,
      'x-stream-protocol-version': 'v4.channel.k8s.io',
      authorization: 'secret',
    };
    const socket = (await upgrade(path, headers, method)) as Duplex;
    socket.write('ping');
    const echo = await new Promise<Buffer>((resolve) => socket.once('data', resolve));
    expect(echo.toString()).toBe('ping');
    socket.destroy();
    const { url, client, headers: received } = seen.at(-1)!;
    expect(client).toBe('kube-apiserver-kubelet-client');
    expect(received['x-stream-protocol-version']).toBe('v4.channel.k8s.io');
    expect(received.authorization).toBeUndefined();
    if (path.includes('command=sh'))
      expect(url).toBe('/exec/k/p/main?input=1&output=1&tty=1&command=sh&command=-c');
    if (path.includes('portforward')) expect(url).toBe('/portForward/k/p?port=80');
  });

  test('are refused to those who may not, without an upgrade, and for pods on no node', async () => {
    const spdy = { upgrade: 'SPDY/3.1' };
    expect(await upgrade(`${pod}/exec?container=main&command=ls`, spdy)).toBe(400);
    expect(await upgrade('/api/v1/namespaces/k/pods/idle/exec?command=ls&stdout=1', spdy)).toBe(400);
    expect(await upgrade('/api/v1/namespaces/k/pods/none/exec?command=ls&stdout=1', spdy)).toBe(404);
    expect((await server.request('POST', `${pod}/exec?command=ls`)).body.message).toMatch(
      /Upgrade request required/,
    );
    const nobody = httpsRequest({
      ...options(`${pod}/exec?command=ls&stdout=1`, { connection: 'Upgrade', ...spdy }),
      key: undefined,
      cert: undefined,
    });
    nobody.end();
    const refused = await new Promise<IncomingMessage>((resolve) => nobody.on('response', resolve));
    expect(refused.statusCode).toBe(403);
    refused.destroy();
  });

  test('of a refused one nothing reaches the kubelet but the request that was authorized', async () => {
    const { admin, caPem } = server.pki;
    const client = connect({
      host: '127.0.0.1',
      port: server.port,
      key: admin.keyPem,
      cert: admin.certificatePem,
      ca: caPem,
      ALPNProtocols: ['http/1.1'],
    });
    const smuggled = 'GET /pods HTTP/1.1\r\nHost: kubelet\r\n\r\n';
    const path = `${pod}/exec?container=main&command=refused&stdout=true`;
    let answer = '';
    client.on('data', (chunk: Buffer) => (answer += chunk.toString('latin1')));
    client.write(
      `POST ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nContent-Length: 40\r\n\r\n${smuggled}`,
    );
    await new Promise((resolve) => client.once('data', resolve));
    client.write(smuggled);
    await new Promise((resolve) => client.once('close', resolve));
    expect(answer).toMatch(/^HTTP\/1\.1 403 Forbidden\r\n[^]*no$/);
    expect(afterRefusal.join('')).toBe('');
    expect(seen.at(-1)?.headers['content-length']).toBeUndefined();
  });

  test('a kubelet that is not there is 503', async () => {
    await server.create('/api/v1/nodes', {
      metadata: { name: 'n2' },
      status: {
        addresses: [{ type: 'InternalIP', address: '127.0.0.1' }],
        daemonEndpoints: { kubeletEndpoint: { Port: 1 } },
      },
    });
    const spec = { containers: [{ name: 'c', image: 'x' }], nodeName: 'n2' };
    await server.create('/api/v1/namespaces/k/pods', { metadata: { name: 'far' }, spec });
    const far = '/api/v1/namespaces/k/pods/far';
    expect((await server.get(`${far}/log`)).body).toMatchObject({ code: 503, reason: 'ServiceUnavailable' });
    expect(await upgrade(`${far}/exec?command=ls&stdout=1`, { upgrade: 'SPDY/3.1' })).toBe(503);
  });
});
