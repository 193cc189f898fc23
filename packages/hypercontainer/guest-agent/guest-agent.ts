import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { Duplex, type Readable } from 'node:stream';
import { PlatformError, toPlatformError } from '@hypernetes/foundation/errors';
import { backoffDelayMs, sleep, withDeadline } from '@hypernetes/foundation/lifecycle';
import type { Logger } from '@hypernetes/foundation/logging';
import {
  GuestMessage,
  HostMessage,
  type Event,
  type HelloReply,
  type Request,
  type Response,
} from '@hypernetes/proto/hyperstart';
import { encodeFrame, FrameDecoder, resynchronisation } from './frame-codec.ts';
import { toGuestError } from './guest-error.ts';
import { readableConsumer, ReceiveStream, type StreamConsumer } from './receive-stream.ts';
import { SendStream } from './send-stream.ts';

const protocolVersion = 1;
/** A cold boot under emulation on a loaded machine answers within this. */
const helloTimeoutMs = 60_000;
const reconnectMaxMs = 250;
/** A guest that keeps breaking the contract is asked again ever more seldom. */
const brokenReconnectMaxMs = 10_000;
/** Requests without an answer at one time, and events not yet durable. */
const requestsMax = 256;
const eventsMax = 4096;
/** An event names a container and an exec: it is short. */
const eventBytesMax = 4_096;
/** Streams one guest may know of. */
const streamsMax = 16_384;
/** What may wait for a guest that does not read: more than the requests of a large pod. */
const unsentBytesMax = 32 << 20;
const kernelReleaseCharactersMax = 128;

export type Operation = NonNullable<Request['operation']>;
export type OperationResult = NonNullable<Response['result']>;

export interface GuestAgentOptions {
  /** Unix socket QEMU serves for the port hyperstart.v1. */
  readonly socketPath: string;
  /** No connection to this machine ever was: nothing half sent can be in its way. */
  readonly fresh: boolean;
  /** Makes the event durable; it is acknowledged after that. Must bear hearing the same event again. */
  readonly onEvent: (event: Event) => Promise<void>;
  /** After each (re)connection, before requests go out again. */
  readonly onHello?: (reply: HelloReply) => void;
  readonly log?: Logger;
}

interface PendingRequest {
  readonly operation: string;
  readonly resolve: (response: Response) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Host side of hyperstart.v1 for one virtual machine: connects to the agent's socket and stays connected, says Hello, carries requests,
 * streams and events so that nothing is lost or doubled over reconnections. Everything from the guest is hostile: a breach of the contract
 * ends the connection, and a new one starts clean.
 */
export class GuestAgent implements AsyncDisposable {
  readonly #options: GuestAgentOptions;
  readonly #abort = new AbortController();
  readonly #pending = new Map<bigint, PendingRequest>();
  readonly #receiving = new Map<number, ReceiveStream>();
  readonly #sending = new Map<number, SendStream>();
  readonly #working = new Set<() => void>();
  readonly #connectedWaiters = new Set<() => void>();
  #running: Promise<void> | undefined;
  #socket: Socket | undefined;
  /** Set while the guest has answered this connection's Hello. */
  #reply: HelloReply | undefined;
  #nonce = 0n;
  #lastRequestId = 0n;
  #fresh: boolean;
  #eventQueue: Event[] = [];
  #eventsRunning = false;
  #lastEvent = 0n;

  constructor(options: GuestAgentOptions) {
    this.#options = options;
    this.#fresh = options.fresh;
  }

  /** Starts to connect. Streams to be resumed are registered before. */
  start(): void {
    this.#running ??= this.#keepConnected();
  }

  get connected(): boolean {
    return this.#reply !== undefined;
  }

  /** The answer to the Hello of the present connection. DeadlineExceeded when there is none in time. */
  async waitConnected(timeoutMs: number, signal?: AbortSignal): Promise<HelloReply> {
    this.start();
    return await this.#withSignal(signal, (outer) =>
      withDeadline(
        `guest agent at ${this.#options.socketPath}`,
        timeoutMs,
        (stop) => this.#nextReply(stop),
        outer,
      ),
    );
  }

