import { tenantIdKey } from '../authorization/authorizer.ts';
import { storePrefix, type CacheEvent } from '../cache/resource-cache.ts';
import type { StoreDispatcher } from '../cache/store-dispatcher.ts';
import { expired } from '../http/status-error.ts';

function becomesAnother({ current, previous }: CacheEvent): boolean {
  if (current === undefined) return true;
  const tenantOf = (state: typeof current) => state.object.metadata.annotations?.[tenantIdKey];
  return previous !== undefined && tenantOf(current) !== tenantOf(previous);
}

/**
 * Calls back when the namespace is deleted or given to another tenant: whoever was let in to it was let in to another one. Throws Expired when
 * that has happened since the revision, or when it is not known any more: names are used again, and what went before is not for
 * those who come after. The answer ends it.
 */
export function followNamespace(
  dispatcher: StoreDispatcher,
  name: string,
  fromRevision: number,
  onChange: () => void,
): () => void {
  const state = { following: false, changed: false };
  const unsubscribe = dispatcher.cache(storePrefix({ group: '', plural: 'namespaces' })).subscribe(
    {
      scope: { name },
      onEvent: (event) => {
        if (!becomesAnother(event)) return;
        state.changed = true;
        if (state.following) onChange();
      },
      onLost: () => {
        if (state.following) onChange();
      },
    },
    fromRevision,
  );
  state.following = true;
  if (!state.changed) return unsubscribe;
  unsubscribe();
  throw expired(`too old resource version: namespace ${JSON.stringify(name)} is another one since`);
}
