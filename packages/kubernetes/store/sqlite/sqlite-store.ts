import Database from 'better-sqlite3';
import { PlatformError } from '@hypernetes/foundation/errors';
import { systemClock, type Clock } from '@hypernetes/foundation/lifecycle';
import type { ListOptions, ListResult, Store, StoredItem, StoreEvent, StoreWatch } from '../store.ts';
import { CompactionPolicy } from './compaction-policy.ts';
import { RevisionLog, type WriteOutcome } from './revision-log.ts';
import { WatchHub } from './watch-hub.ts';

/** Writes taken into one transaction; more wait for the next one. */
const batchMax = 512;
/** Writes waiting for the disk at one time; further ones are refused with Exhausted. */
const queueMax = 20_000;
/** Rows purged between two turns of the event loop. */
const purgeRowsPerTurn = 1_000;

export interface SqliteStoreOptions {
  /** Path of the database file; its folder must exist. */
  readonly path: string;
  /** History older than this is compacted, in milliseconds. Default 5 minutes. */
  readonly keepMs?: number;
  /** History is compacted to this many revisions whatever their age. Default 50,000. */
  readonly keepRevisions?: number;
  readonly clock?: Clock;
}

interface PendingWrite {
  readonly run: () => WriteOutcome;
  readonly resolve: (event: StoreEvent) => void;
  readonly reject: (error: unknown) => void;
}

type Settled = WriteOutcome | { readonly failed: unknown };

/** Opens (creates) the store. Unavailable: another process has it open. Internal: not a store of ours, or damaged. */
// eslint-disable-next-line @typescript-eslint/require-await -- other backends connect here
export async function openSqliteStore(options: SqliteStoreOptions): Promise<Store> {
  return new SqliteStore(openDatabase(options.path), options);
}

function openDatabase(path: string): Database.Database {
  let database: Database.Database | undefined;
  try {
    database = new Database(path, { timeout: 500 });
    // Exclusive: two servers on one file would each keep a revision counter of their own. The lock ends with the process.
    database.pragma('locking_mode = EXCLUSIVE');
    database.pragma('auto_vacuum = INCREMENTAL');
    database.pragma('journal_mode = WAL');
    // FULL: the write-ahead log is synced at every commit, so what is acknowledged survives a power cut.
    database.pragma('synchronous = FULL');
    database.pragma('journal_size_limit = 16777216');
    database.pragma('cache_size = -65536');
    return database;
  } catch (cause) {
    database?.close();
    const code = (cause as { code?: unknown }).code;
    if (code === 'SQLITE_BUSY') {
      throw new PlatformError('Unavailable', `open store ${path}: another process has it open`, { cause });
    }
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new PlatformError('Internal', `open store ${path}: ${why}`, { cause });
  }
}

/**
 * Writes that arrive in one turn of the event loop share one transaction and one sync of the disk; they are acknowledged, and watchers
 * see them, after it. Invariant: what watchers and readers see is on disk.
 */
class SqliteStore implements Store {
  readonly #database: Database.Database;
  readonly #log: RevisionLog;
  readonly #hub: WatchHub;
  readonly #policy: CompactionPolicy;
  readonly #pending: PendingWrite[] = [];
  readonly #commit: (batch: readonly PendingWrite[]) => readonly Settled[];
  readonly #policyTimer: NodeJS.Timeout;
  #flush: NodeJS.Immediate | undefined;
  #purge: NodeJS.Immediate | undefined;
  #closed = false;

