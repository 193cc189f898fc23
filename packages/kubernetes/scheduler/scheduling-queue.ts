const backoffBaseMs = 1_000;
const backoffMaxMs = 10_000;

interface Entry {
  readonly key: string;
  readonly priority: number;
  readonly createdAt: string;
  attempts: number;
  /** Not before, after a failure. */
  notBeforeMs: number;
  state: 'ready' | 'unschedulable' | 'running';
  /** The cluster changed while it was being scheduled: do not park it. */
  retryAnyway: boolean;
}

/**
 * Pods waiting for a node: by priority, then by age. A pod that fitted nowhere is parked until the cluster changes, and then waits out its
 * backoff (1 to 10 s). Bounded by the number of unscheduled pods.
 */
export class SchedulingQueue {
  readonly #entries = new Map<string, Entry>();
  readonly #now: () => number;

  constructor(now: () => number) {
    this.#now = now;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** A new or changed pod; a change of its spec gives it another try at once. */
  add(
    pod: { readonly key: string; readonly priority: number; readonly createdAt: string },
    changed = false,
  ): void {
    const known = this.#entries.get(pod.key);
    if (known === undefined) {
      this.#entries.set(pod.key, { ...pod, attempts: 0, notBeforeMs: 0, state: 'ready', retryAnyway: false });
    } else if (changed) {
      if (known.state === 'running') known.retryAnyway = true;
      else known.state = 'ready';
    }
  }

  remove(key: string): void {
    this.#entries.delete(key);
  }

  /** Something changed that may make room: parked pods get another try after their backoff. */
  retryParked(): void {
    for (const entry of this.#entries.values()) {
      if (entry.state === 'unschedulable') entry.state = 'ready';
      else if (entry.state === 'running') entry.retryAnyway = true;
    }
  }

  /** The pod to schedule now, or how long until there is one (undefined: not before something changes). */
  next(): { readonly key: string } | { readonly waitMs: number | undefined } {
    const now = this.#now();
    let best: Entry | undefined;
    let waitMs: number | undefined;
    for (const entry of this.#entries.values()) {
      if (entry.state !== 'ready') continue;
      if (entry.notBeforeMs > now) {
        waitMs = Math.min(waitMs ?? Infinity, entry.notBeforeMs - now);
      } else if (best === undefined || goesBefore(entry, best)) {
        best = entry;
      }
    }
    if (best === undefined) return { waitMs };
    best.state = 'running';
    best.retryAnyway = false;
    return { key: best.key };
  }

  /** The pod `next` gave fitted nowhere (park) or its binding failed (try again after the backoff). */
  failed(key: string, park: boolean): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    entry.notBeforeMs =
      this.#now() + Math.min(backoffMaxMs, backoffBaseMs * 2 ** Math.min(entry.attempts, 10));
    entry.attempts += 1;
    entry.state = park && !entry.retryAnyway ? 'unschedulable' : 'ready';
  }
}

function goesBefore(left: Entry, right: Entry): boolean {
  if (left.priority !== right.priority) return left.priority > right.priority;
  return left.createdAt < right.createdAt;
}
