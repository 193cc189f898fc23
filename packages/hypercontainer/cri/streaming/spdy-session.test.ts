import { randomBytes } from 'node:crypto';
import { Duplex } from 'node:stream';
import { expect, test } from 'vitest';
import { duplexPair } from '../testing/duplex-pair.ts';
import { encodeFrame, SpdyFrameParser, type SpdyFrame } from './spdy-frames.ts';
import { SpdyHeaderWriter } from './spdy-headers.ts';
import { SpdySession, type SpdyStream } from './spdy-session.ts';

async function readAll(stream: SpdyStream): Promise<Buffer> {
  const chunks: Buffer[] = [];
  // The ordinary iterator destroys what it has read, together with the other direction.
  for await (const chunk of stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>)
    chunks.push(chunk);
  return Buffer.concat(chunks);
}

test('many streams echo large data both ways at once, without loss', async () => {
  const [a, b] = duplexPair();
  await using server = new SpdySession(a, { role: 'server', onStream: (stream) => void stream.pipe(stream) });
  await using client = new SpdySession(b, { role: 'client' });
  await Promise.all(
    Array.from({ length: 8 }, async (_, index) => {
      const sent = randomBytes(1 << 20);
      const stream = client.openStream({ streamtype: 'data', index: String(index) });
      stream.end(sent);
      expect((await readAll(stream)).equals(sent)).toBe(true);
    }),
  );
  expect(client.streamCount).toBe(0);
  expect(server.streamCount).toBe(0);
});

test('half-close: the other direction goes on', async () => {
  const [a, b] = duplexPair();
  await using _server = new SpdySession(a, {
    role: 'server',
    onStream: (stream) => {
      void readAll(stream).then((bytes) => stream.end(`got ${bytes.length}`));
    },
  });
  await using client = new SpdySession(b, { role: 'client' });
  const stream = client.openStream({});
  stream.write('abc');
  stream.end();
  expect((await readAll(stream)).toString()).toBe('got 3');
});

test('a stream that is not read holds neither memory nor, between our own kind, the other streams', async () => {
  const [a, b] = duplexPair();
  const streams: SpdyStream[] = [];
  await using _server = new SpdySession(a, {
    role: 'server',
    onStream: (stream) => {
      streams.push(stream);
      if (stream.headers['kind'] === 'echo') stream.pipe(stream);
    },
  });
  await using client = new SpdySession(b, { role: 'client' });
  const stuck = client.openStream({ kind: 'stuck' });
  let accepted = 0;
  const fill = (): void => {
    stuck.write(Buffer.alloc(64 << 10), (error) => {
      if (error instanceof Error) return;
      accepted += 64 << 10;
      fill();
    });
  };
  fill();
  const echo = client.openStream({ kind: 'echo' });
  const sent = randomBytes(1 << 20);
  echo.end(sent);
  expect((await readAll(echo)).equals(sent)).toBe(true);
  expect(accepted).toBeLessThan(512 << 10);
  expect(streams[0]!.readableLength).toBeLessThan(512 << 10);
  stuck.destroy();
});

test('a peer without flow control is held up by the connection, not by memory', async () => {
  const [a, b] = duplexPair();
  const streams: SpdyStream[] = [];
  await using _server = new SpdySession(a, {
    role: 'server',
    onStream: (stream) => void streams.push(stream),
  });
  b.resume();
  const headerBlock = new SpdyHeaderWriter().write({});
  b.write(encodeFrame({ type: 'synStream', streamId: 1, fin: false, unidirectional: false, headerBlock }));
  const piece = encodeFrame({ type: 'data', streamId: 1, fin: false, bytes: Buffer.alloc(32 << 10) });
  let accepted = 0;
  const send = (left: number): void => {
    if (left === 0) b.write(encodeFrame({ type: 'data', streamId: 1, fin: true, bytes: Buffer.alloc(0) }));
    else
      b.write(piece, () => {
        accepted++;
        send(left - 1);
      });
  };
  send(60);
  await new Promise((resolve) => setTimeout(resolve, 50));
  expect(accepted).toBeGreaterThan(5);
  expect(accepted).toBeLessThan(12);
  // Once somebody reads, all of it arrives.
  expect(await readAll(streams[0]!)).toHaveLength(60 * (32 << 10));
});

