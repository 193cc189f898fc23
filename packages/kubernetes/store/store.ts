/** One key as it is at a revision. Values are JSON text; the store never looks inside. */
export interface StoredItem {
  readonly key: string;
  readonly value: string;
  /** Revision of the write that created the key (again, if it had been deleted). */
  readonly createRevision: number;
  /** Revision of the last write to the key: resourceVersion of the object. */
  readonly modRevision: number;
  /** 1 after create, plus one for each update. */
  readonly version: number;
}

export interface ListOptions {
  /** At most this many items; 0 or absent: all. */
  readonly limit?: number;
  /** Only keys after this one: the last key of the page before. */
  readonly startAfterKey?: string;
  /** The list exactly as it was at this kept revision; absent: now. */
  readonly revision?: number;
}

export interface ListResult {
  /** In key order (by bytes of UTF-8). */
  readonly items: readonly StoredItem[];
  /** The revision the list is of. Give it to `watch` to go on from there. */
  readonly revision: number;
  /** How many more keys come after the last item. */
  readonly remaining: number;
}

export type StoreEvent =
  | {
      readonly type: 'put';
      readonly key: string;
      readonly item: StoredItem;
      /** What the key held before; absent: the key is new. */
      readonly previous?: StoredItem;
      readonly revision: number;
    }
  | {
      readonly type: 'delete';
      readonly key: string;
      readonly previous: StoredItem;
      readonly revision: number;
    };

/** A running watch; iterate it once. */
export interface StoreWatch extends AsyncIterable<StoreEvent> {
  /** Every event of the prefix up to this revision has been handed to the reader: what a bookmark may say. */
  readonly delivered: number;
}

/**
 * Keys and values with the revision semantics of etcd: one counter, each write takes the next number, every read says of which
 * revision it is, and what changed after a kept revision can be watched. Keys are paths such as `/pods/default/nginx`; a prefix
 * is empty or ends with `/` (else Invalid). Writes are on disk before they are acknowledged.
 */
export interface Store extends AsyncDisposable {
  /** Undefined when the key is not there. Sees every acknowledged write. */
  get(key: string): Promise<StoredItem | undefined>;
  /** Expired: the revision is compacted. Invalid: the revision is in the future. */
  list(prefix: string, options?: ListOptions): Promise<ListResult>;
  /** How many keys have the prefix, now. */
  count(prefix: string): Promise<number>;
  /** AlreadyExists. */
  create(key: string, value: string): Promise<StoredItem>;
  /** NotFound; Conflict when the key's modRevision is another one. */
  update(key: string, value: string, expectedModRevision: number): Promise<StoredItem>;
  /** NotFound; Conflict when a revision is expected and the key's modRevision is another one. */
  delete(
    key: string,
    expectedModRevision?: number,
  ): Promise<{ readonly previous: StoredItem; readonly revision: number }>;
  /**
   * Events of the prefix with revisions greater than `fromRevision`, in revision order, each exactly once: first the kept ones, then
   * live. Ends when the signal fires. Iteration throws Expired when history it still needs was compacted (a reader far too slow, or
   * an old `fromRevision`): list again and watch from there. Event objects are shared by all watchers: never change them.
   */
  watch(prefix: string, fromRevision: number, signal: AbortSignal): StoreWatch;
  /** Revision of the last acknowledged write of any key. */
  progress(): number;
  /** Forgets history: reads and watches before the revision are Expired afterwards. The present is kept. */
  compact(revision: number): Promise<void>;
}
