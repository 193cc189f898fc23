/** Messages a subscriber may be behind before it gets the present state anew instead. */
const backlogMax = 1_024;

interface Subscriber<T> {
  backlog: T[];
  /** Fell behind: the backlog was dropped. */
  lost: boolean;
  wake: () => void;
}

/** One sender, many readers at their own pace: each first reads the present state, then what is sent after. Bounded per reader. */
export class Broadcast<T> {
  readonly #subscribers = new Set<Subscriber<T>>();
  #closed = false;

  send(message: T): void {
    for (const subscriber of this.#subscribers) {
      if (subscriber.backlog.length >= backlogMax) {
        subscriber.backlog = [];
        subscriber.lost = true;
      }
      if (!subscriber.lost) subscriber.backlog.push(message);
      subscriber.wake();
    }
  }

  /** Ends every reader. */
  close(): void {
    this.#closed = true;
    for (const subscriber of this.#subscribers) subscriber.wake();
  }

  /**
   * What `present` answers, then every message sent from then on; `present` again after the reader fell too far behind. It is called in
   * the same turn as the subscription takes effect, so nothing is missed between the two.
   */
  async *subscribe(signal: AbortSignal, present: () => readonly T[]): AsyncGenerator<T> {
    let wake: () => void = () => undefined;
    const subscriber: Subscriber<T> = { backlog: [], lost: true, wake: () => wake() };
    this.#subscribers.add(subscriber);
    const onAbort = (): void => wake();
    signal.addEventListener('abort', onAbort);
    try {
      const ended = (): boolean => signal.aborted || this.#closed;
      while (!ended()) {
        const batch = subscriber.lost ? present() : subscriber.backlog;
        subscriber.lost = false;
        subscriber.backlog = [];
        yield* batch;
        if (isBehind(subscriber) || ended()) continue;
        await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      signal.removeEventListener('abort', onAbort);
      this.#subscribers.delete(subscriber);
    }
  }
}

function isBehind(subscriber: Subscriber<unknown>): boolean {
  return subscriber.lost || subscriber.backlog.length > 0;
}
