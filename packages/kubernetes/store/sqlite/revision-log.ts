import type Database from 'better-sqlite3';
import { PlatformError } from '@hypernetes/foundation/errors';
import type { ListOptions, ListResult, StoredItem, StoreEvent } from '../store.ts';

export interface WriteOutcome {
  readonly event: StoreEvent;
}

/** Written into the file's header; a file with another number is not ours. */
const applicationId = 0x484e5354;
const schemaVersion = 1;

const schema = `
  CREATE TABLE log (
    revision        INTEGER PRIMARY KEY,
    key             TEXT NOT NULL,
    value           TEXT,              -- NULL: the key was deleted
    create_revision INTEGER NOT NULL,
    version         INTEGER NOT NULL,
    previous        INTEGER            -- revision of the key's row before this one; NULL: the key was not there
  ) STRICT;
  CREATE INDEX log_by_key ON log (key, revision);
  CREATE TABLE latest (
    key      TEXT PRIMARY KEY,
    revision INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE state (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    compacted INTEGER NOT NULL,        -- reads before this revision are refused
    purged    INTEGER NOT NULL         -- rows superseded up to this revision are gone
  ) STRICT;
  INSERT INTO state VALUES (1, 0, 0);
`;

interface Row {
  readonly revision: number;
  readonly key: string;
  readonly value: string | null;
  readonly create_revision: number;
  readonly version: number;
  readonly previous: number | null;
}

interface EventRow extends Row {
  readonly previous_value: string | null;
  readonly previous_create: number | null;
  readonly previous_version: number | null;
}

type Statement = Database.Statement;

/**
 * The tables: every write is a row of `log`, `latest` points at the row of each key that exists. All methods are synchronous; writes
 * run inside the caller's transaction, and the caller calls `rollBackTo` when it fails.
 */
export class RevisionLog {
  readonly #database: Database.Database;
  readonly #statements = new Map<string, Statement>();
  #revision: number;
  #compacted: number;
  #purged: number;

