import { getEventListeners } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { sleep, waitFor } from '@hypernetes/foundation/lifecycle';
import {
  ErrorCode,
  File,
  GuestMessage,
  HelloReply,
  HostMessage,
  type Event,
} from '@hypernetes/proto/hyperstart';
import { encodeFrame, FrameDecoder } from './frame-codec.ts';
import { GuestAgent, type GuestAgentOptions } from './guest-agent.ts';
import { ReceiveStream } from './receive-stream.ts';

/** The guest's side as the contract words it, driven by the test. */
class FakeGuest {
  readonly received: HostMessage[] = [];
  readonly connections: Socket[] = [];
  positions: { stream: number; offset: bigint }[] = [];
  kernelRelease = '';
  afterHello: () => void = () => undefined;
  onRequest: (id: bigint, kind: string) => void = (id) => this.answer(id);
  #server: Server;

  constructor(path: string) {
    this.#server = createServer((socket) => {
      this.connections.push(socket);
      const decoder = new FrameDecoder();
      socket.on('error', () => undefined);
      socket.on('data', (chunk) => {
        for (const payload of decoder.push(chunk)) this.#onMessage(HostMessage.decode(payload));
      });
    }).listen(path);
  }

  get helloes() {
    return this.received.flatMap((message) => (message.kind?.$case === 'hello' ? [message.kind.value] : []));
  }

  get acks() {
    return this.received.flatMap((message) =>
      message.kind?.$case === 'streamAck' ? [Number(message.kind.value.offset)] : [],
    );
  }

  get eventAcks() {
    return this.received.flatMap((message) =>
      message.kind?.$case === 'eventAck' ? [message.kind.value.sequence] : [],
    );
  }

  get data() {
    return this.received.flatMap((message) =>
      message.kind?.$case === 'streamData' ? [message.kind.value] : [],
    );
  }

  send(kind: NonNullable<GuestMessage['kind']>): void {
    this.connections.at(-1)!.write(encodeFrame(GuestMessage.encode({ kind }).finish()));
  }

  sendData(stream: number, offset: number, text: string, eof = false): void {
    this.send({
      $case: 'streamData',
      value: { stream, offset: BigInt(offset), data: Buffer.from(text), eof },
    });
  }

  answerHello(nonce: bigint): void {
    const { positions: streams, kernelRelease } = this;
    this.send({
      $case: 'helloReply',
      value: HelloReply.fromPartial({ protocolVersion: 1, nonce, streams, kernelRelease }),
    });
  }

  answer(requestId: bigint): void {
    this.send({ $case: 'response', value: { requestId, error: undefined, result: undefined } });
  }

  drop(): void {
    this.connections.at(-1)!.destroy();
  }

  close(): void {
    for (const socket of this.connections) socket.destroy();
    this.#server.close();
  }

  #onMessage(message: HostMessage): void {
    this.received.push(message);
    const kind = message.kind;
    if (kind?.$case === 'hello') {
      this.answerHello(kind.value.nonce);
      this.afterHello();
    } else if (kind?.$case === 'request') {
      this.onRequest(kind.value.id, kind.value.operation!.$case);
    }
  }
}

let folder: string;
let guest: FakeGuest;
const agents: GuestAgent[] = [];

function connectAgent(options: Partial<GuestAgentOptions> = {}): GuestAgent {
  const agent = new GuestAgent({
    socketPath: join(folder, 'agent.sock'),
    fresh: true,
    onEvent: () => Promise.resolve(),
    ...options,
  });
  agents.push(agent);
  return agent;
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hn-agent-'));
  guest = new FakeGuest(join(folder, 'agent.sock'));
});

afterEach(async () => {
  for (const agent of agents.splice(0)) await agent[Symbol.asyncDispose]();
  guest.close();
  await rm(folder, { recursive: true });
});

const soon = { timeoutMs: 3_000, intervalMs: 2 };
const getState = { $case: 'getState', value: {} } as const;

