import { createHash, randomBytes } from 'node:crypto';
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { WebSocket } from 'ws';
import { waitFor } from '@hypernetes/foundation/lifecycle';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ProcessSandboxes, runningContainer } from '../testing/process-sandboxes.ts';
import { dialSpdy, openCommandStreams, readText } from '../testing/spdy-client.ts';
import type { SpdySession } from './spdy-session.ts';
import { startStreamingServer, type StreamingServer } from './streaming-server.ts';

let sandboxes: ProcessSandboxes;
let server: StreamingServer;
let containerId: string;
let sandboxId: string;

beforeEach(async () => {
  sandboxes = new ProcessSandboxes();
  ({ sandboxId, containerId } = await runningContainer(sandboxes));
  server = await startStreamingServer({ sandboxes, address: { host: '127.0.0.1', port: 0 } });
});

afterEach(async () => {
  await server[Symbol.asyncDispose]();
});

const all = { stdin: true, stdout: true, stderr: true, tty: false };

function execUrl(command: readonly string[], flags = all): string {
  return server.execUrl({ containerId, command, ...flags });
}

describe('exec over SPDY', () => {
  test.each([
    ['v4.channel.k8s.io', 0, '{"metadata":{},"status":"Success"}'],
    ['v3.channel.k8s.io', 0, ''],
    ['v3.channel.k8s.io', 3, 'command terminated with non-zero exit code: exit status 3'],
  ])('%s, exit code %i', async (protocol, exitCode, status) => {
    const { session, protocol: chosen } = await dialSpdy(
      execUrl(['sh', '-c', `cat; echo problem >&2; exit ${exitCode}`]),
      ['v9.channel.k8s.io', protocol],
    );
    expect(chosen).toBe(protocol);
    const streams = openCommandStreams(session, { stdin: true, stdout: true, stderr: true });
    streams.stdin!.end('hello');
    expect(await readText(streams.stdout)).toBe('hello');
    expect(await readText(streams.stderr)).toBe('problem\n');
    expect(await readText(streams.error)).toBe(status);
    await session[Symbol.asyncDispose]();
  });

  test('the exit code is a cause of the status', async () => {
    const { session } = await dialSpdy(execUrl(['sh', '-c', 'exit 42']), ['v4.channel.k8s.io']);
    const streams = openCommandStreams(session, { stdin: true, stdout: true, stderr: true });
    expect(JSON.parse(await readText(streams.error))).toMatchObject({
      status: 'Failure',
      reason: 'NonZeroExitCode',
      details: { causes: [{ reason: 'ExitCode', message: '42' }] },
    });
    await session[Symbol.asyncDispose]();
  });

  test('a process that cannot be started is a status too', async () => {
    const { session } = await dialSpdy(execUrl(['missing']), ['v4.channel.k8s.io']);
    const streams = openCommandStreams(session, { stdin: true, stdout: true, stderr: true });
    expect(JSON.parse(await readText(streams.error))).toMatchObject({
      status: 'Failure',
      reason: 'NotFound',
      message: 'exec missing: no such program',
    });
    await session[Symbol.asyncDispose]();
  });

  test('large data both ways at once, byte for byte', async () => {
    const { session } = await dialSpdy(execUrl(['cat']), ['v4.channel.k8s.io']);
    const streams = openCommandStreams(session, { stdin: true, stdout: true, stderr: true });
    const sent = randomBytes(16 << 20);
    streams.stdin!.end(sent);
    const hash = createHash('sha256');
    for await (const chunk of streams.stdout! as AsyncIterable<Buffer>) hash.update(chunk);
    expect(hash.digest('hex')).toBe(createHash('sha256').update(sent).digest('hex'));
    await session[Symbol.asyncDispose]();
  });

  test('a process that reads no input ends all the same, with all its output', async () => {
    const { session } = await dialSpdy(execUrl(['sh', '-c', 'echo done']), ['v4.channel.k8s.io']);
    const streams = openCommandStreams(session, { stdin: true, stdout: true, stderr: true });
    streams.stdin!.write(Buffer.alloc(4 << 20));
    expect(await readText(streams.stdout)).toBe('done\n');
    expect(await readText(streams.error)).toContain('Success');
    await session[Symbol.asyncDispose]();
  });

  test('a terminal has a resize stream and no stderr', async () => {
    const url = execUrl(['cat'], { stdin: true, stdout: true, stderr: true, tty: true });
    const { session } = await dialSpdy(url, ['v4.channel.k8s.io']);
    const streams = openCommandStreams(session, { stdin: true, stdout: true, resize: true });
    streams.resize!.write('{"Width":80,"Height":24}\n{"Width":0,"Height":5}{"Wid');
    streams.resize!.write('th":132,"Height":43}\n');
    const record = await waitFor('both sizes', { timeoutMs: 2_000, intervalMs: 5 }, () =>
      sandboxes.sessions.find(({ sizes }) => sizes.length === 2),
    );
    expect(record.sizes).toEqual([
      { rows: 24, columns: 80 },
      { rows: 43, columns: 132 },
    ]);
    streams.stdin!.end();
    expect(await readText(streams.error)).toContain('Success');
    await session[Symbol.asyncDispose]();
  });

  test('a client that goes away takes its process with it', async () => {
    const { session, socket } = await dialSpdy(execUrl(['sleep', '1000']), ['v4.channel.k8s.io']);
    openCommandStreams(session, { stdin: true, stdout: true, stderr: true });
    await waitFor('the process', { timeoutMs: 2_000, intervalMs: 5 }, () => sandboxes.openSessions === 1);
    socket.destroy();
    await waitFor('its end', { timeoutMs: 2_000, intervalMs: 5 }, () => sandboxes.openSessions === 0);
  });

  test('a protocol we do not know is refused', async () => {
    await expect(dialSpdy(execUrl(['true']), ['v9.channel.k8s.io'])).rejects.toThrow('HTTP status 403');
  });

  test('many short commands leave nothing behind', async () => {
    const run = async (index: number): Promise<void> => {
      const { session } = await dialSpdy(execUrl(['echo', String(index)]), ['v4.channel.k8s.io']);
      const streams = openCommandStreams(session, { stdin: true, stdout: true, stderr: true });
      streams.stdin!.end();
      expect(await readText(streams.stdout)).toBe(`${index}\n`);
      expect(await readText(streams.error)).toContain('Success');
      await session[Symbol.asyncDispose]();
    };
    for (let batch = 0; batch < 5; batch++) {
      await Promise.all(Array.from({ length: 20 }, (_, index) => run(batch * 20 + index)));
    }
    expect(sandboxes.sessions).toHaveLength(100);
    await waitFor('all sessions closed', { timeoutMs: 2_000 }, () => sandboxes.openSessions === 0);
  });
});