  constructor(database: Database.Database) {
    this.#database = database;
    this.#prepareFile();
    const state = this.#one('SELECT compacted, purged FROM state', []) as {
      compacted: number;
      purged: number;
    };
    const last = this.#one('SELECT max(revision) AS last FROM log', []) as { last: number | null };
    this.#compacted = state.compacted;
    this.#purged = state.purged;
    // The last row may have been a delete that is purged by now: the counter never goes back behind the compaction.
    this.#revision = Math.max(last.last ?? 0, state.compacted);
  }

  get revision(): number {
    return this.#revision;
  }

  get compacted(): number {
    return this.#compacted;
  }

  get(key: string): StoredItem | undefined {
    const row = this.#one(
      'SELECT log.* FROM latest JOIN log ON log.revision = latest.revision WHERE latest.key = ?',
      [key],
    );
    return row === undefined ? undefined : itemOf(row as Row);
  }

  count(prefix: string, afterKey: string): number {
    const [from, to] = keyRange(prefix);
    const counted = this.#one('SELECT count(*) AS n FROM latest WHERE key >= ? AND key < ? AND key > ?', [
      from,
      to,
      afterKey,
    ]) as { n: number };
    return counted.n;
  }

  list(prefix: string, options: ListOptions): ListResult {
    const revision = options.revision ?? this.#revision;
    const limit = options.limit ?? 0;
    const rows =
      revision === this.#revision
        ? this.#listLatest(prefix, options.startAfterKey ?? '', limit)
        : this.#listAt(revision, prefix, options.startAfterKey ?? '', limit);
    const items = rows.map(itemOf);
    const last = items.at(-1);
    const more = limit > 0 && items.length === limit && last !== undefined;
    const remaining = more ? this.#countAfter(revision, prefix, last.key) : 0;
    return { items, revision, remaining };
  }

  create(key: string, value: string): WriteOutcome {
    if (this.get(key) !== undefined) throw new PlatformError('AlreadyExists', `${key}: already exists`);
    return this.#put({ key, value, createRevision: this.#revision + 1, version: 1 }, undefined);
  }

  update(key: string, value: string, expected: number): WriteOutcome {
    const previous = this.#expect(key, expected);
    return this.#put(
      { key, value, createRevision: previous.createRevision, version: previous.version + 1 },
      previous,
    );
  }

  delete(key: string, expected?: number): WriteOutcome {
    const previous = this.#expect(key, expected);
    const revision = ++this.#revision;
    this.#run('INSERT INTO log VALUES (?, ?, NULL, ?, 0, ?)', [
      revision,
      key,
      previous.createRevision,
      previous.modRevision,
    ]);
    this.#run('DELETE FROM latest WHERE key = ?', [key]);
    return { event: { type: 'delete', key, previous, revision } };
  }

  /** After a failed transaction: the rows of later revisions are gone, so is their number. */
  rollBackTo(revision: number): void {
    this.#revision = revision;
  }

  /** Events with fromRevision < revision <= toRevision. Expired when that part of history is compacted. */
  events(prefix: string, fromRevision: number, toRevision: number): StoreEvent[] {
    this.assertKept(fromRevision);
    const [from, to] = keyRange(prefix);
    const rows = this.#all(
      `SELECT log.*, before.value AS previous_value, before.create_revision AS previous_create,
              before.version AS previous_version
         FROM log LEFT JOIN log AS before ON before.revision = log.previous
        WHERE log.revision > ? AND log.revision <= ? AND log.key >= ? AND log.key < ?
        ORDER BY log.revision`,
      [fromRevision, toRevision, from, to],
    );
    return (rows as EventRow[]).map(eventOf);
  }

  assertKept(revision: number): void {
    if (revision < this.#compacted) {
      throw new PlatformError(
        'Expired',
        `revision ${revision} is compacted (kept from ${this.#compacted}): list again`,
      );
    }
  }

  /** Refuses reads before the revision from now on; `purge` then frees their rows. */
  compact(revision: number): void {
    if (revision > this.#revision) {
      throw new PlatformError('Invalid', `compact at ${revision}: the store is at ${this.#revision}`);
    }
    if (revision <= this.#compacted) return;
    this.#run('UPDATE state SET compacted = ?', [revision]);
    this.#compacted = revision;
  }

  /**
   * Frees the rows superseded by the next `rows` compacted revisions; true while there is more to do. A row is superseded by the next row of
   * its key, which points at it, so only the newly compacted stretch is read.
   */
  purge(rows: number): boolean {
    if (this.#purged >= this.#compacted) return this.#vacuum();
    const from = this.#purged;
    const to = Math.min(this.#compacted, from + rows);
    this.#database.transaction(() => {
      this.#run(
        'DELETE FROM log WHERE revision IN (SELECT previous FROM log WHERE revision > ? AND revision <= ?)',
        [from, to],
      );
      this.#run('DELETE FROM log WHERE revision > ? AND revision <= ? AND value IS NULL', [from, to]);
      this.#run('UPDATE state SET purged = ?', [to]);
    })();
    this.#purged = to;
    return true;
  }

  /** Gives free pages back to the file system, keeping some for the writes to come. */
  #vacuum(): boolean {
    const free = this.#database.pragma('freelist_count', { simple: true }) as number;
    if (free <= freePagesKept) return false;
    this.#database.pragma(`incremental_vacuum(${Math.min(free - freePagesKept, vacuumPagesPerTurn)})`);
    return true;
  }

  #expect(key: string, expected: number | undefined): StoredItem {
    const current = this.get(key);
    if (current === undefined) throw new PlatformError('NotFound', `${key}: not found`);
    if (expected !== undefined && current.modRevision !== expected) {
      throw new PlatformError(
        'Conflict',
        `${key}: is at revision ${current.modRevision}, expected was ${expected}`,
      );
    }
    return current;
  }

  #put(next: Omit<StoredItem, 'modRevision'>, previous: StoredItem | undefined): WriteOutcome {
    const revision = ++this.#revision;
    const item = { ...next, modRevision: revision };
    this.#run('INSERT INTO log VALUES (?, ?, ?, ?, ?, ?)', [
      revision,
      item.key,
      item.value,
      item.createRevision,
      item.version,
      previous?.modRevision ?? null,
    ]);
    this.#run(
      'INSERT INTO latest VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET revision = excluded.revision',
      [item.key, revision],
    );
    const base = { type: 'put', key: item.key, item, revision } as const;
    return { event: previous === undefined ? base : { ...base, previous } };
  }

  #listLatest(prefix: string, after: string, limit: number): Row[] {
    const [from, to] = keyRange(prefix);
    return this.#all(
      `SELECT log.* FROM latest JOIN log ON log.revision = latest.revision
        WHERE latest.key >= ? AND latest.key < ? AND latest.key > ? ORDER BY latest.key LIMIT ?`,
      [from, to, after, limit > 0 ? limit : -1],
    ) as Row[];
  }

  #listAt(revision: number, prefix: string, after: string, limit: number): Row[] {
    this.#assertReadable(revision);
    const [from, to] = keyRange(prefix);
    return this.#all(
      `SELECT log.* FROM (${keysAt}) AS newest JOIN log ON log.revision = newest.at
        WHERE log.value IS NOT NULL ORDER BY log.key LIMIT ?`,
      [from, to, after, revision, limit > 0 ? limit : -1],
    ) as Row[];
  }

  #countAfter(revision: number, prefix: string, after: string): number {
    if (revision === this.#revision) return this.count(prefix, after);
    const [from, to] = keyRange(prefix);
    const counted = this.#one(
      `SELECT count(*) AS n FROM (${keysAt}) AS newest JOIN log ON log.revision = newest.at
        WHERE log.value IS NOT NULL`,
      [from, to, after, revision],
    ) as { n: number };
    return counted.n;
  }

  #assertReadable(revision: number): void {
    this.assertKept(revision);
    if (revision > this.#revision) {
      throw new PlatformError('Invalid', `revision ${revision} is in the future: now is ${this.#revision}`);
    }
  }

  #prepareFile(): void {
    const id = this.#database.pragma('application_id', { simple: true });
    const version = this.#database.pragma('user_version', { simple: true });
    const tables = this.#database.prepare('SELECT count(*) AS n FROM sqlite_schema').get() as { n: number };
    if (tables.n === 0) {
      this.#database.transaction(() => {
        this.#database.exec(schema);
        this.#database.pragma(`application_id = ${applicationId}`);
        this.#database.pragma(`user_version = ${schemaVersion}`);
      })();
    } else if (id !== applicationId || version !== schemaVersion) {
      const found = `application ${String(id)}, version ${String(version)}`;
      throw new PlatformError(
        'Internal',
        `open store ${this.#database.name}: not a store of this version (${found})`,
      );
    }
  }

  #statement(sql: string): Statement {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #one(sql: string, parameters: unknown[]): unknown {
    return this.#statement(sql).get(...parameters);
  }

  #all(sql: string, parameters: unknown[]): unknown[] {
    return this.#statement(sql).all(...parameters);
  }

  #run(sql: string, parameters: unknown[]): void {
    this.#statement(sql).run(...parameters);
  }
}

