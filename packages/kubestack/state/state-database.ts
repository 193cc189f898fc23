import { chmodSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { PlatformError } from '@hypernetes/foundation/errors';

const schema = `
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS networks (
  uid TEXT PRIMARY KEY, short_name TEXT NOT NULL UNIQUE, segment_id INTEGER NOT NULL UNIQUE, uplink_index INTEGER NOT NULL UNIQUE,
  tenant_id TEXT NOT NULL, document TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS subnet_cursors (
  network_uid TEXT NOT NULL, cidr TEXT NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (network_uid, cidr)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ports (
  sandbox_id TEXT PRIMARY KEY, network_uid TEXT NOT NULL, address INTEGER NOT NULL, mac TEXT NOT NULL, tap TEXT NOT NULL,
  document TEXT NOT NULL,
  UNIQUE (network_uid, address), UNIQUE (network_uid, mac), UNIQUE (network_uid, tap)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS load_balancers (
  uid TEXT PRIMARY KEY, network_uid TEXT NOT NULL, document TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS load_balancers_of_network ON load_balancers (network_uid);
CREATE TABLE IF NOT EXISTS load_balancer_addresses (address TEXT PRIMARY KEY, uid TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS proxies (network_uid TEXT PRIMARY KEY, document TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS volumes (id TEXT PRIMARY KEY, tenant_id TEXT NOT NULL, document TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attachments (volume_id TEXT PRIMARY KEY, sandbox_id TEXT NOT NULL, document TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tenants (id TEXT PRIMARY KEY, name TEXT NOT NULL UNIQUE, document TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS tokens (
  hash BLOB PRIMARY KEY, tenant_id TEXT NOT NULL, expires_at INTEGER NOT NULL, document TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS service_generations (network_uid TEXT PRIMARY KEY, generation INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS services (
  network_uid TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, document TEXT NOT NULL,
  PRIMARY KEY (network_uid, namespace, name)) WITHOUT ROWID;
`;

/** The folder everything of Kubestack is in. */
export function kubestackDirectory(dataDir: string): string {
  return join(dataDir, 'kubestack');
}

/** What statements may be given and answer. */
type Value = string | number | bigint | Buffer | null;
export type Row = Readonly<Record<string, Value>>;

/**
 * The one record of what exists, in SQLite. A committed write has reached the disk (WAL, synchronous FULL). One process at a time has it
 * open: the lock ends with the process, so kill -9 leaves nothing to clean.
 */
export class StateDatabase implements Disposable {
  readonly #database: Database.Database;
  readonly #statements = new Map<string, Database.Statement>();

  /** Precondition when another process has it open. */
  constructor(dataDir: string) {
    const folder = kubestackDirectory(dataDir);
    // Virtual machines open their volumes below it: they may pass through, and list nothing.
    mkdirSync(folder, { recursive: true, mode: 0o711 });
    chmodSync(folder, 0o711);
    const path = join(folder, 'state.db');
    this.#database = new Database(path, { timeout: 500 });
    try {
      chmodSync(path, 0o600);
      this.#database.pragma('locking_mode = EXCLUSIVE');
      this.#database.pragma('journal_mode = WAL');
      this.#database.pragma('synchronous = FULL');
      this.#database.exec(schema);
    } catch (cause) {
      this.#database.close();
      const busy = (cause as { code?: string }).code?.startsWith('SQLITE_BUSY') === true;
      if (!busy) throw cause;
      throw new PlatformError(
        'Precondition',
        `open ${path}: another kubestackd runs with this data directory`,
        {
          cause,
        },
      );
    }
  }

  all(sql: string, ...values: readonly Value[]): readonly Row[] {
    return this.#prepare(sql).all(...values) as Row[];
  }

  get(sql: string, ...values: readonly Value[]): Row | undefined {
    return this.#prepare(sql).get(...values) as Row | undefined;
  }

  /** Runs a write, durable on return; answers the number of rows changed. */
  run(sql: string, ...values: readonly Value[]): number {
    return this.#prepare(sql).run(...values).changes;
  }

  /** All writes of the work, or none; durable on return. */
  transaction<T>(work: () => T): T {
    return this.#database.transaction(work).immediate();
  }

  // What is in a document column was written by the same class that reads it: the caller knows its shape.
  /* eslint-disable @typescript-eslint/no-unnecessary-type-parameters */

  /** The `document` column of each row, parsed. */
  documents<T>(sql: string, ...values: readonly Value[]): readonly T[] {
    return this.all(sql, ...values).map((row) => JSON.parse(row['document'] as string) as T);
  }

  document<T>(sql: string, ...values: readonly Value[]): T | undefined {
    return this.documents<T>(sql, ...values)[0];
  }

  /* eslint-enable @typescript-eslint/no-unnecessary-type-parameters */

  getMeta(key: string): string | undefined {
    return this.get('SELECT value FROM meta WHERE key = ?', key)?.['value'] as string | undefined;
  }

  setMeta(key: string, value: string): void {
    this.run('INSERT INTO meta VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value', key, value);
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }

  #prepare(sql: string): Database.Statement {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

/** True when a write failed because a UNIQUE or PRIMARY KEY value is taken. */
export function isUniqueViolation(error: unknown): boolean {
  const code = (error as { code?: string }).code;
  return code === 'SQLITE_CONSTRAINT_UNIQUE' || code === 'SQLITE_CONSTRAINT_PRIMARYKEY';
}