describe('a URL', () => {
  test('is good once', async () => {
    const url = execUrl(['true']);
    const { session } = await dialSpdy(url, ['v4.channel.k8s.io']);
    await expect(dialSpdy(url, ['v4.channel.k8s.io'])).rejects.toThrow('HTTP status 404');
    await session[Symbol.asyncDispose]();
  });

  test('is good for what it was given for', async () => {
    const url = execUrl(['true']).replace('/exec/', '/attach/');
    await expect(dialSpdy(url, ['v4.channel.k8s.io'])).rejects.toThrow('HTTP status 404');
  });

  test('cannot be guessed', () => {
    const token = (url: string): string => url.split('/').at(-1)!;
    expect(token(execUrl(['true']))).toHaveLength(43);
    expect(token(execUrl(['true']))).not.toBe(token(execUrl(['true'])));
  });

  test('is no use without an upgrade', async () => {
    expect((await fetch(execUrl(['true']))).status).toBe(400);
  });
});

test('attach joins the streams of the container', async () => {
  const url = server.attachUrl({ containerId, ...all });
  const { session } = await dialSpdy(url, ['v4.channel.k8s.io']);
  const streams = openCommandStreams(session, { stdin: true, stdout: true, stderr: true });
  streams.stdin!.end('again\n');
  expect(await readText(streams.stdout)).toBe('hello\nagain\n');
  await session[Symbol.asyncDispose]();
});

interface Channels {
  readonly socket: WebSocket;
  /** What has come so far, by channel. */
  readonly received: ReadonlyMap<number, readonly Buffer[]>;
  /** All that came on a channel, once the connection is closed. */
  readonly closed: Promise<Map<number, Buffer>>;
}

async function dialWebSocket(url: string, protocols: readonly string[]): Promise<Channels> {
  const socket = new WebSocket(url.replace('http:', 'ws:'), [...protocols]);
  const received = new Map<number, Buffer[]>();
  socket.on('message', (data) => {
    const message = data as Buffer;
    received.set(message[0]!, [...(received.get(message[0]!) ?? []), message.subarray(1)]);
  });
  const closed = new Promise<Map<number, Buffer>>((resolve) => {
    socket.on('close', () =>
      resolve(new Map([...received].map(([channel, parts]) => [channel, Buffer.concat(parts)]))),
    );
  });
  await new Promise((resolve, reject) => socket.once('open', resolve).once('error', reject));
  return { socket, received, closed };
}

