import type { Store, StoreEvent } from '../../store/index.ts';
import { expired } from '../http/status-error.ts';
import { CachedObject } from './cached-object.ts';

/** One change of one object. Encodings are made once per representation and shared by all watchers. */
export class CacheEvent {
  readonly key: string;
  readonly revision: number;
  readonly current: CachedObject | undefined;
  readonly previous: CachedObject | undefined;
  readonly #encodings = new Map<string, Uint8Array>();

  constructor(
    key: string,
    revision: number,
    current: CachedObject | undefined,
    previous: CachedObject | undefined,
  ) {
    this.key = key;
    this.revision = revision;
    this.current = current;
    this.previous = previous;
  }

  encoded(representation: string, encode: () => Uint8Array): Uint8Array {
    let bytes = this.#encodings.get(representation);
    if (bytes === undefined) {
      bytes = encode();
      this.#encodings.set(representation, bytes);
    }
    return bytes;
  }
}

/** Which objects a reader wants: narrowed by place first, so that others cost nothing. */
export interface Scope {
  /** Empty or absent: all namespaces, or a kind without them. */
  readonly namespace?: string;
  readonly name?: string;
}

export interface CacheWatcher {
  readonly scope: Scope;
  onEvent(event: CacheEvent): void;
  /** The watch cannot go on (the store forgot history faster than it was read). */
  onLost(error: Error): void;
}

/** How many changes of a kind are kept for watches that come back. */
const maxHistory = 4096;

/** Where objects are kept: `/core/pods/<namespace>/<name>`, `/core/nodes/<name>`. */
export function storePrefix(resource: { readonly group: string; readonly plural: string }): string {
  return `/${resource.group === '' ? 'core' : resource.group}/${resource.plural}/`;
}

/**
 * All objects of one kind as they are at the dispatcher's revision, and the latest changes. Items are loaded when first asked for;
 * changes are recorded from the start, so a watch may begin before.
 */
export class ResourceCache {
  readonly #store: Store;
  readonly #prefix: string;
  readonly #namespaced: boolean;
  readonly #items = new Map<string, CachedObject>();
  readonly #namespaces = new Map<string, Map<string, CachedObject>>();
  readonly #watchers = new Map<string, Set<CacheWatcher>>();
  #history: CacheEvent[] = [];
  /** Watches from revisions below this one cannot be answered: the changes are not kept. */
  #floor: number;
  #loading: Promise<void> | undefined;
  #loaded = false;
  #sortedKeys: string[] | undefined;
  #generation = 0;
  readonly #waitFor: (revision: number) => Promise<void>;

  /** `waitFor` resolves when changes up to the revision have been handed to `apply`. */
  constructor(
    store: Store,
    resource: { readonly prefix: string; readonly namespaced: boolean },
    floor: number,
    waitFor: (revision: number) => Promise<void>,
  ) {
    this.#store = store;
    this.#prefix = resource.prefix;
    this.#namespaced = resource.namespaced;
    this.#floor = floor;
    this.#waitFor = waitFor;
  }

