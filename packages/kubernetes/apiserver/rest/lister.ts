import { isPlatformError, PlatformError } from '@hypernetes/foundation/errors';
import { badRequest, statusError } from '../../api/index.ts';
import type { Store } from '../../store/index.ts';
import { CachedObject } from '../cache/cached-object.ts';
import type { StoreDispatcher } from '../cache/store-dispatcher.ts';
import { expired } from '../http/status-error.ts';
import type { ResourceStorage } from '../registry/resource-storage.ts';
import { formatContinueToken, parseContinueToken, type ContinueToken } from './continue-token.ts';
import { followNamespace } from './namespace-change.ts';
import type { Selection } from './selection.ts';

/** meta/v1 ListOptions as far as reading goes. */
export interface ListQuery {
  readonly resourceVersion: string;
  readonly resourceVersionMatch: string;
  readonly limit: number;
  readonly continueToken: string;
}

export interface ListPage {
  readonly items: readonly CachedObject[];
  readonly metadata: {
    readonly resourceVersion: string;
    readonly continue?: string;
    readonly remainingItemCount?: number;
  };
}

// How long a list waits for a version that is not there yet, as the real server.
const futureVersionWaitMs = 3_000;
// Objects read at once while filtering a page out of the store.
const scanPageSize = 500;

function wholeNumber(text: string | null, name: string): number {
  if (text === null || text === '') return 0;
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) {
    throw badRequest(
      `invalid value ${JSON.stringify(text)} for ${name}: must be a number that is not negative`,
    );
  }
  return value;
}

/** A resourceVersion parameter as a number; '' is undefined. */
export function parseVersion(text: string): number | undefined {
  return text === '' ? undefined : wholeNumber(text, 'resourceVersion');
}

/** 422 for a parameter that does not go with the others. */
export function forbiddenParameter(field: string, why: string): PlatformError {
  const message = `Forbidden: ${why}`;
  return statusError('Invalid', {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: `ListOptions.meta.k8s.io "" is invalid: ${field}: ${message}`,
    reason: 'Invalid',
    details: {
      group: 'meta.k8s.io',
      kind: 'ListOptions',
      causes: [{ reason: 'FieldValueForbidden', message, field }],
    },
    code: 422,
  });
}

/** Reads and checks the parameters of a list (API concepts, "Resource versions", "Retrieving large results sets in chunks"). */
export function parseListQuery(query: URLSearchParams): ListQuery {
  const resourceVersion = query.get('resourceVersion') ?? '';
  const resourceVersionMatch = query.get('resourceVersionMatch') ?? '';
  const continueToken = query.get('continue') ?? '';
  const limit = wholeNumber(query.get('limit'), 'limit');
  wholeNumber(resourceVersion, 'resourceVersion');
  if (resourceVersionMatch !== '') {
    if (resourceVersion === '') {
      throw forbiddenParameter(
        'resourceVersionMatch',
        'resourceVersionMatch is forbidden unless resourceVersion is provided',
      );
    }
    if (continueToken !== '') {
      throw forbiddenParameter(
        'resourceVersionMatch',
        'resourceVersionMatch is forbidden when continue is provided',
      );
    }
    if (resourceVersionMatch !== 'Exact' && resourceVersionMatch !== 'NotOlderThan') {
      throw forbiddenParameter('resourceVersionMatch', `supported values: "Exact", "NotOlderThan"`);
    }
    if (resourceVersionMatch === 'Exact' && resourceVersion === '0') {
      throw forbiddenParameter(
        'resourceVersionMatch',
        'resourceVersionMatch "Exact" is forbidden for resourceVersion "0"',
      );
    }
  }
  if (continueToken !== '' && resourceVersion !== '' && resourceVersion !== '0') {
    throw badRequest('specifying resource version is not allowed when using continue');
  }
  return { resourceVersion, resourceVersionMatch, limit, continueToken };
}

/** Lists of one kind: from the cache where it can answer, from the store for a named past version. */
export class Lister {
  readonly #store: Store;
  readonly #dispatcher: StoreDispatcher;

  constructor(store: Store, dispatcher: StoreDispatcher) {
    this.#store = store;
    this.#dispatcher = dispatcher;
  }

  async list(
    storage: ResourceStorage,
    selection: Selection,
    query: ListQuery,
    signal: AbortSignal,
  ): Promise<ListPage> {
    const { prefix } = storage.registration;
    if (query.continueToken !== '') {
      const token = parseContinueToken(query.continueToken, prefix);
      return await this.#listPast(storage, selection, query.limit, token);
    }
    if (isExact(query)) {
      const revision = Number(query.resourceVersion);
      await this.#waitFor(revision, signal);
      return await this.#listPast(storage, selection, query.limit, { revision, startAfterKey: '' });
    }
    await this.#freshness(query.resourceVersion, signal);
    await storage.cache.load();
    return this.#listCached(storage, selection, query.limit);
  }