describe('exec over WebSocket', () => {
  test('v5: standard input can be closed', async () => {
    const { socket, closed } = await dialWebSocket(execUrl(['sh', '-c', 'cat; echo e >&2; exit 7']), [
      'v5.channel.k8s.io',
      'v4.channel.k8s.io',
    ]);
    expect(socket.protocol).toBe('v5.channel.k8s.io');
    socket.send(Buffer.from('\0hello'));
    socket.send(Buffer.from([255, 0]));
    const received = await closed;
    expect(received.get(1)?.toString()).toBe('hello');
    expect(received.get(2)?.toString()).toBe('e\n');
    expect(JSON.parse(received.get(3)!.toString())).toMatchObject({
      details: { causes: [{ reason: 'ExitCode', message: '7' }] },
    });
  });

  test('large output is whole and before the status', async () => {
    const { socket, closed } = await dialWebSocket(execUrl(['cat']), ['v5.channel.k8s.io']);
    const sent = randomBytes(8 << 20);
    for (let at = 0; at < sent.length; at += 32 << 10) {
      socket.send(Buffer.concat([Buffer.from([0]), sent.subarray(at, at + (32 << 10))]));
    }
    socket.send(Buffer.from([255, 0]));
    const received = await closed;
    expect(received.get(1)?.equals(sent)).toBe(true);
    expect(received.get(3)?.toString()).toBe('{"metadata":{},"status":"Success"}');
  });

  test('v4 with a terminal: resize', async () => {
    const url = execUrl(['cat'], { stdin: true, stdout: true, stderr: false, tty: true });
    const { socket, closed } = await dialWebSocket(url, ['v4.channel.k8s.io']);
    socket.send(Buffer.from('\u0004{"Width":100,"Height":50}'));
    const record = await waitFor('the size', { timeoutMs: 2_000, intervalMs: 5 }, () =>
      sandboxes.sessions.find(({ sizes }) => sizes.length === 1),
    );
    expect(record.sizes).toEqual([{ rows: 50, columns: 100 }]);
    socket.close();
    await closed;
    await waitFor('the end of the process', { timeoutMs: 2_000, intervalMs: 5 }, () => record.closed);
  });

  test('base64', async () => {
    const socket = new WebSocket(execUrl(['cat']).replace('http:', 'ws:'), ['v4.base64.channel.k8s.io']);
    const messages: string[] = [];
    socket.on('message', (data) => messages.push((data as Buffer).toString()));
    await new Promise((resolve) => socket.once('open', resolve));
    socket.send(`0${Buffer.from('hi').toString('base64')}`);
    await waitFor('the echo', { timeoutMs: 2_000, intervalMs: 5 }, () =>
      messages.includes(`1${Buffer.from('hi').toString('base64')}`),
    );
    socket.close();
  });

  test('a subprotocol we do not know is refused', async () => {
    await expect(dialWebSocket(execUrl(['true']), ['v9.channel.k8s.io'])).rejects.toThrow('403');
  });
});

