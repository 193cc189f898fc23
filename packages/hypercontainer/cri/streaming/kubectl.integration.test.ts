import { createHash, randomBytes } from 'node:crypto';
import { createServer, request as httpRequest, type IncomingMessage, type Server } from 'node:http';
import { createServer as createTcpServer, type AddressInfo } from 'node:net';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { run, spawnChild } from '@hypernetes/foundation/process';
import { waitFor } from '@hypernetes/foundation/lifecycle';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ProcessSandboxes, runningContainer } from '../testing/process-sandboxes.ts';
import { startStreamingServer, type StreamingServer } from './streaming-server.ts';

// The least API server kubectl needs to get at a pod; upgrades go byte for byte to the streaming server, as the kubelet passes them on.
const documents: Readonly<Record<string, object>> = {
  '/api': { kind: 'APIVersions', versions: ['v1'] },
  '/apis': { kind: 'APIGroupList', apiVersion: 'v1', groups: [] },
  '/api/v1': {
    kind: 'APIResourceList',
    groupVersion: 'v1',
    resources: [
      {
        name: 'pods',
        singularName: 'pod',
        namespaced: true,
        kind: 'Pod',
        verbs: ['get'],
        shortNames: ['po'],
      },
    ],
  },
  '/api/v1/namespaces/default/pods/p': {
    kind: 'Pod',
    apiVersion: 'v1',
    metadata: { name: 'p', namespace: 'default', uid: 'u' },
    spec: { containers: [{ name: 'c', image: 'x', stdin: true }] },
    status: { phase: 'Running', containerStatuses: [{ name: 'c', ready: true, state: { running: {} } }] },
  },
};

let api: Server;
let streaming: StreamingServer;
let sandboxes: ProcessSandboxes;
let containerId: string;
let sandboxId: string;
let home: string;
const upgrades: string[] = [];

function streamingUrl(incoming: IncomingMessage): string {
  const url = new URL(incoming.url ?? '', 'http://api');
  const flag = (name: string): boolean => ['1', 'true'].includes(url.searchParams.get(name) ?? '');
  const flags = { stdin: flag('stdin'), stdout: flag('stdout'), stderr: flag('stderr'), tty: flag('tty') };
  if (url.pathname.endsWith('/portforward')) return streaming.portForwardUrl({ sandboxId, ports: [] });
  const command = url.searchParams.getAll('command');
  return url.pathname.endsWith('/exec')
    ? streaming.execUrl({ containerId, command, ...flags })
    : streaming.attachUrl({ containerId, ...flags });
}

function passOn(incoming: IncomingMessage, socket: Duplex, head: Buffer): void {
  const offered = incoming.headers['sec-websocket-protocol'];
  upgrades.push(offered ?? incoming.headers.upgrade ?? '');
  const headers = incoming.rawHeaders;
  const call = httpRequest(streamingUrl(incoming), { method: incoming.method ?? 'GET', headers });
  call.on('upgrade', (response, upstream, upstreamHead) => {
    const lines = response.rawHeaders.flatMap((text, index, all) =>
      index % 2 === 0 ? [`${text}: ${all[index + 1] ?? ''}`] : [],
    );
    socket.write(`HTTP/1.1 101 Switching Protocols\r\n${lines.join('\r\n')}\r\n\r\n`);
    upstream.unshift(upstreamHead);
    socket.unshift(head);
    socket.pipe(upstream).on('error', () => undefined);
    upstream.pipe(socket).on('error', () => undefined);
    socket.on('close', () => upstream.destroy());
    upstream.on('close', () => socket.destroy());
  });
  call.on('response', (response) => {
    socket.write(`HTTP/1.1 ${response.statusCode ?? 0} Refused\r\nConnection: close\r\n\r\n`);
    response.pipe(socket);
  });
  call.end();
}

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'kubectl-'));
  sandboxes = new ProcessSandboxes();
  ({ containerId, sandboxId } = await runningContainer(sandboxes));
  streaming = await startStreamingServer({ sandboxes, address: { host: '127.0.0.1', port: 0 } });
  api = createServer((incoming, response) => {
    const document = documents[(incoming.url ?? '').split('?')[0] ?? ''];
    response.writeHead(document === undefined ? 404 : 200, { 'content-type': 'application/json' });
    response.end(
      JSON.stringify(document ?? { kind: 'Status', apiVersion: 'v1', status: 'Failure', code: 404 }),
    );
  });
  api.on('upgrade', passOn);
  await new Promise<void>((resolve) => api.listen(0, '127.0.0.1', resolve));
});

afterAll(async () => {
  await streaming[Symbol.asyncDispose]();
  api.closeAllConnections();
  await new Promise((resolve) => api.close(resolve));
  await rm(home, { recursive: true });
});

