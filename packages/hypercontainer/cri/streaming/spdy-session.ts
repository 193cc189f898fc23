import { Duplex } from 'node:stream';
import { PlatformError, toPlatformError } from '@hypernetes/foundation/errors';
import {
  encodeFrame,
  goAwayStatus,
  rstStatus,
  settingInitialWindow,
  SpdyFrameParser,
  type SpdyFrame,
} from './spdy-frames.ts';
import { SpdyHeaderReader, SpdyHeaderWriter, type SpdyHeaders } from './spdy-headers.ts';

/** What we take per stream before the reader has read it; announced to peers that keep to windows. */
const receiveWindowBytes = 256 << 10;
const frameDataBytesMax = 64 << 10;
const defaultWindowBytes = 64 << 10;
const windowBytesMax = 0x7fff_ffff;
const streamsMax = 2_000;
const finishTimeoutMs = 1_000;
/** A peer that does not read is not read either beyond this: every ping and every stream it opens asks for an answer. */
const unsentBytesMax = 1 << 20;

export interface SpdySessionOptions {
  readonly role: 'server' | 'client';
  /** A stream the peer has opened; it has been answered. To refuse it: reset(). */
  readonly onStream?: (stream: SpdyStream) => void;
}

/** What a stream needs of its session. */
interface SessionPort {
  sendData(stream: SpdyStream, bytes: Buffer, fin: boolean): Promise<void>;
  sendReset(stream: SpdyStream, status: number): void;
  credit(stream: SpdyStream, bytes: number): void;
  forget(stream: SpdyStream): void;
}

/** One stream of a SPDY session: a Duplex whose halves close on their own. end() is half-close, destroy() a reset. */
export class SpdyStream extends Duplex {
  readonly id: number;
  readonly headers: SpdyHeaders;
  readonly #port: SessionPort;
  #received = 0;
  #credited = 0;
  #remoteEnded = false;
  #localEnded = false;
  #isGone = false;
  #wakeReceiver: (() => void) | undefined;

  constructor(port: SessionPort, id: number, headers: SpdyHeaders) {
    super({ allowHalfOpen: true, readableHighWaterMark: 64 << 10, writableHighWaterMark: 64 << 10 });
    this.#port = port;
    this.id = id;
    this.headers = headers;
    // A reset stream is an event of every day; who cares for it listens too.
    this.on('error', () => undefined);
  }

  /** Both directions are over. */
  get isFinished(): boolean {
    return this.#remoteEnded && this.#localEnded;
  }

  /** Refuses the stream. */
  reset(): void {
    this.destroy();
  }

  /** Bytes from the peer. Resolves when more may be read from the connection: a stream that is not read stops it. */
  async receive(bytes: Buffer): Promise<void> {
    if (this.destroyed || this.#remoteEnded) return;
    this.#received += bytes.length;
    if (bytes.length > 0) this.push(bytes);
    this.#account();
    while (this.readableLength > receiveWindowBytes && !this.#isGone) {
      await new Promise<void>((resolve) => (this.#wakeReceiver = resolve));
    }
  }

  /** The peer sends nothing more. */
  receiveEnd(): void {
    if (this.#remoteEnded || this.destroyed) return;
    this.#remoteEnded = true;
    this.push(null);
    if (this.isFinished) this.#port.forget(this);
  }

  /** The peer gave up the stream, or the connection is gone. */
  receiveReset(error: PlatformError | undefined): void {
    this.#localEnded = true;
    this.#remoteEnded = true;
    this.destroy(error);
  }

  override _read(): void {
    // Nothing to ask for: the connection brings data by itself.
  }

  /** Every way to take data out of the buffer comes through here (or, with an empty buffer, past it: see receive). */
  override read(size?: number): Buffer | null {
    const chunk = super.read(size) as Buffer | null;
    this.#account();
    return chunk;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#port.sendData(this, chunk, false).then(() => callback(), callback);
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#port.sendData(this, Buffer.alloc(0), true).then(() => {
      this.#localEnded = true;
      if (this.isFinished) this.#port.forget(this);
      callback();
    }, callback);
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    if (!this.isFinished) this.#port.sendReset(this, rstStatus.cancel);
    this.#port.forget(this);
    this.#isGone = true;
    this.#wake();
    callback(error);
  }

  /** Opens the peer's window by what has been taken, and the connection when there is room again. */
  #account(): void {
    const consumed = this.#received - this.readableLength - this.#credited;
    if (consumed >= receiveWindowBytes / 4 && !this.#remoteEnded) {
      this.#credited += consumed;
      this.#port.credit(this, consumed);
    }
    if (this.readableLength <= receiveWindowBytes) this.#wake();
  }

  #wake(): void {
    const wake = this.#wakeReceiver;
    this.#wakeReceiver = undefined;
    wake?.();
  }
}

/**
 * One SPDY/3.1 connection over any byte stream. Windows of the peer are honoured from the moment it announces one: the programs of Kubernetes speak SPDY
 * without flow control and would never open a window again. Against those the connection's own back-pressure works; a stream that is not read then
 * holds up its connection after 256 KiB, never memory.
 */
