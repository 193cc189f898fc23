export type { ListOptions, ListResult, Store, StoredItem, StoreEvent, StoreWatch } from './store.ts';
export { openSqliteStore, type SqliteStoreOptions } from './sqlite/sqlite-store.ts';