  /** Resolves when the items are there. */
  async load(): Promise<void> {
    if (this.#loaded) return;
    this.#loading ??= this.#loadItems().finally(() => {
      this.#loading = undefined;
    });
    await this.#loading;
  }

  get(scope: { readonly namespace: string; readonly name: string }): CachedObject | undefined {
    return this.#items.get(this.keyOf(scope.namespace, scope.name));
  }

  keyOf(namespace: string, name: string): string {
    return this.#namespaced ? `${this.#prefix}${namespace}/${name}` : `${this.#prefix}${name}`;
  }

  /** The objects of the scope in key order. */
  list(scope: Scope): CachedObject[] {
    if (scope.name !== undefined && (!this.#namespaced || scope.namespace !== undefined)) {
      const one = this.get({ namespace: scope.namespace ?? '', name: scope.name });
      return one === undefined ? [] : [one];
    }
    if (scope.namespace !== undefined && this.#namespaced) {
      const items = [...(this.#namespaces.get(scope.namespace)?.values() ?? [])];
      return items.sort((left, right) => (left.key < right.key ? -1 : 1));
    }
    this.#sortedKeys ??= [...this.#items.keys()].sort();
    const items = this.#sortedKeys.flatMap((key) => this.#items.get(key) ?? []);
    return scope.name === undefined
      ? items
      : items.filter((item) => item.key.endsWith(`/${scope.name ?? ''}`));
  }

  /**
   * Changes after the revision: first the kept ones, then live, without a gap. Throws Expired when they are not kept. The answer ends it.
   */
  subscribe(watcher: CacheWatcher, fromRevision: number): () => void {
    if (fromRevision < this.#floor) {
      throw expired(`too old resource version: ${fromRevision} (${this.#floor})`);
    }
    for (const event of this.#history) {
      if (event.revision > fromRevision && this.#inScope(event.key, watcher.scope)) watcher.onEvent(event);
    }
    const bucket = this.#bucketOf(watcher.scope);
    const watchers = this.#watchers.get(bucket) ?? new Set();
    this.#watchers.set(bucket, watchers);
    watchers.add(watcher);
    return () => {
      watchers.delete(watcher);
      if (watchers.size === 0 && this.#watchers.get(bucket) === watchers) this.#watchers.delete(bucket);
    };
  }

  /** A change from the dispatcher, in revision order. */
  apply(change: StoreEvent): void {
    const known = this.#items.get(change.key);
    const before = change.previous;
    const previous =
      before === undefined
        ? undefined
        : known?.revision === before.modRevision
          ? known
          : new CachedObject(before);
    const current = change.type === 'put' ? new CachedObject(change.item) : undefined;
    const event = new CacheEvent(change.key, change.revision, current, previous);
    this.#record(event);
    if (this.#loaded) this.#applyToItems(event);
    for (const bucket of this.#bucketsOf(change.key)) {
      for (const watcher of this.#watchers.get(bucket) ?? []) watcher.onEvent(event);
    }
  }

  /** History was lost up to the revision: every watch ends, items are loaded anew. */
  reset(floor: number, error: Error): void {
    this.#generation++;
    this.#history = [];
    this.#floor = floor;
    this.#loaded = false;
    this.#loading = undefined;
    this.#items.clear();
    this.#namespaces.clear();
    this.#sortedKeys = undefined;
    const watchers = [...this.#watchers.values()].flatMap((set) => [...set]);
    this.#watchers.clear();
    for (const watcher of watchers) watcher.onLost(error);
  }

  get watcherCount(): number {
    let count = 0;
    for (const set of this.#watchers.values()) count += set.size;
    return count;
  }

  async #loadItems(): Promise<void> {
    const generation = this.#generation;
    const { items, revision } = await this.#store.list(this.#prefix);
    // Older changes applied on top of newer items would take them back for a moment.
    await this.#waitFor(revision);
    if (generation !== this.#generation) {
      await this.#loadItems();
      return;
    }
    for (const item of items) this.#put(new CachedObject(item));
    for (const event of this.#history) {
      if (event.revision > revision) this.#applyToItems(event);
    }
    this.#loaded = true;
  }

  #record(event: CacheEvent): void {
    this.#history.push(event);
    if (this.#history.length < maxHistory * 2) return;
    const dropped = this.#history.splice(0, this.#history.length - maxHistory);
    this.#floor = dropped.at(-1)?.revision ?? this.#floor;
  }

  #applyToItems(event: CacheEvent): void {
    if (event.current !== undefined) this.#put(event.current);
    else this.#remove(event.key);
  }

  #put(item: CachedObject): void {
    if (!this.#items.has(item.key)) this.#sortedKeys = undefined;
    this.#items.set(item.key, item);
    if (!this.#namespaced) return;
    const { namespace, name } = this.#split(item.key);
    const inNamespace = this.#namespaces.get(namespace) ?? new Map<string, CachedObject>();
    this.#namespaces.set(namespace, inNamespace);
    inNamespace.set(name, item);
  }

  #remove(key: string): void {
    if (!this.#items.delete(key)) return;
    this.#sortedKeys = undefined;
    if (!this.#namespaced) return;
    const { namespace, name } = this.#split(key);
    const inNamespace = this.#namespaces.get(namespace);
    inNamespace?.delete(name);
    if (inNamespace?.size === 0) this.#namespaces.delete(namespace);
  }

  #split(key: string): { namespace: string; name: string } {
    const rest = key.slice(this.#prefix.length);
    if (!this.#namespaced) return { namespace: '', name: rest };
    const at = rest.indexOf('/');
    return { namespace: rest.slice(0, at), name: rest.slice(at + 1) };
  }

  #bucketOf(scope: Scope): string {
    return `${scope.namespace ?? ''}/${scope.name ?? ''}`;
  }

  #bucketsOf(key: string): string[] {
    const { namespace, name } = this.#split(key);
    return this.#namespaced ? ['/', `${namespace}/`, `${namespace}/${name}`, `/${name}`] : ['/', `/${name}`];
  }

  #inScope(key: string, scope: Scope): boolean {
    const { namespace, name } = this.#split(key);
    return (
      (scope.namespace === undefined || !this.#namespaced || scope.namespace === namespace) &&
      (scope.name === undefined || scope.name === name)
    );
  }
}
