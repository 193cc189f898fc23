/** What keeps something from being started. */
export type Trouble =
  /** A block device that cannot be attached: it becomes free without anybody telling, so it is asked for often. */
  | 'attach'
  /** The container's own configuration: something it names is missing. */
  | 'config'
  /** The files of a volume. */
  | 'volume'
  | 'sandbox'
  /** The runtime would not make or start it. */
  | 'runtime';

const firstDelayMs = 500;
const delayMsMax: Readonly<Record<Trouble, number>> = {
  attach: 10_000,
  config: 10_000,
  volume: 120_000,
  sandbox: 30_000,
  runtime: 120_000,
};

interface Failure {
  readonly trouble: Trouble;
  readonly message: string;
  readonly delayMs: number;
  readonly retryAtMs: number;
}

/** When to try again what failed to start, by key: 500 ms after the first failure, then twice as long each time. */
export class StartBackOff {
  readonly #failures = new Map<string, Failure>();

  /** Counts a failure; false: one inside the delay of the last, with the same message, which counts as that one. */
  fail(key: string, trouble: Trouble, message: string, nowMs: number): boolean {
    const last = this.#failures.get(key);
    if (last !== undefined && nowMs < last.retryAtMs && last.message === message) return false;
    const delayMs = last === undefined ? firstDelayMs : Math.min(delayMsMax[trouble], last.delayMs * 2);
    this.#failures.set(key, { trouble, message, delayMs, retryAtMs: nowMs + delayMs });
    return true;
  }

  /** Whether it is too early to try again. */
  waits(key: string, nowMs: number): boolean {
    return nowMs < (this.#failures.get(key)?.retryAtMs ?? 0);
  }

  /** The end of the delay; undefined without a failure. */
  retryAtMs(key: string): number | undefined {
    return this.#failures.get(key)?.retryAtMs;
  }

  /** It was started. */
  clear(key: string): void {
    this.#failures.delete(key);
  }

  /** What caused this kind of trouble has changed. */
  clearTrouble(trouble: Trouble): void {
    for (const [key, failure] of this.#failures) if (failure.trouble === trouble) this.#failures.delete(key);
  }
}