test('a peer without flow control gets more than a window', async () => {
  const [a, b] = duplexPair();
  await using _server = new SpdySession(a, {
    role: 'server',
    onStream: (stream) => void stream.end(Buffer.alloc(1 << 20)),
  });
  const headerBlock = new SpdyHeaderWriter().write({});
  b.write(encodeFrame({ type: 'synStream', streamId: 1, fin: false, unidirectional: false, headerBlock }));
  const parser = new SpdyFrameParser();
  let received = 0;
  for await (const chunk of b as AsyncIterable<Buffer>) {
    const frames = [...parser.push(chunk)];
    for (const frame of frames) if (frame.type === 'data') received += frame.bytes.length;
    if (frames.some((frame) => frame.type === 'data' && frame.fin)) break;
  }
  expect(received).toBe(1 << 20);
});

async function framesAfter(write: (end: Duplex) => void): Promise<SpdyFrame[]> {
  const [a, b] = duplexPair();
  const session = new SpdySession(a, { role: 'server', onStream: () => undefined });
  const parser = new SpdyFrameParser();
  const frames: SpdyFrame[] = [];
  b.on('data', (chunk: Buffer) => frames.push(...parser.push(chunk)));
  write(b);
  await new Promise((resolve) => setTimeout(resolve, 20));
  await session[Symbol.asyncDispose]();
  return frames;
}

test('ping is echoed', async () => {
  const frames = await framesAfter((end) => end.write(encodeFrame({ type: 'ping', id: 7 })));
  expect(frames).toContainEqual({ type: 'ping', id: 7 });
});

const syn = (streamId: number, headerBlock: Buffer): Buffer =>
  encodeFrame({ type: 'synStream', streamId, fin: false, unidirectional: false, headerBlock });

test.each<[string, () => Buffer[]]>([
  ['a stream of the wrong side', () => [syn(2, new SpdyHeaderWriter().write({}))]],
  [
    'the same stream twice',
    () => {
      const writer = new SpdyHeaderWriter();
      return [syn(1, writer.write({})), syn(1, writer.write({}))];
    },
  ],
  ['headers that cannot be read', () => [syn(1, Buffer.from('junk'))]],
  [
    'data of a stream that never was',
    () => [encodeFrame({ type: 'data', streamId: 9, fin: false, bytes: Buffer.from('x') })],
  ],
  ['junk', () => [Buffer.from('GET / HTTP/1.1\r\n\r\n'.repeat(10)), Buffer.alloc(64, 0xff)]],
])('ends the connection: %s', async (_title, bytes) => {
  const frames = await framesAfter((end) => end.write(Buffer.concat(bytes())));
  expect(frames).toContainEqual(expect.objectContaining({ type: 'goAway', status: 1 }));
});

test('when the connection breaks, streams end with an error and nothing waits for ever', async () => {
  const [a, b] = duplexPair();
  const session = new SpdySession(a, { role: 'client' });
  const stream = session.openStream({});
  const failed = expect(readAll(stream)).rejects.toMatchObject({ reason: 'Unavailable' });
  b.destroy();
  a.destroy();
  await session.closed;
  await failed;
  expect(() => session.openStream({})).toThrow();
});

test('a peer that asks without end and reads nothing is not read any more', async () => {
  let unsent = 0;
  const transport: Duplex = new Duplex({
    read: () => undefined,
    // Nothing is ever taken.
    write: () => undefined,
  });
  const session = new SpdySession(transport, { role: 'server' });
  const ping = encodeFrame({ type: 'ping', id: 1 });
  const pings = Buffer.concat(Array.from({ length: 5_000 }, () => ping));
  for (let round = 0; round < 60; round++) {
    transport.push(pings);
    await new Promise((resolve) => setImmediate(resolve));
    unsent = transport.writableLength;
  }
  expect(unsent).toBeGreaterThan(1 << 19);
  expect(unsent).toBeLessThan(3 << 19);
  transport.destroy();
  await session.closed;
});
