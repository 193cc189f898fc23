import { randomBytes } from 'node:crypto';
import { isPlatformError, toPlatformError } from '@hypernetes/foundation/errors';
import { systemClock, type Clock } from '@hypernetes/foundation/lifecycle';
import { createLogger } from '@hypernetes/foundation/logging';
import type { Event } from './kinds.ts';
import type { KubeClient } from './kube-client.ts';
import { resources } from './resources.ts';

const log = createLogger('kubernetes:events');
/** Events waiting to be written; more are dropped, for events are no record of state. */
const queueMax = 1_000;
/** Kinds of events remembered for counting up. */
const rememberedMax = 4_096;
const rememberedMs = 10 * 60_000;
/** Per object: this many at once, then one per refill time. */
const burst = 25;
const refillMs = 60_000;
const messageCharactersMax = 1_024;
const drainMs = 2_000;

/** What an event is about. */
export interface EventObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
  };
}

/** Records core v1 Events: equal ones count up, a storm about one object is cut off, and writing never holds the caller up. */
export interface EventRecorder extends AsyncDisposable {
  /** `fieldPath` names a part of the object, as in spec.containers{nginx}. */
  event(
    object: EventObject,
    type: 'Normal' | 'Warning',
    reason: string,
    message: string,
    fieldPath?: string,
  ): void;
}

interface Remembered {
  readonly name: string;
  readonly namespace: string;
  count: number;
  lastAtMs: number;
}

interface Pending {
  readonly object: EventObject;
  readonly type: string;
  readonly reason: string;
  readonly message: string;
  readonly fieldPath: string | undefined;
  readonly atMs: number;
}

/** A recorder; `component` and `host` become the events' source. */
export function createEventRecorder(options: {
  readonly client: KubeClient;
  readonly component: string;
  readonly host?: string;
  readonly clock?: Clock;
}): EventRecorder {
  return new QueueingEventRecorder(
    options.client,
    options.component,
    options.host,
    options.clock ?? systemClock,
  );
}

class QueueingEventRecorder implements EventRecorder {
  readonly #client: KubeClient;
  readonly #component: string;
  readonly #host: string | undefined;
  readonly #clock: Clock;
  readonly #queue: Pending[] = [];
  readonly #remembered = new Map<string, Remembered>();
  readonly #buckets = new Map<string, { tokens: number; atMs: number }>();
  #draining: Promise<void> | undefined;
  #closed = false;

  constructor(client: KubeClient, component: string, host: string | undefined, clock: Clock) {
    this.#client = client;
    this.#component = component;
    this.#host = host;
    this.#clock = clock;
  }

  event(
    object: EventObject,
    type: 'Normal' | 'Warning',
    reason: string,
    message: string,
    fieldPath?: string,
  ): void {
    if (this.#closed || this.#queue.length >= queueMax || !this.#takeToken(object)) return;
    const text = message.slice(0, messageCharactersMax);
    this.#queue.push({ object, type, reason, message: text, fieldPath, atMs: this.#clock.now() });
    this.#draining ??= this.#drain().finally(() => {
      this.#draining = undefined;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, drainMs)));
    await Promise.race([this.#draining, late]);
    clearTimeout(timer);
    this.#queue.length = 0;
  }

  #takeToken(object: EventObject): boolean {
    const key = `${object.kind ?? ''}/${object.metadata.namespace ?? ''}/${object.metadata.uid ?? object.metadata.name}`;
    const now = this.#clock.now();
    const bucket = this.#buckets.get(key) ?? { tokens: burst, atMs: now };
    const tokens = Math.min(burst, bucket.tokens + (now - bucket.atMs) / refillMs);
    this.#buckets.delete(key);
    this.#buckets.set(key, { tokens: Math.max(0, tokens - 1), atMs: now });
    forgetOldest(this.#buckets);
    return tokens >= 1;
  }

  async #drain(): Promise<void> {
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      try {
        await this.#write(next);
      } catch (error) {
        const { reason, message } = toPlatformError(error);
        log.debug({ reason, message, event: next.reason }, 'event not written');
      }
    }
  }

  async #write(pending: Pending): Promise<void> {
    const { object, type, reason, message, fieldPath } = pending;
    const about = object.metadata.uid ?? object.metadata.name;
    const key = JSON.stringify([object.kind, about, type, reason, message, fieldPath]);
    const known = this.#remembered.get(key);
    if (known !== undefined && pending.atMs - known.lastAtMs < rememberedMs) {
      if (await this.#countUp(known, pending.atMs)) return;
    }
    const made = await this.#client.create(resources.events, this.#compose(pending));
    this.#remembered.delete(key);
    this.#remembered.set(key, {
      name: made.metadata.name,
      namespace: made.metadata.namespace ?? 'default',
      count: 1,
      lastAtMs: pending.atMs,
    });
    forgetOldest(this.#remembered);
  }

  async #countUp(known: Remembered, atMs: number): Promise<boolean> {
    try {
      const patch = { count: known.count + 1, lastTimestamp: secondsTime(atMs) };
      await this.#client.patch(resources.events, known, 'merge', patch);
      known.count += 1;
      known.lastAtMs = atMs;
      return true;
    } catch (error) {
      if (isPlatformError(error, 'NotFound')) return false;
      throw error;
    }
  }

  #compose(pending: Pending): Event {
    const { object, type, reason, message, fieldPath, atMs } = pending;
    const { name, namespace, uid, resourceVersion } = object.metadata;
    const time = secondsTime(atMs);
    return {
      metadata: {
        name: `${name}.${atMs.toString(16)}${randomBytes(3).toString('hex')}`,
        namespace: namespace ?? 'default',
      },
      involvedObject: {
        name,
        ...(object.apiVersion === undefined ? {} : { apiVersion: object.apiVersion }),
        ...(object.kind === undefined ? {} : { kind: object.kind }),
        ...(namespace === undefined ? {} : { namespace }),
        ...(uid === undefined ? {} : { uid }),
        ...(resourceVersion === undefined ? {} : { resourceVersion }),
        ...(fieldPath === undefined ? {} : { fieldPath }),
      },
      type,
      reason,
      message,
      source: { component: this.#component, ...(this.#host === undefined ? {} : { host: this.#host }) },
      reportingComponent: this.#component,
      reportingInstance: this.#host ?? '',
      firstTimestamp: time,
      lastTimestamp: time,
      count: 1,
    };
  }
}

function forgetOldest(map: Map<string, unknown>): void {
  while (map.size > rememberedMax) {
    const oldest = map.keys().next();
    if (oldest.done === true) return;
    map.delete(oldest.value);
  }
}

/** meta/v1 Time has whole seconds. */
function secondsTime(atMs: number): string {
  return new Date(atMs).toISOString().replace(/\.\d+Z$/, 'Z');
}