  /** Says Hello again on the present connection and measures: the guest's clock and the host's in the middle of the exchange. */
  async readClock(timeoutMs: number): Promise<{ guestNs: bigint; hostNs: bigint; reply: HelloReply }> {
    await this.waitConnected(timeoutMs);
    const before = process.hrtime.bigint();
    this.#reply = undefined;
    this.#sayHello();
    const reply = await this.waitConnected(timeoutMs);
    const after = process.hrtime.bigint();
    return { guestNs: reply.clockMonotonicNs, hostNs: (before + after) / 2n, reply };
  }

  /**
   * One request and its answer. Sent again when the connection is lost before the answer, until the deadline: every operation is idempotent.
   * The guest's refusals are PlatformErrors (toGuestError).
   */
  async request(
    operation: Operation,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal },
  ): Promise<OperationResult | undefined> {
    this.start();
    const response = await this.#withSignal(options.signal, (outer) =>
      withDeadline(
        `guest agent: ${operation.$case}`,
        options.timeoutMs,
        (signal) => this.#attempts(operation, signal),
        outer,
      ),
    );
    if (response.error !== undefined) throw toGuestError(operation.$case, response.error);
    return response.result;
  }

  /** A stream from the guest with a consumer that takes bytes over durably; `offset` is what it has taken over already. */
  receive(stream: number, offset: number, consumer: StreamConsumer): ReceiveStream {
    const receiver = new ReceiveStream({
      id: stream,
      offset,
      consumer,
      acknowledge: (to) => this.#send({ $case: 'streamAck', value: { stream, offset: BigInt(to) } }),
      abandon: (reason) => {
        this.#send({ $case: 'streamReset', value: { stream, reason } });
      },
    });
    this.#receiving.set(stream, receiver);
    void receiver.finished.then(() => {
      if (this.#receiving.get(stream) === receiver) this.#receiving.delete(stream);
    });
    return receiver;
  }

  /** A stream from the guest for a reader; a reset of the guest destroys it with an error. */
  receiveReadable(stream: number): { readonly readable: Readable; readonly receiver: ReceiveStream } {
    const { readable, consumer } = readableConsumer((reason) => receiver.cancel(reason));
    const receiver = this.receive(stream, 0, consumer);
    void receiver.finished.then((properly) => {
      if (!properly) readable.destroy(new PlatformError('Unavailable', 'the guest closed the stream'));
    });
    return { readable, receiver };
  }

  /** A stream to the guest, from the offset it has taken over already (its HelloReply says it; 0 for a new one). */
  sendStream(stream: number, offset = 0): SendStream {
    const sender = new SendStream({
      id: stream,
      offset,
      send: (at, data, eof) =>
        this.#send({ $case: 'streamData', value: { stream, offset: BigInt(at), data, eof } }),
      onClose: (properly) => {
        if (this.#sending.get(stream) === sender) this.#sending.delete(stream);
        if (!properly) this.#send({ $case: 'streamReset', value: { stream, reason: 'writer went away' } });
      },
    });
    // Without a listener an error event would end the process; the writer sees it by its own callbacks too.
    sender.on('error', () => undefined);
    this.#sending.set(stream, sender);
    return sender;
  }

  /** Two streams as one connection. */
  duplex(streamToGuest: number, streamToHost: number): Duplex {
    const writable = this.sendStream(streamToGuest);
    const { readable } = this.receiveReadable(streamToHost);
    return Duplex.from({ writable, readable });
  }

  /** Leaves: closes the connection for good, every waiting call is Canceled, streams end. The machine goes on. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    for (const fire of [...this.#working]) fire();
    this.#socket?.destroy();
    for (const receiver of [...this.#receiving.values()]) receiver.onReset();
    for (const sender of [...this.#sending.values()]) sender.onReset('the agent was closed');
    await this.#running;
  }

  /** A signal of the work's own that fires with the caller's and with the agent's end; nothing stays registered on those after it. */
  async #withSignal<T>(
    caller: AbortSignal | undefined,
    work: (signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const own = new AbortController();
    const fire = (): void => own.abort();
    if (this.#abort.signal.aborted || caller?.aborted === true)
      throw new PlatformError('Canceled', 'the guest agent was closed or the work canceled');
    this.#working.add(fire);
    caller?.addEventListener('abort', fire);
    try {
      return await work(own.signal);
    } finally {
      this.#working.delete(fire);
      caller?.removeEventListener('abort', fire);
    }
  }

  async #attempts(operation: Operation, signal: AbortSignal): Promise<Response> {
    for (;;) {
      await this.#nextReply(signal);
      const response = await this.#attempt(operation, signal);
      if (response !== undefined) return response;
    }
  }

  /** undefined: the connection was lost before the answer. */
  async #attempt(operation: Operation, signal: AbortSignal): Promise<Response | undefined> {
    if (this.#pending.size >= requestsMax)
      throw new PlatformError('Exhausted', `guest agent: ${requestsMax} requests without an answer`);
    const id = ++this.#lastRequestId;
    let giveUp: () => void = () => undefined;
    try {
      return await new Promise<Response | undefined>((resolve, reject) => {
        this.#pending.set(id, { operation: operation.$case, resolve, reject: () => resolve(undefined) });
        giveUp = () => reject(new PlatformError('Canceled', 'request given up'));
        signal.addEventListener('abort', giveUp);
        this.#send({ $case: 'request', value: { id, operation } });
      });
    } finally {
      this.#pending.delete(id);
      signal.removeEventListener('abort', giveUp);
    }
  }

  async #nextReply(signal: AbortSignal): Promise<HelloReply> {
    while (this.#reply === undefined) {
      if (signal.aborted) throw new PlatformError('Canceled', 'wait for the guest agent canceled');
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#connectedWaiters.delete(wake);
          signal.removeEventListener('abort', wake);
          resolve();
        };
        this.#connectedWaiters.add(wake);
        signal.addEventListener('abort', wake, { once: true });
      });
    }
    return this.#reply;
  }

  async #keepConnected(): Promise<void> {
    for (let failures = 0; !this.#abort.signal.aborted;) {
      const outcome = await this.#connectOnce();
      failures = outcome === 'served' ? 0 : failures + 1;
      const maxMs = outcome === 'broken' ? brokenReconnectMaxMs : reconnectMaxMs;
      await sleep(backoffDelayMs(failures, 2, maxMs), this.#abort.signal).catch(() => undefined);
    }
  }

  /** Connects and serves until the connection ends: the guest had answered, had not, or broke the contract. */
  async #connectOnce(): Promise<'served' | 'silent' | 'broken'> {
    const socket = connect(this.#options.socketPath);
    this.#socket = socket;
    const decoder = new FrameDecoder();
    const seen = { hello: false, breach: false };
    const helloTimer = setTimeout(() => {
      if (!seen.hello) socket.destroy();
    }, helloTimeoutMs);
    socket.on('connect', () => {
      if (!this.#fresh) socket.write(resynchronisation);
      this.#fresh = false;
      this.#sayHello();
    });
    socket.on('data', (chunk: Buffer) => {
      try {
        for (const payload of decoder.push(chunk))
          this.#onMessage(GuestMessage.decode(payload), payload.length);
        seen.hello ||= this.#reply !== undefined;
      } catch (error) {
        this.#options.log?.warn(
          { message: toPlatformError(error).message, socketPath: this.#options.socketPath },
          'guest broke the agent protocol; connecting again',
        );
        seen.breach = true;
        socket.destroy();
      }
    });
    await new Promise<void>((resolve) => {
      socket.on('error', () => undefined);
      socket.on('close', () => resolve());
    });
    clearTimeout(helloTimer);
    this.#socket = undefined;
    this.#reply = undefined;
    for (const pending of [...this.#pending.values()])
      pending.reject(new PlatformError('Unavailable', 'connection lost'));
    return seen.breach ? 'broken' : seen.hello ? 'served' : 'silent';
  }

  #sayHello(): void {
    this.#nonce = randomBytes(8).readBigUInt64LE() | 1n;
    const streams = [...this.#receiving.values()].map((receiver) => ({
      stream: receiver.id,
      offset: BigInt(receiver.taken),
    }));
    this.#write({ $case: 'hello', value: { protocolVersion, nonce: this.#nonce, streams } });
  }

  #onMessage(message: GuestMessage, bytes: number): void {
    const kind = message.kind;
    if (kind === undefined) return;
    if (kind.$case === 'helloReply') {
      // Ours is never 0: one Hello has one answer.
      if (this.#nonce !== 0n && kind.value.nonce === this.#nonce) this.#onHello(kind.value);
      return;
    }
    // Until the guest has answered this connection's Hello, what comes belongs to an earlier one.
    if (this.#reply === undefined) return;
    switch (kind.$case) {
      case 'response':
        this.#pending.get(kind.value.requestId)?.resolve(kind.value);
        return;
      case 'streamData': {
        const { stream, offset, data, eof } = kind.value;
        const receiver = this.#receiving.get(stream);
        if (receiver === undefined)
          this.#send({ $case: 'streamReset', value: { stream, reason: 'no such stream' } });
        else receiver.onData(toOffset(offset), data, eof);
        return;
      }
      case 'streamAck':
        this.#sending.get(kind.value.stream)?.onAcknowledge(toOffset(kind.value.offset));
        return;
      case 'streamReset':
        this.#receiving.get(kind.value.stream)?.onReset();
        this.#sending.get(kind.value.stream)?.onReset(kind.value.reason.slice(0, 200));
        return;
      case 'event':
        if (bytes > eventBytesMax)
          throw new PlatformError('Invalid', `guest sends an event of ${bytes} bytes`);
        this.#onEvent(kind.value);
        return;
    }
  }

  #onHello(reply: HelloReply): void {
    if (reply.protocolVersion !== protocolVersion)
      throw new PlatformError('Precondition', `guest speaks protocol version ${reply.protocolVersion}`);
    if (reply.streams.length > streamsMax)
      throw new PlatformError('Invalid', `guest speaks of ${reply.streams.length} streams`);
    this.#nonce = 0n;
    this.#reply = {
      ...reply,
      // Shown to people and kept on record: it comes from inside the pod's machine.
      kernelRelease: reply.kernelRelease.slice(0, kernelReleaseCharactersMax).replace(/\p{Cc}/gu, ' '),
    };
    this.#eventQueue = [];
    const positions = new Map(reply.streams.map(({ stream, offset }) => [stream, toOffset(offset)]));
    for (const sender of [...this.#sending.values()]) sender.resume(positions.get(sender.id) ?? 0);
    this.#options.onHello?.(this.#reply);
    for (const wake of [...this.#connectedWaiters]) wake();
  }

  #onEvent(event: Event): void {
    if (this.#eventQueue.length >= eventsMax)
      throw new PlatformError('Invalid', 'guest sends more unacknowledged events than agreed');
    this.#eventQueue.push(event);
    if (!this.#eventsRunning) void this.#handleEvents();
  }

  async #handleEvents(): Promise<void> {
    this.#eventsRunning = true;
    try {
      for (let event = this.#eventQueue.shift(); event !== undefined; event = this.#eventQueue.shift()) {
        if (event.sequence > this.#lastEvent) {
          await this.#options.onEvent(event);
          this.#lastEvent = event.sequence;
        }
        this.#send({ $case: 'eventAck', value: { sequence: event.sequence } });
      }
    } catch (error) {
      // Not durable, so not acknowledged: a new connection brings the event again.
      this.#options.log?.error({ err: error }, 'guest event could not be made durable');
      this.#socket?.destroy();
    } finally {
      this.#eventsRunning = false;
    }
  }

  #send(kind: NonNullable<HostMessage['kind']>): void {
    if (this.#reply !== undefined) this.#write(kind);
  }

  #write(kind: NonNullable<HostMessage['kind']>): void {
    const socket = this.#socket;
    if (socket === undefined || socket.destroyed) return;
    socket.write(encodeFrame(HostMessage.encode({ kind }).finish()));
    if (socket.writableLength <= unsentBytesMax) return;
    this.#options.log?.warn(
      { socketPath: this.#options.socketPath },
      'guest reads nothing; connecting again',
    );
    socket.destroy();
  }
}

function toOffset(value: bigint): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER))
    throw new PlatformError('Invalid', 'stream offset out of range');
  return Number(value);
}

type ResultValue<Case extends OperationResult['$case']> = Extract<OperationResult, { $case: Case }>['value'];

/** Narrows the result of a request to the expected kind; a guest that answers something else is Internal. */
export function expectResult<Case extends OperationResult['$case']>(
  result: OperationResult | undefined,
  kind: Case,
): ResultValue<Case> {
  if (result?.$case !== kind)
    throw new PlatformError('Internal', `guest answered ${result?.$case ?? 'nothing'} where ${kind} was due`);
  // The case was compared: the compiler cannot carry that over to the generic parameter.
  return (result as unknown as { readonly value: ResultValue<Case> }).value;
}
