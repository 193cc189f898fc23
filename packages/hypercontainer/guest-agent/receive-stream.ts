import { Readable } from 'node:stream';
import { PlatformError } from '@hypernetes/foundation/errors';

/** Bytes one side may have in flight without an acknowledgement (STREAM_WINDOW of the contract). */
export const streamWindowBytes = 65_536;

/**
 * Takes bytes over for good and says how many of them, from the start. What it left comes again together with later bytes. With `eof` nothing
 * follows: it must take all. Called once at a time. A throw ends the stream.
 */
export type StreamConsumer = (data: Buffer, offset: number, eof: boolean) => Promise<number>;

/** The host's end of a stream from the guest: nothing is acknowledged before the consumer took it. */
export class ReceiveStream {
  readonly id: number;
  /** Settles when the stream is over: true after a proper end that was taken over, false after a reset from either side. */
  readonly finished: Promise<boolean>;
  readonly #consumer: StreamConsumer;
  readonly #acknowledge: (offset: number) => void;
  readonly #abandon: (reason: string) => void;
  #finish: (properly: boolean) => void = () => undefined;
  /** Invariant: #taken <= #received <= #taken + window; #buffer holds exactly the bytes between them. */
  #taken: number;
  #received: number;
  #buffer: Buffer[] = [];
  #ended = false;
  #over = false;
  #pumping = false;
  #lastActivity = Date.now();

  constructor(options: {
    readonly id: number;
    readonly offset: number;
    readonly consumer: StreamConsumer;
    readonly acknowledge: (offset: number) => void;
    readonly abandon: (reason: string) => void;
  }) {
    this.id = options.id;
    this.#taken = options.offset;
    this.#received = options.offset;
    this.#consumer = options.consumer;
    this.#acknowledge = options.acknowledge;
    this.#abandon = options.abandon;
    this.finished = new Promise((resolve) => {
      this.#finish = resolve;
    });
  }

  /** All bytes below are taken over for good; one more than the length once the end is. */
  get taken(): number {
    return this.#taken;
  }

  get over(): boolean {
    return this.#over;
  }

  /** Bytes received that the consumer has not taken. */
  get pendingBytes(): number {
    return this.#received - this.#taken;
  }

  /** Milliseconds since the guest last sent something or the consumer took something. */
  get idleMs(): number {
    return Date.now() - this.#lastActivity;
  }

  /** A StreamData of the guest. Invalid when the guest breaks the contract. */
  onData(offset: number, data: Buffer, eof: boolean): void {
    if (this.#over) return;
    this.#lastActivity = Date.now();
    if (offset > this.#received)
      throw new PlatformError('Invalid', `stream ${this.id}: data at ${offset}, expected ${this.#received}`);
    const fresh = data.subarray(Math.min(data.length, this.#received - offset));
    if (this.#received + fresh.length > this.#taken + streamWindowBytes)
      throw new PlatformError('Invalid', `stream ${this.id}: more than the window in flight`);
    if (fresh.length > 0 && this.#ended)
      throw new PlatformError('Invalid', `stream ${this.id}: data after its end`);
    // A copy: the guest chooses how large the message is that a single byte came in, and this may wait for its reader.
    if (fresh.length > 0) this.#buffer.push(Buffer.from(fresh));
    this.#received += fresh.length;
    // A repeated eof is at or below what was received; only one that is exactly at the end counts.
    const endsNow = eof && offset + data.length === this.#received && !this.#ended;
    if (endsNow) this.#ended = true;
    if (fresh.length > 0 || endsNow) void this.#pump();
  }

  onReset(): void {
    this.#end(false);
  }

  /** The host wants no more of it. */
  cancel(reason: string): void {
    if (this.#over) return;
    this.#abandon(reason);
    this.#end(false);
  }

  #end(properly: boolean): void {
    if (this.#over) return;
    this.#over = true;
    this.#buffer = [];
    this.#finish(properly);
  }

  async #pump(): Promise<void> {
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      while (!this.#over && (await this.#pumpOnce()));
    } catch (error) {
      this.cancel(error instanceof Error ? error.message : 'consumer failed');
    } finally {
      this.#pumping = false;
    }
  }

  /** True: there may be more to do. */
  async #pumpOnce(): Promise<boolean> {
    const receivedBefore = this.#received;
    const endedBefore = this.#ended;
    const data = this.#buffer.length === 1 && this.#buffer[0] ? this.#buffer[0] : Buffer.concat(this.#buffer);
    if (data.length === 0 && !endedBefore) return false;
    this.#buffer = [data];
    const count = await this.#consumer(data, this.#taken, endedBefore);
    if (this.over) return false;
    this.#take(data, count);
    if (endedBefore) {
      if (count !== data.length)
        throw new PlatformError('Internal', `stream ${this.id}: consumer left data at the end`);
      this.#taken += 1;
      this.#acknowledge(this.#taken);
      this.#end(true);
      return false;
    }
    if (count > 0) this.#acknowledge(this.#taken);
    return count > 0 || this.#received !== receivedBefore || this.#ended !== endedBefore;
  }

  #take(data: Buffer, count: number): void {
    if (!Number.isInteger(count) || count < 0 || count > data.length)
      throw new PlatformError('Internal', `stream ${this.id}: consumer took ${count} of ${data.length}`);
    this.#lastActivity = Date.now();
    this.#taken += count;
    const later = this.#buffer.slice(1);
    this.#buffer = count === data.length ? later : [data.subarray(count), ...later];
  }
}

/**
 * A consumer that feeds a node Readable: bytes count as taken over when the reader has asked for more after them. Destroying the Readable
 * gives the stream up.
 */
export function readableConsumer(onDestroy: (reason: string) => void): {
  readonly readable: Readable;
  readonly consumer: StreamConsumer;
} {
  let wanted: (() => void) | undefined;
  let destroyed = false;
  let ended = false;
  const readable = new Readable({
    // One byte: read() is called only when everything pushed before has been taken out.
    highWaterMark: 1,
    read: () => {
      wanted?.();
      wanted = undefined;
    },
    destroy: (error, callback) => {
      destroyed = true;
      wanted?.();
      // After its end the stream destroys itself; the bytes are taken over all the same.
      if (!ended) onDestroy(error?.message ?? 'reader went away');
      callback(error);
    },
  });
  const consumer: StreamConsumer = async (data, _offset, eof) => {
    if (destroyed) throw new PlatformError('Canceled', 'reader went away');
    if (data.length > 0) {
      const taken = new Promise<void>((resolve) => {
        wanted = resolve;
      });
      readable.push(data);
      await taken;
    }
    if (eof) {
      ended = true;
      readable.push(null);
    }
    return data.length;
  };
  return { readable, consumer };
}
