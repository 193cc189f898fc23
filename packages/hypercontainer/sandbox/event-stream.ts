import type { SandboxEvent } from './sandbox-service.ts';

/** A listener this far behind has lost interest: its stream ends, and it lists again. */
const backlogMax = 10_000;

interface Listener {
  readonly queue: SandboxEvent[];
  wake: () => void;
}

/** Sends every event to every listener, each at its own pace within a bound. */
export class EventStream {
  readonly #listeners = new Set<Listener>();

  publish(event: SandboxEvent): void {
    for (const listener of [...this.#listeners]) {
      listener.queue.push(event);
      if (listener.queue.length > backlogMax) this.#listeners.delete(listener);
      listener.wake();
    }
  }

  /** Events from the call on, until the signal fires or the listener falls too far behind. */
  listen(signal: AbortSignal): AsyncIterable<SandboxEvent> {
    const listener: Listener = { queue: [], wake: () => undefined };
    this.#listeners.add(listener);
    signal.addEventListener(
      'abort',
      () => {
        this.#listeners.delete(listener);
        listener.wake();
      },
      { once: true },
    );
    return this.#drain(listener);
  }

  async *#drain(listener: Listener): AsyncGenerator<SandboxEvent> {
    try {
      for (;;) {
        const next = listener.queue.shift();
        if (next !== undefined) yield next;
        else if (!this.#listeners.has(listener)) return;
        else
          await new Promise<void>((resolve) => {
            listener.wake = resolve;
          });
      }
    } finally {
      this.#listeners.delete(listener);
    }
  }
}