function kubectlArguments(...args: string[]): string[] {
  const server = `http://127.0.0.1:${(api.address() as AddressInfo).port}`;
  return ['--server', server, '--cache-dir', home, ...args];
}

type Transport = 'WebSocket' | 'SPDY';

// kubectl speaks WebSocket first since 1.31; these switch it off (older ones have SPDY alone).
function environmentOf(transport: Transport): Record<string, string> {
  const flag = String(transport === 'WebSocket');
  return { HOME: home, KUBECTL_REMOTE_COMMAND_WEBSOCKETS: flag, KUBECTL_PORT_FORWARD_WEBSOCKETS: flag };
}

async function kubectl(transport: Transport, args: string[], input?: Buffer) {
  return await run('kubectl', kubectlArguments(...args), {
    env: environmentOf(transport),
    timeoutMs: 30_000,
    allowExitCodes: Array.from({ length: 255 }, (_, index) => index + 1),
    ...(input === undefined ? {} : { input }),
  });
}

const transports: Transport[] = ['WebSocket', 'SPDY'];

test.each(transports)('exec over %s: output, errors, exit code', async (transport) => {
  const result = await kubectl(transport, ['exec', 'p', '--', 'sh', '-c', 'echo out; echo err >&2; exit 9']);
  expect(result.stdout.toString()).toBe('out\n');
  expect(result.stderr).toContain('err\n');
  expect(result.exitCode).toBe(9);
});

test.each(transports)('exec -i over %s: much data through, byte for byte', async (transport) => {
  const sent = randomBytes(4 << 20);
  const result = await kubectl(transport, ['exec', '-i', 'p', '--', 'cat'], sent);
  const hash = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');
  expect(result.exitCode, result.stderr).toBe(0);
  expect(result.stdout.length).toBe(sent.length);
  expect(hash(result.stdout)).toBe(hash(sent));
});

test.each(transports)('exec over %s of a program that is not there', async (transport) => {
  const result = await kubectl(transport, ['exec', 'p', '--', 'missing']);
  expect(result.exitCode).toBe(1);
  expect(result.stderr).toContain('exec missing: no such program');
});

test.each(transports)('attach over %s', async (transport) => {
  const result = await kubectl(transport, ['attach', '-i', 'p'], Buffer.from('again\n'));
  expect(result.stdout.toString()).toContain('hello\nagain\n');
});

test.each(transports)(
  'port-forward over %s: several connections, and one nobody answers',
  async (transport) => {
    const echo = createTcpServer({ allowHalfOpen: true }, (socket) => void socket.pipe(socket));
    await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve));
    const remote = (echo.address() as AddressInfo).port;
    const child = spawnChild('kubectl', kubectlArguments('port-forward', 'pod/p', `:${remote}`, ':1'), {
      env: { ...process.env, ...environmentOf(transport) },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    // It may end by itself: a forwarding error is the end of kubectl since 1.30.
    const ended = new Promise((resolve) => child.once('close', resolve));
    let output = '';
    child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
    try {
      const port = await waitFor(
        'kubectl listens',
        { timeoutMs: 15_000, intervalMs: 20 },
        () => new RegExp(`127\\.0\\.0\\.1:(\\d+) -> ${remote}`).exec(output)?.[1],
        () => output,
      );
      await Promise.all(
        Array.from({ length: 5 }, async () => {
          const sent = randomBytes(200_000).toString('base64');
          const answer = await run('python3', ['-c', echoClient, port], { input: sent, timeoutMs: 20_000 });
          expect(answer.stdout.toString() === sent).toBe(true);
        }),
      );
      const dead = /127\.0\.0\.1:(\d+) -> 1\n/.exec(output)?.[1] ?? '';
      await run('python3', ['-c', echoClient, dead], { input: 'x', timeoutMs: 20_000, allowExitCodes: [1] });
      await waitFor(
        'the error',
        { timeoutMs: 10_000, intervalMs: 20 },
        () => output.includes('error forwarding port 1: connection refused'),
        () => output,
      );
    } finally {
      child.kill();
      await ended;
      await new Promise((resolve) => echo.close(resolve));
    }
  },
);

const echoClient = `
import socket, sys, threading
connection = socket.create_connection(('127.0.0.1', int(sys.argv[1])))
def send():
    connection.sendall(sys.stdin.buffer.read())
    connection.shutdown(socket.SHUT_WR)
threading.Thread(target=send, daemon=True).start()
while chunk := connection.recv(65536):
    sys.stdout.buffer.write(chunk)
`;

test('each transport was what it was meant to be, where kubectl has both', () => {
  expect(upgrades).toContain('SPDY/3.1');
  const webSocket = upgrades.filter((name) => name !== 'SPDY/3.1');
  for (const name of webSocket) expect(name).toMatch(/v5\.channel\.k8s\.io|SPDY\/3\.1\+portforward\.k8s\.io/);
});