  async #freshness(resourceVersion: string, signal: AbortSignal): Promise<void> {
    if (resourceVersion === '') await this.#dispatcher.catchUp(signal);
    else if (resourceVersion !== '0') await this.#waitFor(Number(resourceVersion), signal);
  }

  async #waitFor(revision: number, signal: AbortSignal): Promise<void> {
    try {
      await this.#dispatcher.waitFor(revision, futureVersionWaitMs, signal);
    } catch (error) {
      if (!isPlatformError(error, 'DeadlineExceeded')) throw error;
      throw statusError('DeadlineExceeded', {
        kind: 'Status',
        apiVersion: 'v1',
        metadata: {},
        status: 'Failure',
        message: `Timeout: ${error.message}`,
        reason: 'Timeout',
        details: {
          causes: [{ reason: 'ResourceVersionTooLarge', message: 'Too large resource version' }],
          retryAfterSeconds: 1,
        },
        code: 504,
      });
    }
  }

  #listCached(storage: ResourceStorage, selection: Selection, limit: number): ListPage {
    const revision = this.#dispatcher.revision;
    const all = storage.cache.list(selection.scope).map((item) => storage.view(item));
    const { matches } = selection;
    const items = matches === undefined ? all : all.filter((item) => matches(item.object));
    if (limit === 0 || items.length <= limit) {
      return { items, metadata: { resourceVersion: String(revision) } };
    }
    const page = items.slice(0, limit);
    return pageOf(page, revision, selection.matches === undefined ? items.length - limit : undefined);
  }

  async #listPast(
    storage: ResourceStorage,
    selection: Selection,
    limit: number,
    from: ContinueToken,
  ): Promise<ListPage> {
    const { namespace } = selection.scope;
    if (namespace !== undefined)
      followNamespace(this.#dispatcher, namespace, from.revision, () => undefined)();
    const prefix = scanPrefix(storage, selection);
    const found: CachedObject[] = [];
    let startAfterKey = from.startAfterKey;
    for (;;) {
      const page = await this.#readPast(prefix, from.revision, startAfterKey);
      for (const [index, stored] of page.items.entries()) {
        const item = storage.view(new CachedObject(stored));
        if (!isSelected(storage, selection, item)) continue;
        found.push(item);
        if (limit > 0 && found.length === limit) {
          const remaining = page.items.length - index - 1 + page.remaining;
          if (remaining === 0) break;
          return pageOf(found, from.revision, selection.matches === undefined ? remaining : undefined);
        }
      }
      const last = page.items.at(-1);
      if (page.remaining === 0 || last === undefined) break;
      startAfterKey = last.key;
    }
    return { items: found, metadata: { resourceVersion: String(from.revision) } };
  }

  async #readPast(
    prefix: string,
    revision: number,
    startAfterKey: string,
  ): Promise<Awaited<ReturnType<Store['list']>>> {
    try {
      return await this.#store.list(prefix, {
        revision,
        limit: scanPageSize,
        ...(startAfterKey === '' ? {} : { startAfterKey }),
      });
    } catch (error) {
      if (!isPlatformError(error, 'Expired')) throw error;
      throw expired(
        startAfterKey === ''
          ? `The resourceVersion for the provided list is too old: ${revision}`
          : 'The provided continue parameter is too old to display a consistent list result. You can start a new list without the continue parameter.',
      );
    }
  }
}

// Real servers read "limit with a version" as "exactly that version" as well.
function isExact(query: ListQuery): boolean {
  if (query.resourceVersion === '' || query.resourceVersion === '0') return false;
  return query.resourceVersionMatch === 'Exact' || (query.resourceVersionMatch === '' && query.limit > 0);
}

function pageOf(items: readonly CachedObject[], revision: number, remaining: number | undefined): ListPage {
  const last = items.at(-1);
  return {
    items,
    metadata: {
      resourceVersion: String(revision),
      continue: formatContinueToken({ revision, startAfterKey: last?.key ?? '' }),
      ...(remaining === undefined ? {} : { remainingItemCount: remaining }),
    },
  };
}

function scanPrefix(storage: ResourceStorage, selection: Selection): string {
  const { prefix, kind } = storage.registration;
  return kind.namespaced && selection.scope.namespace !== undefined
    ? `${prefix}${selection.scope.namespace}/`
    : prefix;
}

function isSelected(storage: ResourceStorage, selection: Selection, item: CachedObject): boolean {
  const { name } = selection.scope;
  if (name !== undefined && item.object.metadata.name !== name) return false;
  return selection.matches === undefined || selection.matches(item.object);
}
