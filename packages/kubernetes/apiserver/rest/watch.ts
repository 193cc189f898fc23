import { badRequest } from '../../api/index.ts';
import type { CachedObject } from '../cache/cached-object.ts';
import type { CacheEvent } from '../cache/resource-cache.ts';
import type { StoreDispatcher } from '../cache/store-dispatcher.ts';
import { representationKey } from '../http/negotiation.ts';
import type { RequestContext } from '../http/request-context.ts';
import { isTrue } from '../http/request-info.ts';
import { startStream } from '../http/responder.ts';
import { toStatus } from '../http/status-error.ts';
import type { ResourceStorage } from '../registry/resource-storage.ts';
import { forbiddenParameter, parseVersion } from './lister.ts';
import { renderBookmark, renderObject, type Rendering } from './representation.ts';
import { followNamespace } from './namespace-change.ts';
import type { Selection } from './selection.ts';
import { WatchStream } from './watch-stream.ts';

const bookmarkIntervalMs = 60_000;
// As the real server: between half an hour and an hour, so that clients do not all come back at once.
const defaultTimeoutMs = 1_800_000;
const initialEventsEnd = { 'k8s.io/initial-events-end': 'true' };

interface WatchQuery {
  readonly fromRevision: number | undefined;
  /** Send what is there as ADDED before the changes. */
  readonly initialEvents: boolean;
  /** Say by a bookmark where the initial events end. */
  readonly markEnd: boolean;
  readonly bookmarks: boolean;
  readonly timeoutMs: number;
}

/** Reads and checks the parameters of a watch (API concepts, "Efficient detection of changes", "Streaming lists"). */
function parseWatchQuery(query: URLSearchParams): WatchQuery {
  const version = query.get('resourceVersion') ?? '';
  const match = query.get('resourceVersionMatch') ?? '';
  const sendInitial = query.get('sendInitialEvents');
  const bookmarks = query.has('allowWatchBookmarks') && isTrue(query.get('allowWatchBookmarks'));
  if (sendInitial !== null && match !== 'NotOlderThan') {
    throw forbiddenParameter(
      'resourceVersionMatch',
      'sendInitialEvents requires setting resourceVersionMatch to NotOlderThan',
    );
  }
  if (sendInitial === null && match !== '') {
    throw forbiddenParameter(
      'resourceVersionMatch',
      'resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided',
    );
  }
  const seconds = Number(query.get('timeoutSeconds') ?? '0');
  if (!Number.isFinite(seconds) || seconds < 0) throw badRequest('timeoutSeconds: must not be negative');
  const fromRevision = parseVersion(version);
  const fromStart = fromRevision === undefined || fromRevision === 0;
  const markEnd = sendInitial !== null && isTrue(sendInitial);
  return {
    fromRevision: fromStart || markEnd ? undefined : fromRevision,
    initialEvents: markEnd || (sendInitial === null && fromStart),
    markEnd,
    bookmarks,
    timeoutMs: seconds > 0 ? seconds * 1000 : defaultTimeoutMs + Math.random() * defaultTimeoutMs,
  };
}

const encoder = new TextEncoder();

function frame(type: string, object: string): Uint8Array {
  return encoder.encode(`{"type":"${type}","object":${object}}\n`);
}

interface Change {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED';
  readonly item: CachedObject;
}

/** What a change is for a reader of a selection: an object that comes into it is added, one that leaves it is deleted. */
function changeFor(
  event: CacheEvent,
  storage: ResourceStorage,
  matches: Selection['matches'],
): Change | undefined {
  const current = event.current === undefined ? undefined : storage.view(event.current);
  const previous = event.previous === undefined ? undefined : storage.view(event.previous);
  const is = current !== undefined && (matches === undefined || matches(current.object));
  const was = previous !== undefined && (matches === undefined || matches(previous.object));
  if (is) return { type: was ? 'MODIFIED' : 'ADDED', item: current };
  return was ? { type: 'DELETED', item: previous.at(event.revision) } : undefined;
}

/** Answers a watch until its time is over, the client goes, or it falls behind. */
export async function serveWatch(
  context: RequestContext,
  dispatcher: StoreDispatcher,
  storage: ResourceStorage,
  selection: Selection,
  rendering: Rendering,
): Promise<void> {
  const query = parseWatchQuery(context.query);
  if (query.initialEvents && context.query.get('resourceVersion') !== '0')
    await dispatcher.catchUp(context.signal);
  if (query.initialEvents) await storage.cache.load();
  if (context.signal.aborted) return;
  const key = `${storage.registration.kind.definition}/${representationKey(rendering.representation)}/${rendering.includeObject}`;
  const pending: Uint8Array[] = [];
  let stream: WatchStream | undefined;
  const send = (bytes: Uint8Array): void => {
    if (stream === undefined) pending.push(bytes);
    else stream.send(bytes);
  };
  const startRevision = query.fromRevision ?? dispatcher.revision;
  if (query.initialEvents) {
    for (const item of storage.cache.list(selection.scope)) {
      const seen = storage.view(item);
      if (selection.matches === undefined || selection.matches(seen.object)) {
        send(frame('ADDED', renderObject(seen, rendering, Date.now())));
      }
    }
    if (query.markEnd && query.bookmarks) {
      send(frame('BOOKMARK', renderBookmark(String(startRevision), initialEventsEnd, rendering)));
    }
  }
  const { namespace } = selection.scope;
  const unfollow =
    namespace === undefined
      ? () => undefined
      : followNamespace(dispatcher, namespace, startRevision, () => stream?.end());
  let unsubscribe = unfollow;
  const watcher = {
    scope: selection.scope,
    onEvent: (event: CacheEvent) => {
      const change = changeFor(event, storage, selection.matches);
      if (change === undefined) return;
      send(
        event.encoded(`${key}/${change.type}`, () =>
          frame(change.type, renderObject(change.item, rendering, Date.now())),
        ),
      );
    },
    onLost: (error: Error) => {
      send(frame('ERROR', JSON.stringify(toStatus(error))));
      stream?.end();
    },
  };
  try {
    const unwatch = storage.cache.subscribe(watcher, startRevision);
    unsubscribe = () => {
      unwatch();
      unfollow();
    };
    const contentType = 'application/json';
    stream = new WatchStream(
      startStream(context.response, { code: 200, contentType }),
      context.signal,
      context.log,
    );
    if (pending.length > 0) stream.send(Buffer.concat(pending.splice(0)));
    await untilOver(stream, query, () =>
      frame(
        'BOOKMARK',
        renderBookmark(String(Math.max(startRevision, dispatcher.revision)), undefined, rendering),
      ),
    );
  } finally {
    unsubscribe();
  }
}

async function untilOver(stream: WatchStream, query: WatchQuery, bookmark: () => Uint8Array): Promise<void> {
  if (stream.done.aborted) return;
  const timer = setTimeout(() => {
    // The last word before the end lets the client go on from here instead of from its last event.
    if (query.bookmarks) stream.send(bookmark());
    stream.end();
  }, query.timeoutMs);
  const interval = setInterval(() => {
    if (query.bookmarks) stream.send(bookmark());
  }, bookmarkIntervalMs);
  await new Promise<void>((resolve) =>
    stream.done.addEventListener('abort', () => resolve(), { once: true }),
  );
  clearTimeout(timer);
  clearInterval(interval);
}