export class SpdySession implements AsyncDisposable {
  readonly #transport: Duplex;
  readonly #options: SpdySessionOptions;
  readonly #parser = new SpdyFrameParser();
  readonly #reader = new SpdyHeaderReader();
  readonly #writer = new SpdyHeaderWriter();
  readonly #streams = new Map<number, SpdyStream>();
  readonly #windows = new Map<number, number>();
  readonly #windowWaiters = new Map<number, () => void>();
  #peerWindow: number | undefined;
  #nextId: number;
  #lastPeerId = 0;
  #isOver = false;
  readonly #closed: Promise<void>;

  constructor(transport: Duplex, options: SpdySessionOptions) {
    this.#transport = transport;
    this.#options = options;
    this.#nextId = options.role === 'client' ? 1 : 2;
    transport.on('error', () => undefined); // the read loop ends with it
    this.#send({ type: 'settings', values: new Map([[settingInitialWindow, receiveWindowBytes]]) });
    this.#closed = this.#run();
  }

  /** Resolves when the connection is over, for whatever reason; all streams are destroyed then. */
  get closed(): Promise<void> {
    return this.#closed;
  }

  get streamCount(): number {
    return this.#streams.size;
  }

  /** Opens a stream to the peer. */
  openStream(headers: SpdyHeaders): SpdyStream {
    if (this.#isOver) throw new PlatformError('Unavailable', 'SPDY: the connection is closed');
    const streamId = this.#nextId;
    this.#nextId += 2;
    const headerBlock = this.#writer.write(headers);
    this.#send({ type: 'synStream', streamId, fin: false, unidirectional: false, headerBlock });
    return this.#add(streamId, headers);
  }

  /** Says goodbye and ends the connection, once everything written is sent. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isOver) {
      this.#send({ type: 'goAway', lastStreamId: this.#lastPeerId, status: goAwayStatus.ok });
      await this.#finishTransport();
    }
    await this.#closed;
  }

  async #run(): Promise<void> {
    try {
      // The connection must outlive the loop: a peer that erred is told.
      for await (const chunk of this.#transport.iterator({
        destroyOnReturn: false,
      }) as AsyncIterable<Buffer>) {
        for (const frame of this.#parser.push(chunk)) {
          await this.#receive(frame);
          if (this.#transport.writableLength > unsentBytesMax) await this.#drained();
        }
      }
    } catch (thrown) {
      // Broken by the peer's frames or by the network: either way it is over.
      if (toPlatformError(thrown).reason === 'Invalid') {
        this.#send({ type: 'goAway', lastStreamId: this.#lastPeerId, status: goAwayStatus.protocolError });
      }
    } finally {
      this.#end();
    }
  }

  async #drained(): Promise<void> {
    const transport = this.#transport;
    if (transport.destroyed || !transport.writableNeedDrain) return;
    await new Promise<void>((resolve) => {
      const settle = (): void => {
        transport.off('drain', settle);
        transport.off('close', settle);
        resolve();
      };
      transport.on('drain', settle);
      transport.on('close', settle);
    });
  }

  #end(): void {
    this.#isOver = true;
    const gone = new PlatformError('Unavailable', 'SPDY: the connection is closed');
    for (const stream of [...this.#streams.values()]) stream.receiveReset(gone);
    for (const wake of [...this.#windowWaiters.values()]) wake();
    this.#reader[Symbol.dispose]();
    void this.#finishTransport();
  }

  /** Ends the connection once everything written is sent, or after a while. */
  async #finishTransport(): Promise<void> {
    const transport = this.#transport;
    if (transport.writable) {
      await new Promise<void>((resolve) => {
        const giveUp = setTimeout(resolve, finishTimeoutMs);
        transport.once('close', resolve);
        transport.end(() => {
          clearTimeout(giveUp);
          resolve();
        });
      });
    }
    transport.destroy();
  }

