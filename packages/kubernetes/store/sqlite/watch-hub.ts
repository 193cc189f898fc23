import { PlatformError } from '@hypernetes/foundation/errors';
import type { StoreEvent, StoreWatch } from '../store.ts';
import { assertPrefix, type RevisionLog } from './revision-log.ts';

/** Live events a watcher may lag behind before it goes back to reading the log. */
const bufferMax = 1_000;
/** Revisions of the log read at a time for a watcher that catches up. */
const catchUpRevisions = 2_000;

type History = Pick<RevisionLog, 'revision' | 'events' | 'assertKept'>;

/**
 * Hands each committed event to the watchers of its prefixes: the cost of an event is the depth of its key plus the number of watchers it
 * concerns. A watcher reads the log until it is level with the present, then is fed from memory; when its buffer
 * overflows it reads the log again, so nobody slow costs memory or loses an event, until compaction overtakes it.
 */
export class WatchHub {
  readonly #history: History;
  readonly #live = new Map<string, Set<Watcher>>();
  readonly #all = new Set<Watcher>();

  constructor(history: History) {
    this.#history = history;
  }

  watch(prefix: string, fromRevision: number, signal: AbortSignal): StoreWatch {
    assertPrefix(prefix);
    const watcher = new Watcher(prefix, fromRevision, this.#history, signal, {
      enter: () => this.#enter(watcher),
      leave: () => this.#leave(watcher),
      ended: () => {
        this.#all.delete(watcher);
        this.#leave(watcher);
      },
    });
    this.#all.add(watcher);
    return watcher;
  }

  /** Events in revision order, committed just now. */
  publish(events: readonly StoreEvent[]): void {
    if (this.#live.size === 0) return;
    for (const event of events) {
      for (const prefix of prefixesOf(event.key)) {
        for (const watcher of this.#live.get(prefix) ?? []) watcher.push(event);
      }
    }
  }

  close(): void {
    for (const watcher of [...this.#all]) {
      watcher.fail(new PlatformError('Unavailable', 'watch: the store was closed'));
    }
  }

  #enter(watcher: Watcher): void {
    const together = this.#live.get(watcher.prefix) ?? new Set();
    together.add(watcher);
    this.#live.set(watcher.prefix, together);
  }

  #leave(watcher: Watcher): void {
    const together = this.#live.get(watcher.prefix);
    if (together?.delete(watcher) === true && together.size === 0) this.#live.delete(watcher.prefix);
  }
}

/** What a watched prefix can be for the key: everything, and each folder above it. */
function prefixesOf(key: string): string[] {
  const prefixes = [''];
  for (let index = key.indexOf('/'); index >= 0; index = key.indexOf('/', index + 1)) {
    prefixes.push(key.slice(0, index + 1));
  }
  return prefixes;
}

interface Membership {
  enter(): void;
  leave(): void;
  ended(): void;
}

/**
 * States: reading the log (`#live` false) or fed (`#live` true, member of the hub). Invariant: `#cursor` is the revision up to which every
 * event of the prefix is in `#buffer` or was yielded.
 */
class Watcher implements StoreWatch, AsyncIterator<StoreEvent> {
  readonly prefix: string;
  readonly #history: History;
  readonly #signal: AbortSignal;
  readonly #membership: Membership;
  readonly #onAbort = (): void => this.#end(undefined);
  #buffer: StoreEvent[] = [];
  #next = 0;
  #cursor: number;
  #live = false;
  #done = false;
  #error: PlatformError | undefined;
  #waiting: { resolve: () => void } | undefined;

  constructor(
    prefix: string,
    fromRevision: number,
    history: History,
    signal: AbortSignal,
    membership: Membership,
  ) {
    this.prefix = prefix;
    this.#cursor = fromRevision;
    this.#history = history;
    this.#signal = signal;
    this.#membership = membership;
    if (signal.aborted) this.#done = true;
    else signal.addEventListener('abort', this.#onAbort, { once: true });
  }

  get delivered(): number {
    const pending = this.#buffer[this.#next];
    if (pending !== undefined) return pending.revision - 1;
    return this.#live ? Math.max(this.#cursor, this.#history.revision) : this.#cursor;
  }

  [Symbol.asyncIterator](): AsyncIterator<StoreEvent> {
    return this;
  }

  async next(): Promise<IteratorResult<StoreEvent>> {
    for (;;) {
      if (this.#done) return this.#finish();
      const event = this.#buffer[this.#next];
      if (event !== undefined) {
        this.#next += 1;
        if (this.#next === this.#buffer.length) this.#clearBuffer();
        return { done: false, value: event };
      }
      if (this.#live) await this.#wait();
      else await this.#catchUp();
    }
  }

  return(): Promise<IteratorResult<StoreEvent>> {
    this.#end(undefined);
    return Promise.resolve({ done: true, value: undefined });
  }

  push(event: StoreEvent): void {
    if (event.revision <= this.#cursor) return;
    if (this.#buffer.length - this.#next >= bufferMax) {
      // What is buffered stays; the rest is read from the log when the reader gets there.
      this.#live = false;
      this.#membership.leave();
      return;
    }
    this.#buffer.push(event);
    this.#cursor = event.revision;
    this.#wake();
  }

  fail(error: PlatformError): void {
    this.#end(error);
  }

  /** Reads one stretch of the log; level with the present, it joins the hub in the same turn, so nothing falls between. */
  async #catchUp(): Promise<void> {
    const present = this.#history.revision;
    if (this.#cursor >= present) {
      try {
        this.#history.assertKept(this.#cursor);
      } catch (error) {
        this.#end(error as PlatformError);
        return;
      }
      this.#live = true;
      this.#membership.enter();
      return;
    }
    const to = Math.min(present, this.#cursor + catchUpRevisions);
    try {
      this.#buffer = this.#history.events(this.prefix, this.#cursor, to);
      this.#next = 0;
      this.#cursor = to;
    } catch (error) {
      this.#end(error as PlatformError);
      return;
    }
    // A long backlog must not keep the event loop from others.
    if (to < present) await new Promise((resolve) => setImmediate(resolve));
  }

  #wait(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting = { resolve };
    });
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve();
  }

  #clearBuffer(): void {
    this.#buffer = [];
    this.#next = 0;
  }

  #end(error: PlatformError | undefined): void {
    if (this.#done) return;
    this.#done = true;
    this.#error = error;
    this.#live = false;
    this.#clearBuffer();
    this.#signal.removeEventListener('abort', this.#onAbort);
    this.#membership.ended();
    this.#wake();
  }

  #finish(): IteratorResult<StoreEvent> {
    const error = this.#error;
    this.#error = undefined;
    if (error !== undefined) throw error;
    return { done: true, value: undefined };
  }
}
