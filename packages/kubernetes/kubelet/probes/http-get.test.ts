import { createServer, type Server } from 'node:http';
import { createServer as createTcpServer, connect, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { afterEach, describe, expect, it } from 'vitest';
import { httpGet } from './http-get.ts';

let server: Server | undefined;

afterEach(() => {
  server?.closeAllConnections();
  server?.close();
});

async function listen(
  status: number,
  body: string,
): Promise<{ port: number; seen: Record<string, unknown>[] }> {
  const seen: Record<string, unknown>[] = [];
  server = createServer((request, response) => {
    seen.push({ url: request.url, ...request.headers });
    response.writeHead(status).end(body);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { port: (server.address() as AddressInfo).port, seen };
}

// An address nobody answers at: the request must go over the connection that is given, never make one of its own.
const get = { scheme: 'http', host: '192.0.2.77', port: 81, path: '/health?x=1', headers: [] } as const;

describe('httpGet', () => {
  it('asks over the connection it is given', async () => {
    const { port, seen } = await listen(204, '');
    const { signal } = new AbortController();
    expect(await httpGet(get, connect(port, '127.0.0.1'), signal)).toEqual({ status: 204, body: '' });
    expect(seen[0]).toMatchObject({
      url: '/health?x=1',
      host: '192.0.2.77:81',
      'user-agent': 'kube-probe/1.33',
    });
  });

  it('sends the headers of the probe, and keeps no more than the first of the body', async () => {
    const { port, seen } = await listen(500, 'x'.repeat(100_000));
    const headers = [{ name: 'Host', value: 'example.org' }];
    const { signal } = new AbortController();
    const { status, body } = await httpGet({ ...get, headers }, connect(port, '127.0.0.1'), signal);
    expect([status, body.length]).toEqual([500, 10_240]);
    expect(seen[0]?.['host']).toBe('example.org');
  });

  it('fails when the connection does, and ends with the signal', async () => {
    const silent = createTcpServer();
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const connection = connect((silent.address() as AddressInfo).port, '127.0.0.1');
    await expect(httpGet(get, connection, AbortSignal.timeout(50))).rejects.toThrow();
    silent.close();
    const refused = connect(1, '127.0.0.1');
    await expect(httpGet(get, refused, new AbortController().signal)).rejects.toThrow('ECONNREFUSED');
  });
});
