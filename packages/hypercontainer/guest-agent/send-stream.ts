import { Writable } from 'node:stream';
import { PlatformError } from '@hypernetes/foundation/errors';
import { streamWindowBytes } from './receive-stream.ts';

const pieceBytes = 32 << 10;

/**
 * The host's end of a stream to the guest. Keeps what is not acknowledged, has at most the window of it in flight, and sends again from where
 * the guest stands after a reconnection. write() calls back when the bytes are in flight, end() when the end is.
 */
export class SendStream extends Writable {
  readonly id: number;
  readonly #send: (offset: number, data: Buffer, eof: boolean) => void;
  readonly #onClose: (properly: boolean) => void;
  /** Invariant: #pieces are the bytes from #acknowledged to #next. */
  #acknowledged: number;
  #next: number;
  #pieces: Buffer[] = [];
  #waiting: { data: Buffer; callback: (error?: Error | null) => void } | undefined;
  #ended = false;

  constructor(options: {
    readonly id: number;
    readonly offset: number;
    readonly send: (offset: number, data: Buffer, eof: boolean) => void;
    readonly onClose: (properly: boolean) => void;
  }) {
    super({ highWaterMark: pieceBytes });
    this.id = options.id;
    this.#acknowledged = options.offset;
    this.#next = options.offset;
    this.#send = options.send;
    this.#onClose = options.onClose;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#waiting = { data: chunk, callback };
    this.#pump();
  }

  override _final(callback: (error?: Error | null) => void): void {
    this.#ended = true;
    this.#send(this.#next, Buffer.alloc(0), true);
    callback();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#waiting?.callback(error);
    this.#waiting = undefined;
    // After a proper end (streams destroy themselves then) the guest may still need to hear everything again.
    if (!this.#ended) {
      this.#pieces = [];
      this.#onClose(false);
    }
    callback(error);
  }

  /** A StreamAck. Invalid when it acknowledges what was never sent. */
  onAcknowledge(offset: number): void {
    this.#accept(offset);
    this.#pump();
  }

  /** The connection is new and the guest has taken over what is below the offset: everything else again, then what is new. */
  resume(offset: number): void {
    this.#accept(offset);
    let at = this.#acknowledged;
    for (const piece of this.#pieces) {
      this.#send(at, piece, false);
      at += piece.length;
    }
    if (this.#ended && offset <= this.#next) this.#send(this.#next, Buffer.alloc(0), true);
    this.#pump();
  }

  #accept(offset: number): void {
    const end = this.#next + (this.#ended ? 1 : 0);
    if (offset > end)
      throw new PlatformError('Invalid', `stream ${this.id}: acknowledges ${offset} of ${this.#next}`);
    this.#dropBelow(offset);
    if (this.#ended && offset === end) this.#onClose(true);
  }

  onReset(reason: string): void {
    this.#ended = false;
    this.destroy(new PlatformError('Unavailable', `the guest closed the stream: ${reason}`));
  }

  #dropBelow(offset: number): void {
    while (this.#acknowledged < offset) {
      const first = this.#pieces[0];
      if (first === undefined) return;
      const count = Math.min(first.length, offset - this.#acknowledged);
      this.#acknowledged += count;
      if (count === first.length) this.#pieces.shift();
      else this.#pieces[0] = first.subarray(count);
    }
  }

  #pump(): void {
    while (this.#waiting !== undefined) {
      const room = streamWindowBytes - (this.#next - this.#acknowledged);
      if (room <= 0) return;
      const { data, callback } = this.#waiting;
      // A copy: the writer may use its buffer again after the callback, we may have to send it again.
      const piece = Buffer.from(data.subarray(0, Math.min(room, pieceBytes)));
      if (piece.length > 0) {
        this.#pieces.push(piece);
        this.#send(this.#next, piece, false);
        this.#next += piece.length;
      }
      const rest = data.subarray(piece.length);
      if (rest.length === 0) {
        this.#waiting = undefined;
        callback();
      } else this.#waiting = { data: rest, callback };
    }
  }
}