  async #receive(frame: SpdyFrame): Promise<void> {
    switch (frame.type) {
      case 'synStream':
        await this.#receiveSynStream(frame);
        return;
      case 'synReply':
      case 'headers':
        await this.#reader.read(frame.headerBlock); // keeps the decompressor in step
        if (frame.fin) this.#streams.get(frame.streamId)?.receiveEnd();
        return;
      case 'data':
        await this.#receiveData(frame);
        return;
      case 'rstStream':
        this.#streams.get(frame.streamId)?.receiveReset(undefined);
        return;
      case 'settings':
        this.#receiveSettings(frame.values);
        return;
      case 'windowUpdate':
        this.#widen(frame.streamId, frame.delta);
        return;
      case 'ping':
        // Odd identifiers are the client's: what is not ours is echoed.
        if ((frame.id % 2 === 1) !== (this.#options.role === 'client')) this.#send(frame);
        return;
      case 'goAway':
        return; // the peer will open no more streams; those there are go on
    }
  }

  async #receiveSynStream(frame: Extract<SpdyFrame, { type: 'synStream' }>): Promise<void> {
    const headers = await this.#reader.read(frame.headerBlock);
    const { streamId } = frame;
    const isPeers = (streamId % 2 === 1) === (this.#options.role === 'server');
    if (!isPeers || streamId <= this.#lastPeerId) {
      throw new PlatformError('Invalid', `SPDY: stream ${streamId} out of order`);
    }
    this.#lastPeerId = streamId;
    if (this.#options.onStream === undefined || this.#streams.size >= streamsMax) {
      this.#send({ type: 'rstStream', streamId, status: rstStatus.refusedStream });
      return;
    }
    const stream = this.#add(streamId, headers);
    this.#send({ type: 'synReply', streamId, fin: false, headerBlock: this.#writer.write({}) });
    if (frame.fin) stream.receiveEnd();
    this.#options.onStream(stream);
  }

  async #receiveData(frame: Extract<SpdyFrame, { type: 'data' }>): Promise<void> {
    const stream = this.#streams.get(frame.streamId);
    if (stream === undefined) {
      // Of a stream that ended a moment ago, or never was: told once per frame, at its end.
      if (frame.fin) return;
      if (frame.streamId > this.#lastPeerId && frame.streamId >= this.#nextId) {
        throw new PlatformError('Invalid', `SPDY: data for stream ${frame.streamId}, which was never opened`);
      }
      return;
    }
    await stream.receive(frame.bytes);
    if (frame.fin) stream.receiveEnd();
  }

  #receiveSettings(values: ReadonlyMap<number, number>): void {
    const announced = values.get(settingInitialWindow);
    if (announced === undefined) return;
    const window = Math.min(announced, windowBytesMax);
    const before = this.#peerWindow ?? defaultWindowBytes;
    this.#peerWindow = window;
    for (const streamId of this.#streams.keys()) this.#widen(streamId, window - before);
  }

  #widen(streamId: number, delta: number): void {
    if (!this.#streams.has(streamId)) return;
    const window = (this.#windows.get(streamId) ?? defaultWindowBytes) + delta;
    if (window > windowBytesMax)
      throw new PlatformError('Invalid', `SPDY: window of stream ${streamId} too large`);
    this.#windows.set(streamId, window);
    this.#windowWaiters.get(streamId)?.();
  }

  #add(streamId: number, headers: SpdyHeaders): SpdyStream {
    const stream = new SpdyStream(
      {
        sendData: async (from, bytes, fin) => await this.#sendData(from, bytes, fin),
        sendReset: (from, status) => this.#send({ type: 'rstStream', streamId: from.id, status }),
        credit: (from, bytes) => this.#send({ type: 'windowUpdate', streamId: from.id, delta: bytes }),
        forget: (from) => this.#forget(from),
      },
      streamId,
      headers,
    );
    this.#streams.set(streamId, stream);
    this.#windows.set(streamId, this.#peerWindow ?? defaultWindowBytes);
    return stream;
  }

  #forget(stream: SpdyStream): void {
    this.#streams.delete(stream.id);
    this.#windows.delete(stream.id);
    this.#windowWaiters.get(stream.id)?.();
  }

  async #sendData(stream: SpdyStream, bytes: Buffer, fin: boolean): Promise<void> {
    if (fin) {
      await this.#sendNow({ type: 'data', streamId: stream.id, fin, bytes });
      return;
    }
    for (let at = 0; at < bytes.length;) {
      const allowed = Math.min(frameDataBytesMax, await this.#window(stream));
      const part = bytes.subarray(at, at + allowed);
      at += part.length;
      const left = this.#windows.get(stream.id);
      if (left !== undefined) this.#windows.set(stream.id, left - part.length);
      await this.#sendNow({ type: 'data', streamId: stream.id, fin: false, bytes: part });
    }
  }

  /** How many bytes may be sent on a stream; waits while it is none. */
  async #window(stream: SpdyStream): Promise<number> {
    for (;;) {
      if (this.#isOver || stream.destroyed)
        throw new PlatformError('Unavailable', 'SPDY: the stream is closed');
      const window = this.#windows.get(stream.id);
      if (this.#peerWindow === undefined || window === undefined) return frameDataBytesMax;
      if (window > 0) return window;
      await new Promise<void>((resolve) => this.#windowWaiters.set(stream.id, resolve));
      this.#windowWaiters.delete(stream.id);
    }
  }

  #send(frame: SpdyFrame): void {
    if (this.#transport.writable) this.#transport.write(encodeFrame(frame));
  }

  async #sendNow(frame: SpdyFrame): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      if (!this.#transport.writable) {
        reject(new PlatformError('Unavailable', 'SPDY: the connection is closed'));
        return;
      }
      this.#transport.write(encodeFrame(frame), (error) => {
        if (!(error instanceof Error)) resolve();
        else reject(new PlatformError('Unavailable', `SPDY: ${error.message}`, { cause: error }));
      });
    });
  }
}