const freePagesKept = 1_024;
const vacuumPagesPerTurn = 512;

/** The newest row of each key of a range at a revision. */
const keysAt = `SELECT max(revision) AS at FROM log INDEXED BY log_by_key
  WHERE key >= ? AND key < ? AND key > ? AND revision <= ? GROUP BY key`;

/** Keys with the prefix are those from the first of the two to before the second (in bytes of UTF-8). */
function keyRange(prefix: string): readonly [string, string] {
  assertPrefix(prefix);
  // '0' is the character after '/'.
  return prefix === '' ? ['', '\u{10ffff}'] : [prefix, `${prefix.slice(0, -1)}0`];
}

/** Prefixes are folders: with others `/pods/a` would also mean `/pods/ab/c`, and watchers could not be found by key. */
export function assertPrefix(prefix: string): void {
  if (prefix !== '' && !prefix.endsWith('/')) {
    throw new PlatformError('Invalid', `store prefix ${prefix}: must be empty or end with "/"`);
  }
}

function itemOf(row: Row): StoredItem {
  return {
    key: row.key,
    value: row.value ?? '',
    createRevision: row.create_revision,
    modRevision: row.revision,
    version: row.version,
  };
}

function eventOf(row: EventRow): StoreEvent {
  const base = { key: row.key, revision: row.revision };
  const previous = previousOf(row);
  if (row.value === null) {
    if (previous === undefined) {
      throw new PlatformError(
        'Internal',
        `store: delete of ${row.key} at ${row.revision} lost what it deleted`,
      );
    }
    return { type: 'delete', ...base, previous };
  }
  const put = { type: 'put', ...base, item: itemOf(row) } as const;
  return previous === undefined ? put : { ...put, previous };
}

function previousOf(row: EventRow): StoredItem | undefined {
  if (row.previous === null || row.previous_value === null) return undefined;
  return {
    key: row.key,
    value: row.previous_value,
    createRevision: row.previous_create ?? 0,
    modRevision: row.previous,
    version: row.previous_version ?? 0,
  };
}
