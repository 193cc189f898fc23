import type { Logger } from '@hypernetes/foundation/logging';
import type { StreamedResponse } from '../http/responder.ts';

/** A watcher that has this much unsent is cut: it lists again, and nobody else waits for it. */
const maxQueuedEvents = 16_384;
const maxQueuedBytes = 64 << 20;

/** Events on their way to one client: never waits for it, never grows without bound. */
export class WatchStream {
  readonly #response: StreamedResponse;
  readonly #signal: AbortSignal;
  readonly #log: Logger;
  readonly #done = new AbortController();
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #writing = false;
  #ended = false;

  constructor(response: StreamedResponse, signal: AbortSignal, log: Logger) {
    this.#response = response;
    this.#signal = signal;
    this.#log = log;
    signal.addEventListener('abort', () => this.#finish(), { once: true });
  }

  /** Fires when the stream is over, for whatever reason. */
  get done(): AbortSignal {
    return this.#done.signal;
  }

  send(bytes: Uint8Array): void {
    if (this.#ended) return;
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.length;
    // What the watch began with is one chunk, however large: cutting it would only bring the client back for the same.
    const tooMuch = this.#queue.length > maxQueuedEvents || this.#queuedBytes > maxQueuedBytes;
    if (this.#queue.length > 1 && tooMuch) {
      this.#log.warn({ events: this.#queue.length, bytes: this.#queuedBytes }, 'watcher too slow, cut');
      this.#finish();
      this.#response.cut();
      return;
    }
    if (!this.#writing) void this.#write();
  }

  /** Sends what is queued, then ends the answer properly. */
  end(): void {
    this.#ended = true;
    if (!this.#writing) void this.#write();
  }

  async #write(): Promise<void> {
    this.#writing = true;
    while (this.#queue.length > 0 && !this.#done.signal.aborted) {
      const batch = this.#queue;
      this.#queue = [];
      this.#queuedBytes = 0;
      if (!this.#response.write(Buffer.concat(batch))) {
        await this.#response.drained(this.#signal);
      }
    }
    this.#writing = false;
    if (this.#ended && !this.#done.signal.aborted) {
      this.#finish();
      this.#response.end();
    }
  }

  #finish(): void {
    this.#ended = true;
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#done.abort();
  }
}
