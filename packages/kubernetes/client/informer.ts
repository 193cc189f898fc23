import { isPlatformError, PlatformError, toPlatformError } from '@hypernetes/foundation/errors';
import { backoffDelayMs, sleep } from '@hypernetes/foundation/lifecycle';
import { createLogger } from '@hypernetes/foundation/logging';
import { keyOf, type Informer, type KubeClient, type KubeObject, type Resource } from './kube-client.ts';

const log = createLogger('kubernetes:informer');
const pageSize = 500;
const backoffBaseMs = 100;
const backoffMaxMs = 10_000;
/** A watch that ended sooner than this counts as a failure, so that a server that ends every watch is not asked in a circle. */
const shortWatchMs = 1_000;

export interface InformerOptions<T extends KubeObject> {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  /** Keep (and ask for) nothing but metadata. */
  readonly metadataOnly?: boolean;
  /** Named index functions: byIndex(name, value) answers the objects for which the function answered the value. */
  readonly indexes?: Readonly<Record<string, (object: T) => readonly string[]>>;
}

type Change<T> = Parameters<Parameters<Informer<KubeObject & T>['onChange']>[0]>[0];

/** A local copy of a list, kept current until disposed. Nothing happens before start(). */
export function createInformer<T extends KubeObject>(
  client: KubeClient,
  resource: Resource,
  options: InformerOptions<T> = {},
): Informer<T> {
  return new ListWatchInformer<T>(client, resource, options);
}

class ListWatchInformer<T extends KubeObject> implements Informer<T> {
  readonly #client: KubeClient;
  readonly #resource: Resource;
  readonly #options: InformerOptions<T>;
  readonly #objects = new Map<string, T>();
  // index name -> value -> keys
  readonly #indexes = new Map<string, Map<string, Set<string>>>();
  readonly #handlers: ((change: Change<T>) => void)[] = [];
  readonly #abort = new AbortController();
  #firstList: Promise<void> | undefined;
  #loop: Promise<void> | undefined;
  #synced = false;

  constructor(client: KubeClient, resource: Resource, options: InformerOptions<T>) {
    this.#client = client;
    this.#resource = resource;
    this.#options = options;
    for (const name of Object.keys(options.indexes ?? {})) this.#indexes.set(name, new Map());
  }

  get synced(): boolean {
    return this.#synced;
  }