describe('port-forward', () => {
  let echo: Server;
  let port: number;

  beforeEach(async () => {
    echo = createServer({ allowHalfOpen: true }, (socket: Socket) => {
      socket.on('error', () => undefined);
      socket.pipe(socket);
    });
    await new Promise<void>((resolve) => echo.listen(0, '127.0.0.1', resolve));
    port = (echo.address() as AddressInfo).port;
  });

  afterEach(async () => {
    await new Promise((resolve) => echo.close(resolve));
  });

  const forwardUrl = (): string => server.portForwardUrl({ sandboxId, ports: [port] });

  async function roundTrip(
    session: SpdySession,
    requestid: string,
    sent: Buffer,
    to = port,
  ): Promise<[Buffer, string]> {
    const error = session.openStream({ streamtype: 'error', port: String(to), requestid });
    error.end();
    const data = session.openStream({ streamtype: 'data', port: String(to), requestid });
    data.end(sent);
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of data as AsyncIterable<Buffer>) chunks.push(chunk);
    } catch {
      // reset: the error stream says why
    }
    return [Buffer.concat(chunks), await readText(error)];
  }

  test('several connections at once over SPDY', async () => {
    const { session, protocol } = await dialSpdy(forwardUrl(), ['portforward.k8s.io']);
    expect(protocol).toBe('portforward.k8s.io');
    await Promise.all(
      Array.from({ length: 10 }, async (_, index) => {
        const sent = randomBytes(300_000);
        const [received, error] = await roundTrip(session, String(index), sent);
        expect(received.equals(sent)).toBe(true);
        expect(error).toBe('');
      }),
    );
    await session[Symbol.asyncDispose]();
  });

  test('nobody listens: the error stream says so, other connections go on', async () => {
    const { session } = await dialSpdy(forwardUrl(), ['portforward.k8s.io']);
    const [, error] = await roundTrip(session, '0', Buffer.from('x'), 1);
    expect(error).toBe('error forwarding port 1: connection refused');
    const [received] = await roundTrip(session, '1', Buffer.from('x'));
    expect(received.toString()).toBe('x');
    await session[Symbol.asyncDispose]();
  });

  test('a port that is none', async () => {
    const { session } = await dialSpdy(forwardUrl(), ['portforward.k8s.io']);
    const [, error] = await roundTrip(session, '0', Buffer.from('x'), 70_000);
    expect(error).toBe('invalid port "70000"');
    await session[Symbol.asyncDispose]();
  });

  test('a client without request identifiers', async () => {
    const { session } = await dialSpdy(forwardUrl(), ['portforward.k8s.io']);
    session.openStream({ streamtype: 'error', port: String(port) }).end();
    const data = session.openStream({ streamtype: 'data', port: String(port) });
    data.end('old');
    expect(await readText(data)).toBe('old');
    await session[Symbol.asyncDispose]();
  });

  test('WebSocket channels', async () => {
    const { socket, closed } = await dialWebSocket(forwardUrl(), ['v4.channel.k8s.io']);
    let echoed = '';
    socket.on('message', (data) => (echoed += (data as Buffer).toString('latin1', 1)));
    socket.send(Buffer.from('\0ping'));
    await waitFor('the echo', { timeoutMs: 2_000, intervalMs: 5 }, () => echoed.includes('ping'));
    socket.close();
    const received = await closed;
    const number = Buffer.from([port & 0xff, port >> 8]);
    expect(received.get(0)).toEqual(Buffer.concat([number, Buffer.from('ping')]));
    expect(received.get(1)).toEqual(number);
  });

  test('WebSocket channels: the data channel begins when there is a connection, what came early is kept', async () => {
    let connect = (): void => undefined;
    const real = sandboxes.openConnection.bind(sandboxes);
    sandboxes.openConnection = async (id, to) => {
      await new Promise<void>((resolve) => (connect = resolve));
      return await real(id, to);
    };
    const { socket, received } = await dialWebSocket(forwardUrl(), ['v4.channel.k8s.io']);
    socket.send(Buffer.from('\0early'));
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(received.size).toBe(0);
    connect();
    await waitFor('the echo', { timeoutMs: 2_000, intervalMs: 5 }, () =>
      Buffer.concat(received.get(0) ?? []).includes('early'),
    );
    socket.close();
  });

  test('WebSocket channels: where nobody listens only the error channel speaks', async () => {
    const url = server.portForwardUrl({ sandboxId, ports: [1] });
    const { closed } = await dialWebSocket(url, ['v4.channel.k8s.io']);
    const received = await closed;
    expect(received.get(0)).toBeUndefined();
    expect(received.get(1)?.subarray(0, 2)).toEqual(Buffer.of(1, 0));
    expect(received.get(1)?.toString('utf8', 2)).toBe('error forwarding port 1: connection refused');
  });

  test('what the pod sent before it closed reaches the client', async () => {
    const sent = randomBytes(4 << 20);
    const closer = createServer(
      (socket) =>
        void socket
          .on('error', () => undefined)
          .resume()
          .end(sent),
    );
    await new Promise<void>((resolve) => closer.listen(0, '127.0.0.1', resolve));
    const { session } = await dialSpdy(forwardUrl(), ['portforward.k8s.io']);
    const to = (closer.address() as AddressInfo).port;
    session.openStream({ streamtype: 'error', port: String(to), requestid: '0' }).end();
    const data = session.openStream({ streamtype: 'data', port: String(to), requestid: '0' });
    data.write('GET');
    const chunks: Buffer[] = [];
    for await (const chunk of data.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>)
      chunks.push(chunk);
    expect(Buffer.concat(chunks).equals(sent)).toBe(true);
    await session[Symbol.asyncDispose]();
    await new Promise((resolve) => closer.close(resolve));
  });
});
