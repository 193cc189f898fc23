import { backoffDelayMs } from './waiting.ts';
import { toPlatformError, type PlatformError } from '../errors/index.ts';

/** Makes the world match for one key. A throw backs off and comes again; a returned requeueAfterMs waits for the world. */
export type Reconcile = (
  key: string,
  signal: AbortSignal,
) => Promise<{ readonly requeueAfterMs?: number } | undefined>;

export interface WorkQueueOptions {
  readonly concurrency?: number;
  readonly baseDelayMs?: number;
  readonly maxDelayMs?: number;
  readonly onError?: (key: string, error: PlatformError, attempt: number) => void;
}

/**
 * Level-triggered queue of keys: a key waits at most once, is never worked on twice at the same time, and a key added while it is being
 * worked on is worked on again afterwards. Bounded by the number of distinct keys.
 */
export class WorkQueue implements AsyncDisposable {
  readonly #ready = new Set<string>();
  readonly #running = new Set<string>();
  readonly #dirty = new Set<string>();
  readonly #delayed = new Map<string, NodeJS.Timeout>();
  readonly #failures = new Map<string, number>();
  readonly #work = new Set<Promise<void>>();
  readonly #abort = new AbortController();
  readonly #reconcile: Reconcile;
  readonly #options: WorkQueueOptions;

  constructor(reconcile: Reconcile, options: WorkQueueOptions = {}) {
    this.#reconcile = reconcile;
    this.#options = options;
  }

  add(key: string): void {
    if (this.#abort.signal.aborted) return;
    this.#cancelDelay(key);
    if (this.#running.has(key)) {
      this.#dirty.add(key);
      return;
    }
    this.#ready.add(key);
    this.#pump();
  }

  addAfter(key: string, delayMs: number): void {
    if (this.#abort.signal.aborted) return;
    this.#cancelDelay(key);
    this.#delayed.set(
      key,
      setTimeout(() => {
        this.#delayed.delete(key);
        this.add(key);
      }, delayMs),
    );
  }

  /** Nothing waits and nothing runs (delayed keys do not count). */
  get idle(): boolean {
    return this.#ready.size === 0 && this.#running.size === 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    for (const timer of this.#delayed.values()) clearTimeout(timer);
    this.#delayed.clear();
    this.#ready.clear();
    await Promise.allSettled(this.#work);
  }

  #cancelDelay(key: string): void {
    clearTimeout(this.#delayed.get(key));
    this.#delayed.delete(key);
  }

  #pump(): void {
    while (this.#running.size < (this.#options.concurrency ?? 4)) {
      const next = this.#ready.values().next();
      if (next.done === true) return;
      const key = next.value;
      this.#ready.delete(key);
      this.#running.add(key);
      const work = this.#runOne(key).finally(() => {
        this.#work.delete(work);
        this.#pump();
      });
      this.#work.add(work);
    }
  }

  async #runOne(key: string): Promise<void> {
    try {
      const result = await this.#reconcile(key, this.#abort.signal);
      this.#failures.delete(key);
      if (result?.requeueAfterMs !== undefined) this.addAfter(key, result.requeueAfterMs);
    } catch (error) {
      const attempt = this.#failures.get(key) ?? 0;
      this.#failures.set(key, attempt + 1);
      this.#options.onError?.(key, toPlatformError(error), attempt);
      this.addAfter(
        key,
        backoffDelayMs(attempt, this.#options.baseDelayMs ?? 50, this.#options.maxDelayMs ?? 30_000),
      );
    } finally {
      this.#running.delete(key);
      if (this.#dirty.delete(key)) this.add(key);
    }
  }
}