  constructor(database: Database.Database, options: SqliteStoreOptions) {
    this.#database = database;
    this.#log = new RevisionLog(database);
    this.#hub = new WatchHub(this.#log);
    const keepMs = options.keepMs ?? 5 * 60_000;
    this.#policy = new CompactionPolicy(
      { keepMs, keepRevisions: options.keepRevisions ?? 50_000 },
      options.clock ?? systemClock,
    );
    this.#policy.observe(this.#log.revision);
    this.#commit = database.transaction((batch: readonly PendingWrite[]) => batch.map(runOne));
    this.#policyTimer = setInterval(() => this.#applyPolicy(), Math.max(1_000, keepMs / 10));
    this.#policyTimer.unref();
    this.#continuePurge();
  }

  // Methods of the interface are async so that every failure, a closed store included, is a rejection.
  /* eslint-disable @typescript-eslint/require-await */
  async get(key: string): Promise<StoredItem | undefined> {
    this.#assertOpen();
    return this.#log.get(key);
  }

  async list(prefix: string, options: ListOptions = {}): Promise<ListResult> {
    this.#assertOpen();
    return this.#log.list(prefix, options);
  }

  async count(prefix: string): Promise<number> {
    this.#assertOpen();
    return this.#log.count(prefix, '');
  }
  /* eslint-enable @typescript-eslint/require-await */

  async create(key: string, value: string): Promise<StoredItem> {
    assertKey(key);
    return putItem(await this.#write(() => this.#log.create(key, value)));
  }

  async update(key: string, value: string, expectedModRevision: number): Promise<StoredItem> {
    return putItem(await this.#write(() => this.#log.update(key, value, expectedModRevision)));
  }

  async delete(
    key: string,
    expectedModRevision?: number,
  ): Promise<{ readonly previous: StoredItem; readonly revision: number }> {
    const event = await this.#write(() => this.#log.delete(key, expectedModRevision));
    if (event.previous === undefined) throw new PlatformError('Internal', `delete ${key}: nothing was there`);
    return { previous: event.previous, revision: event.revision };
  }

  watch(prefix: string, fromRevision: number, signal: AbortSignal): StoreWatch {
    this.#assertOpen();
    return this.#hub.watch(prefix, fromRevision, signal);
  }

  progress(): number {
    return this.#log.revision;
  }

  async compact(revision: number): Promise<void> {
    this.#assertOpen();
    this.#log.compact(revision);
    while (!this.#closed && this.#log.purge(purgeRowsPerTurn)) {
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    if (!this.#closed) {
      this.#flushNow();
      this.#closed = true;
      clearInterval(this.#policyTimer);
      if (this.#purge !== undefined) clearImmediate(this.#purge);
      this.#hub.close();
      this.#database.close();
    }
    return Promise.resolve();
  }

  #assertOpen(): void {
    if (this.#closed) throw new PlatformError('Unavailable', 'the store is closed');
  }

  async #write(run: () => WriteOutcome): Promise<StoreEvent> {
    this.#assertOpen();
    if (this.#pending.length >= queueMax) {
      throw new PlatformError('Exhausted', `${queueMax} writes wait for the disk: try again`);
    }
    return new Promise((resolve, reject) => {
      this.#pending.push({ run, resolve, reject });
      this.#flush ??= setImmediate(() => this.#flushNow());
    });
  }

  #flushNow(): void {
    if (this.#flush !== undefined) clearImmediate(this.#flush);
    this.#flush = undefined;
    while (this.#pending.length > 0) this.#commitBatch(this.#pending.splice(0, batchMax));
  }

  #commitBatch(batch: readonly PendingWrite[]): void {
    const before = this.#log.revision;
    let outcomes: readonly Settled[];
    try {
      outcomes = this.#commit(batch);
    } catch (cause) {
      this.#log.rollBackTo(before);
      const error = new PlatformError('Unavailable', `write to the store: ${String(cause)}`, { cause });
      for (const write of batch) write.reject(error);
      return;
    }
    const events = outcomes.flatMap((outcome) => ('event' in outcome ? [outcome.event] : []));
    this.#hub.publish(events);
    batch.forEach((write, index) => settle(write, outcomes[index]));
    if (this.#policy.observe(this.#log.revision)) this.#applyPolicy();
  }

  #applyPolicy(): void {
    if (this.#closed) return;
    const target = this.#policy.target(this.#log.revision);
    if (target <= this.#log.compacted) return;
    this.#log.compact(target);
    this.#continuePurge();
  }

  #continuePurge(): void {
    this.#purge ??= setImmediate(() => {
      this.#purge = undefined;
      if (!this.#closed && this.#log.purge(purgeRowsPerTurn)) this.#continuePurge();
    });
  }
}

/** A refused write (Conflict ...) leaves no trace in the transaction, so the others of its batch go on. */
function runOne(write: PendingWrite): Settled {
  try {
    return write.run();
  } catch (error) {
    if (error instanceof PlatformError) return { failed: error };
    throw error;
  }
}

function settle(write: PendingWrite, outcome: Settled | undefined): void {
  if (outcome !== undefined && 'event' in outcome) write.resolve(outcome.event);
  else write.reject(outcome?.failed);
}

function putItem(event: StoreEvent): StoredItem {
  if (event.type !== 'put') throw new PlatformError('Internal', `write ${event.key}: became a delete`);
  return event.item;
}

function assertKey(key: string): void {
  if (key === '' || key.includes('\0') || Buffer.byteLength(key) > 2_048) {
    throw new PlatformError('Invalid', 'store key: must be 1 to 2048 bytes without NUL');
  }
}
