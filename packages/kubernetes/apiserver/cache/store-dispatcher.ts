import { isPlatformError, PlatformError, toPlatformError } from '@hypernetes/foundation/errors';
import { backoffDelayMs, sleep } from '@hypernetes/foundation/lifecycle';
import type { Logger } from '@hypernetes/foundation/logging';
import type { Store } from '../../store/index.ts';
import { expired } from '../http/status-error.ts';
import { ResourceCache } from './resource-cache.ts';

/** How far back changes are read at start, so that watches opened before a restart go on. */
const historyAtStart = 8_000;
/** A prefix no key has: listing it answers the present revision and nothing else. */
const emptyPrefix = '/-/';

interface Waiter {
  readonly revision: number;
  readonly resolve: () => void;
}

/**
 * Reads the store's one stream of changes and hands each to the cache of its kind. Every revision is a change of some key, so the
 * revision of the last change is how far all caches have come: a reader who needs the present waits for that number.
 */
export class StoreDispatcher implements AsyncDisposable {
  readonly #store: Store;
  readonly #log: Logger;
  readonly #caches = new Map<string, ResourceCache>();
  readonly #abort = new AbortController();
  readonly #floor: number;
  #waiters: Waiter[] = [];
  #revision: number;
  #running: Promise<void> = Promise.resolve();

  private constructor(store: Store, log: Logger, floor: number) {
    this.#store = store;
    this.#log = log;
    this.#floor = floor;
    this.#revision = floor;
  }

  static async start(
    store: Store,
    resources: readonly { readonly prefix: string; readonly namespaced: boolean }[],
    log: Logger,
  ): Promise<StoreDispatcher> {
    const revision = store.progress();
    const dispatcher = new StoreDispatcher(store, log, await oldestKept(store, revision));
    const waitFor = async (to: number): Promise<void> => dispatcher.waitFor(to, 30_000);
    for (const resource of resources) {
      dispatcher.#caches.set(resource.prefix, new ResourceCache(store, resource, dispatcher.#floor, waitFor));
    }
    dispatcher.#running = dispatcher.#run();
    return dispatcher;
  }

  /** How far all caches have come. */
  get revision(): number {
    return this.#revision;
  }

  cache(prefix: string): ResourceCache {
    const cache = this.#caches.get(prefix);
    if (cache === undefined) throw new PlatformError('Internal', `no cache for ${prefix}`);
    return cache;
  }

  /** Resolves when all caches show everything that was written before the call. */
  async catchUp(signal?: AbortSignal): Promise<number> {
    await this.waitFor(this.#store.progress(), 10_000, signal);
    return this.#revision;
  }

  /** Resolves when all caches have come to the revision; DeadlineExceeded when they do not in time. */
  async waitFor(revision: number, timeoutMs: number, signal?: AbortSignal): Promise<void> {
    if (this.#revision >= revision) return;
    await new Promise<void>((resolve, reject) => {
      const give = (error: PlatformError): void => {
        this.#waiters = this.#waiters.filter((other) => other !== waiter);
        done();
        reject(error);
      };
      const late = (): void =>
        give(
          new PlatformError(
            'DeadlineExceeded',
            `Too large resource version: ${revision}, current: ${this.#revision}`,
          ),
        );
      const gone = (): void => give(new PlatformError('Canceled', 'wait for the cache canceled'));
      const timer = setTimeout(late, timeoutMs);
      const done = (): void => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', gone);
      };
      const waiter: Waiter = {
        revision,
        resolve: () => {
          done();
          resolve();
        },
      };
      signal?.addEventListener('abort', gone, { once: true });
      this.#waiters.push(waiter);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    for (let attempt = 0; !this.#abort.signal.aborted; attempt++) {
      try {
        for await (const event of this.#store.watch('/', this.#revision, this.#abort.signal)) {
          this.#caches.get(prefixOf(event.key))?.apply(event);
          this.#advance(event.revision);
          attempt = 0;
        }
      } catch (thrown) {
        await this.#recover(thrown, attempt);
      }
    }
  }

  async #recover(thrown: unknown, attempt: number): Promise<void> {
    if (this.#abort.signal.aborted) return;
    const error = toPlatformError(thrown);
    this.#log.warn({ err: error }, 'watch of the store ended, starting it again');
    await sleep(backoffDelayMs(attempt, 20, 2_000), this.#abort.signal).catch(() => undefined);
    if (!isPlatformError(error, 'Expired')) return;
    const revision = this.#store.progress();
    const lost = expired('the watch fell behind the changes of the store; list again');
    for (const cache of this.#caches.values()) cache.reset(revision, lost);
    this.#advance(revision);
  }

  #advance(revision: number): void {
    this.#revision = revision;
    if (this.#waiters.length === 0) return;
    const reached = this.#waiters.filter((waiter) => waiter.revision <= revision);
    if (reached.length === 0) return;
    this.#waiters = this.#waiters.filter((waiter) => waiter.revision > revision);
    for (const waiter of reached) waiter.resolve();
  }
}

/** `/core/pods/` of `/core/pods/default/nginx`. */
function prefixOf(key: string): string {
  const second = key.indexOf('/', 1);
  return key.slice(0, key.indexOf('/', second + 1) + 1);
}

/** The oldest revision, within the wanted history, that changes can still be read from. */
async function oldestKept(store: Store, revision: number): Promise<number> {
  for (let back = historyAtStart; back > 0; back = Math.floor(back / 4)) {
    const from = Math.max(0, revision - back);
    if (from > 0 && (await isKept(store, from))) return from;
    if (from === 0 && (await isKept(store, 1))) return 0;
  }
  return revision;
}

async function isKept(store: Store, revision: number): Promise<boolean> {
  try {
    await store.list(emptyPrefix, { revision });
    return true;
  } catch (error) {
    if (isPlatformError(error, 'Expired') || isPlatformError(error, 'Invalid')) return false;
    throw error;
  }
}