describe('GuestAgent', () => {
  it('carries a request and turns a refusal into an error', async () => {
    const agent = connectAgent();
    await agent.request(getState, { timeoutMs: 1_000 });
    guest.onRequest = (requestId) =>
      guest.send({
        $case: 'response',
        value: {
          requestId,
          error: { code: ErrorCode.ERROR_COMMAND_NOT_FOUND, message: 'no such file' },
          result: undefined,
        },
      });
    await expect(agent.request(getState, { timeoutMs: 1_000 })).rejects.toMatchObject({
      reason: 'NotFound',
      details: { exitCode: 127 },
    });
  });

  it('sends a request again when the connection is lost before the answer', async () => {
    const agent = connectAgent();
    let count = 0;
    guest.onRequest = (id) => {
      if (++count === 1) guest.drop();
      else guest.answer(id);
    };
    await agent.request(getState, { timeoutMs: 2_000 });
    expect(count).toBe(2);
  });

  it('ends a request at its deadline', async () => {
    const agent = connectAgent();
    guest.onRequest = () => undefined;
    await expect(agent.request(getState, { timeoutMs: 50 })).rejects.toMatchObject({
      reason: 'DeadlineExceeded',
    });
  });

  it('acknowledges only what the consumer took, and resumes there after a reconnection', async () => {
    const agent = connectAgent();
    const taken: string[] = [];
    const stream = agent.receive(7, 0, (data, _offset, eof) => {
      // Whole lines only, like the container log.
      const end = eof ? data.length : data.lastIndexOf(10) + 1;
      if (end > 0) taken.push(data.toString('utf8', 0, end));
      return Promise.resolve(end);
    });
    await agent.waitConnected(1_000);
    guest.sendData(7, 0, 'one\ntw');
    await waitFor('first line', soon, () => taken.length === 1);
    expect(stream.taken).toBe(4);
    guest.drop();
    await waitFor('reconnection', soon, () => guest.helloes.length === 2);
    expect(guest.helloes[1]!.streams).toEqual([{ stream: 7, offset: 4n }]);
    await agent.waitConnected(1_000);
    guest.sendData(7, 4, 'two\nthree', true);
    await expect(stream.finished).resolves.toBe(true);
    expect(taken.join('|')).toBe('one\n|two\nthree');
    const end = 'one\ntwo\nthree'.length + 1;
    await waitFor('the end acknowledged', soon, () => guest.acks.at(-1) === end);
  });

  it('holds the guest back while a reader does not read', async () => {
    const agent = connectAgent();
    const { readable } = agent.receiveReadable(3);
    await agent.waitConnected(1_000);
    guest.sendData(3, 0, 'x'.repeat(30_000));
    guest.sendData(3, 30_000, 'y'.repeat(30_000), true);
    await waitFor('bytes buffered', soon, () => readable.readableLength > 0);
    expect(guest.acks).toEqual([]);
    let text = '';
    for await (const chunk of readable) text += String(chunk);
    expect(text).toBe('x'.repeat(30_000) + 'y'.repeat(30_000));
    await waitFor('acknowledged', soon, () => guest.acks.at(-1) === 60_001);
  });

  it('keeps at most the window in flight and sends again what was not acknowledged', async () => {
    const agent = connectAgent();
    await agent.waitConnected(1_000);
    const sender = agent.sendStream(9);
    const written = Buffer.alloc(100_000, 'abcdefg');
    sender.end(written);
    const inFlight = () => guest.data.reduce((sum, piece) => sum + piece.data.length, 0);
    await waitFor('a full window', soon, () => inFlight() === 65_536);
    guest.positions = [{ stream: 9, offset: 20_000n }];
    guest.received.length = 0;
    guest.drop();
    await waitFor('the rest of the window again', soon, () => inFlight() === 65_536);
    expect(guest.data[0]!.offset).toBe(20_000n);
    guest.send({ $case: 'streamAck', value: { stream: 9, offset: 85_536n } });
    await waitFor('the end', soon, () => guest.data.some((piece) => piece.eof));
    const again = Buffer.concat([written.subarray(0, 20_000), ...guest.data.map((piece) => piece.data)]);
    expect(again.equals(written)).toBe(true);
  });

  it('acknowledges an event after the handler, and bears hearing it again', async () => {
    const handled: bigint[] = [];
    let release: () => void = () => undefined;
    const durable = new Promise<void>((resolve) => {
      release = resolve;
    });
    const agent = connectAgent({
      onEvent: async (event) => {
        await durable;
        handled.push(event.sequence);
      },
    });
    await agent.waitConnected(1_000);
    const event: Event = { sequence: 1n, kind: { $case: 'outOfMemory', value: { containerId: 'c' } } };
    guest.send({ $case: 'event', value: event });
    await agent.request(getState, { timeoutMs: 1_000 });
    expect(guest.eventAcks).toEqual([]);
    guest.drop();
    await waitFor('reconnection', soon, () => guest.helloes.length === 2 && agent.connected);
    guest.send({ $case: 'event', value: event });
    release();
    await waitFor('acknowledged', soon, () => guest.eventAcks.includes(1n));
    expect(handled).toEqual([1n]);
  });

  it('ignores what comes before the reply to its own Hello', async () => {
    const agent = connectAgent({ fresh: false });
    await agent.waitConnected(1_000);
    expect(guest.helloes).toHaveLength(1);
    guest.send({
      $case: 'helloReply',
      value: GuestMessage.fromPartial({
        kind: { $case: 'helloReply', value: { nonce: 5n, protocolVersion: 99 } },
      }).kind!.value as never,
    });
    await agent.request(getState, { timeoutMs: 1_000 });
  });

  it.each<[string, () => void]>([
    ['data beyond the window', () => guest.sendData(1, 0, 'x'.repeat(65_537))],
    ['a gap', () => guest.sendData(1, 5, 'x')],
    [
      'an acknowledgement of what was not sent',
      () => guest.send({ $case: 'streamAck', value: { stream: 2, offset: 1n } }),
    ],
    [
      'a message that is no protobuf',
      () => guest.connections.at(-1)!.write(encodeFrame(Buffer.from([7, 7]))),
    ],
    [
      'an event longer than events are',
      () =>
        guest.send({
          $case: 'event',
          value: { sequence: 1n, kind: { $case: 'outOfMemory', value: { containerId: 'c'.repeat(5_000) } } },
        }),
    ],
  ])('connects anew after %s', async (_name, breach) => {
    const agent = connectAgent();
    agent.receive(1, 0, () => Promise.resolve(0));
    agent.sendStream(2);
    await agent.waitConnected(1_000);
    breach();
    await waitFor('a new connection', soon, () => guest.helloes.length === 2);
    await agent.request(getState, { timeoutMs: 1_000 });
  });

  it('leaves a guest that reads nothing instead of filling memory', async () => {
    const agent = connectAgent();
    await agent.waitConnected(1_000);
    guest.connections.at(-1)!.pause();
    const data = Buffer.alloc(1 << 19);
    const file = File.fromPartial({ path: 'f', data });
    const value = { setId: 's', generation: 1n, files: [file], commit: true, inMemory: false };
    const requests = Array.from({ length: 80 }, () =>
      agent.request({ $case: 'putFiles', value }, { timeoutMs: 900 }).catch(() => undefined),
    );
    await waitFor('a new connection', soon, () => guest.connections.length === 2);
    guest.onRequest = () => undefined;
    await agent[Symbol.asyncDispose]();
    await Promise.all(requests);
  });

  it('comes back ever more seldom to a guest that keeps breaking the contract', async () => {
    guest.afterHello = () => guest.sendData(1, 99, 'x');
    const agent = connectAgent();
    agent.receive(1, 0, () => Promise.resolve(0));
    agent.start();
    await sleep(300);
    expect(guest.helloes.length).toBeGreaterThan(1);
    expect(guest.helloes.length).toBeLessThan(12);
  });

  it('takes one answer to one Hello, and little of what it says', async () => {
    guest.kernelRelease = 'r'.repeat(100_000);
    const agent = connectAgent();
    expect((await agent.waitConnected(1_000)).kernelRelease).toHaveLength(128);
    agent.sendStream(2).write('abc');
    await waitFor('data', soon, () => guest.data.length === 1);
    for (let again = 0; again < 5; again++) guest.answerHello(guest.helloes[0]!.nonce);
    await agent.request(getState, { timeoutMs: 1_000 });
    expect(guest.data).toHaveLength(1);
  });

  it('keeps no listener of a request on its signal over reconnections', async () => {
    const agent = connectAgent();
    await agent.waitConnected(1_000);
    const caller = new AbortController();
    let left = 20;
    guest.onRequest = (id) => (left-- > 0 ? guest.drop() : guest.answer(id));
    const warnings: Error[] = [];
    const onWarning = (warning: Error): unknown => warnings.push(warning);
    process.on('warning', onWarning);
    await agent.request(getState, { timeoutMs: 5_000, signal: caller.signal });
    await sleep(1);
    process.off('warning', onWarning);
    expect(warnings).toEqual([]);
    expect(getEventListeners(caller.signal, 'abort')).toEqual([]);
  });
});

describe('ReceiveStream', () => {
  it('does not hold on to the message its bytes came in', () => {
    const seen: Buffer[] = [];
    const stream = new ReceiveStream({
      id: 1,
      offset: 0,
      consumer: (data) => {
        seen.push(data);
        return Promise.resolve(0);
      },
      acknowledge: () => undefined,
      abandon: () => undefined,
    });
    const message = Buffer.alloc(1 << 20);
    stream.onData(0, message.subarray(0, 1), false);
    expect(seen).toHaveLength(1);
    expect(seen[0]!.buffer.byteLength).toBeLessThan(1 << 16);
  });
});