  async start(): Promise<void> {
    this.#firstList ??= new Promise<void>((resolve, reject) => {
      this.#abort.signal.addEventListener('abort', () =>
        reject(new PlatformError('Canceled', `informer of ${this.#resource.plural}: closed`)),
      );
      this.#loop = this.#run(resolve);
    });
    await this.#firstList;
  }

  get(key: string): T | undefined {
    return this.#objects.get(key);
  }

  list(): T[] {
    return [...this.#objects.values()];
  }

  byIndex(index: string, value: string): T[] {
    const values = this.#indexes.get(index);
    if (values === undefined) {
      throw new PlatformError('Invalid', `informer of ${this.#resource.plural} has no index ${index}`);
    }
    const found: T[] = [];
    for (const key of values.get(value) ?? []) {
      const object = this.#objects.get(key);
      if (object !== undefined) found.push(object);
    }
    return found;
  }

  onChange(handler: (change: Change<T>) => void): void {
    this.#handlers.push(handler);
    for (const [key, current] of this.#objects) this.#tell(handler, { key, old: undefined, current });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    this.#firstList?.catch(() => undefined);
    await this.#loop;
  }

  async #run(onFirstList: () => void): Promise<void> {
    let version: string | undefined;
    let failures = 0;
    while (!this.#isClosed()) {
      const startedAtMs = Date.now();
      try {
        if (version === undefined) {
          version = await this.#listAll();
          this.#synced = true;
          onFirstList();
          failures = 0;
        }
        for await (const next of this.#follow(version)) {
          version = next;
          failures = 0;
        }
        if (Date.now() - startedAtMs >= shortWatchMs) continue;
      } catch (error) {
        if (this.#isClosed()) return;
        // A lost connection leaves the version good; anything else may mean that it is not.
        if (!isPlatformError(error, 'Unavailable') && !isPlatformError(error, 'DeadlineExceeded')) {
          version = undefined;
        }
        this.#logFailure(error, failures);
      }
      try {
        await sleep(backoffDelayMs(failures, backoffBaseMs, backoffMaxMs), this.#abort.signal);
      } catch {
        return;
      }
      failures += 1;
    }
  }

  #isClosed(): boolean {
    return this.#abort.signal.aborted;
  }

  #logFailure(error: unknown, failures: number): void {
    const { reason, message } = toPlatformError(error);
    const fields = { resource: this.#resource.plural, reason, message };
    if (reason === 'Expired') log.debug(fields, 'version expired, listing again');
    else if (failures >= 3) log.warn(fields, 'list or watch failed, trying again');
    else log.debug(fields, 'list or watch failed, trying again');
  }

  async #listAll(): Promise<string> {
    const found = new Map<string, T>();
    const { namespace, labelSelector, fieldSelector, metadataOnly } = this.#options;
    const selection = {
      ...(namespace === undefined ? {} : { namespace }),
      ...(labelSelector === undefined ? {} : { labelSelector }),
      ...(fieldSelector === undefined ? {} : { fieldSelector }),
      ...(metadataOnly === undefined ? {} : { metadataOnly }),
    };
    let next: string | undefined;
    let version: string;
    do {
      const page = await this.#client.list<T>(this.#resource, {
        ...selection,
        limit: pageSize,
        ...(next === undefined ? {} : { continue: next }),
      });
      for (const item of page.items) found.set(keyOf(item), this.#keep(item));
      version = page.resourceVersion;
      next = page.continue;
      this.#abort.signal.throwIfAborted();
    } while (next !== undefined);
    for (const key of [...this.#objects.keys()]) if (!found.has(key)) this.#remove(key);
    for (const [key, object] of found) this.#set(key, object);
    return version;
  }

  /** Applies the events of one watch and yields the version after each. */
  async *#follow(from: string): AsyncGenerator<string> {
    const { namespace, labelSelector, fieldSelector, metadataOnly } = this.#options;
    const events = this.#client.watch<T>(
      this.#resource,
      {
        resourceVersion: from,
        ...(namespace === undefined ? {} : { namespace }),
        ...(labelSelector === undefined ? {} : { labelSelector }),
        ...(fieldSelector === undefined ? {} : { fieldSelector }),
        ...(metadataOnly === undefined ? {} : { metadataOnly }),
      },
      this.#abort.signal,
    );
    for await (const event of events) {
      if (event.type === 'DELETED') this.#remove(keyOf(event.object));
      else if (event.type !== 'BOOKMARK') this.#set(keyOf(event.object), this.#keep(event.object));
      const version = event.object.metadata.resourceVersion;
      if (version !== undefined) yield version;
    }
  }

  #keep(object: T): T {
    if (this.#options.metadataOnly !== true) return object;
    const { managedFields: _dropped, ...metadata } = object.metadata as T['metadata'] & {
      managedFields?: unknown;
    };
    return { metadata } as T;
  }

  #set(key: string, current: T): void {
    const old = this.#objects.get(key);
    // Deleted and made again while nobody looked: two changes, as the handlers would have seen them.
    if (old?.metadata.uid !== current.metadata.uid && old !== undefined) {
      this.#remove(key);
      this.#set(key, current);
      return;
    }
    if (old !== undefined && old.metadata.resourceVersion === current.metadata.resourceVersion) return;
    if (old !== undefined) this.#unindex(key, old);
    this.#objects.set(key, current);
    this.#index(key, current);
    this.#tellAll({ key, old, current });
  }

  #remove(key: string): void {
    const old = this.#objects.get(key);
    if (old === undefined) return;
    this.#objects.delete(key);
    this.#unindex(key, old);
    this.#tellAll({ key, old, current: undefined });
  }

  #index(key: string, object: T): void {
    for (const [name, valuesOf] of Object.entries(this.#options.indexes ?? {})) {
      const index = this.#indexes.get(name);
      for (const value of valuesOf(object)) {
        const keys = index?.get(value) ?? new Set<string>();
        keys.add(key);
        index?.set(value, keys);
      }
    }
  }

  #unindex(key: string, object: T): void {
    for (const [name, valuesOf] of Object.entries(this.#options.indexes ?? {})) {
      const index = this.#indexes.get(name);
      for (const value of valuesOf(object)) {
        const keys = index?.get(value);
        keys?.delete(key);
        if (keys?.size === 0) index?.delete(value);
      }
    }
  }

  #tellAll(change: Change<T>): void {
    for (const handler of this.#handlers) this.#tell(handler, change);
  }

  #tell(handler: (change: Change<T>) => void, change: Change<T>): void {
    try {
      handler(change);
    } catch (err) {
      log.error({ err, resource: this.#resource.plural, object: change.key }, 'a change handler threw');
    }
  }
}
