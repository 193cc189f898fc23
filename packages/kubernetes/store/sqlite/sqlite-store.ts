import { PlatformError } from '@hypernetes/foundation/errors';
import type { Store } from '../store.ts';

export interface SqliteStoreOptions {
  /** Path of the database file; its folder must exist. */
  readonly path: string;
  /** History older than this is compacted, in milliseconds. Default 5 minutes. */
  readonly keepMs?: number;
  /** Never more than about this many revisions of history. Default 100,000. */
  readonly keepRevisions?: number;
}

/** Opens (creates) the store. Unavailable: another process has it open. Internal: not a store of ours, or damaged. */
export function openSqliteStore(options: SqliteStoreOptions): Promise<Store> {
  return Promise.reject(new PlatformError('Unimplemented', `open store ${options.path}: not there yet`));
}
