import { setMaxListeners } from 'node:events';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Store, StoreEvent, StoreWatch } from './store.ts';

/** Opens an empty store; the suite disposes it. `keepRevisions` bounds automatic compaction where the backend has one. */
export type StoreFactory = (options?: { readonly keepRevisions?: number }) => Promise<Store>;

async function take(watch: StoreWatch, count: number): Promise<StoreEvent[]> {
  const events: StoreEvent[] = [];
  const iterator = watch[Symbol.asyncIterator]();
  while (events.length < count) {
    const next = await iterator.next();
    if (next.done === true) break;
    events.push(next.value);
  }
  return events;
}

const brief = (event: StoreEvent): string =>
  `${event.revision} ${event.type} ${event.key}${event.type === 'put' ? `=${event.item.value}` : ''}` +
  (event.previous === undefined ? '' : ` was ${event.previous.value}@${event.previous.modRevision}`);

/** What every backend of the store must do; a backend is done when it passes. */
export function storeConformance(name: string, open: StoreFactory): void {
  describe(`store conformance: ${name}`, () => {
    let store: Store;
    let stop: AbortController;

    beforeEach(async () => {
      store = await open();
      stop = new AbortController();
      setMaxListeners(0, stop.signal);
    });
    afterEach(async () => {
      stop.abort();
      await store[Symbol.asyncDispose]();
    });

    test('a created key is read back with its revisions', async () => {
      const created = await store.create('/pods/a/x', '{"n":1}');
      expect(created).toEqual({
        key: '/pods/a/x',
        value: '{"n":1}',
        createRevision: created.modRevision,
        modRevision: created.modRevision,
        version: 1,
      });
      expect(await store.get('/pods/a/x')).toEqual(created);
      expect(await store.get('/pods/a/y')).toBeUndefined();
      expect(store.progress()).toBe(created.modRevision);
    });

    test('values are kept byte for byte', async () => {
      const value = JSON.stringify({ text: 'gr\u00fc\u00df \u{1f600} "\\ \u0000', big: 'x'.repeat(300_000) });
      await store.create('/c/x', value);
      expect((await store.get('/c/x'))?.value).toBe(value);
    });

    test('create of what exists is AlreadyExists and takes no revision', async () => {
      const first = await store.create('/a/x', '1');
      await expect(store.create('/a/x', '2')).rejects.toMatchObject({ reason: 'AlreadyExists' });
      expect(store.progress()).toBe(first.modRevision);
    });

    test('update needs the current revision', async () => {
      const first = await store.create('/a/x', '1');
      const second = await store.update('/a/x', '2', first.modRevision);
      expect(second).toMatchObject({ version: 2, createRevision: first.createRevision, value: '2' });
      expect(second.modRevision).toBeGreaterThan(first.modRevision);
      await expect(store.update('/a/x', '3', first.modRevision)).rejects.toMatchObject({
        reason: 'Conflict',
      });
      await expect(store.update('/a/y', '3', first.modRevision)).rejects.toMatchObject({
        reason: 'NotFound',
      });
      expect((await store.get('/a/x'))?.value).toBe('2');
    });

    test('of concurrent updates at one revision exactly one wins', async () => {
      const first = await store.create('/a/x', '0');
      const results = await Promise.allSettled(
        Array.from({ length: 20 }, (_, n) => store.update('/a/x', String(n), first.modRevision)),
      );
      expect(results.filter((each) => each.status === 'fulfilled')).toHaveLength(1);
      expect((await store.get('/a/x'))?.version).toBe(2);
    });

    test('delete answers what was there; a new create starts over', async () => {
      const first = await store.create('/a/x', '1');
      await expect(store.delete('/a/x', first.modRevision + 1)).rejects.toMatchObject({ reason: 'Conflict' });
      const deleted = await store.delete('/a/x', first.modRevision);
      expect(deleted.previous).toEqual(first);
      expect(deleted.revision).toBeGreaterThan(first.modRevision);
      expect(await store.get('/a/x')).toBeUndefined();
      await expect(store.delete('/a/x')).rejects.toMatchObject({ reason: 'NotFound' });
      const again = await store.create('/a/x', '2');
      expect(again).toMatchObject({ version: 1, createRevision: again.modRevision });
    });

    test('lists are ordered, limited to their prefix, and paged', async () => {
      for (const key of ['/p/b/2', '/p/a/1', '/p/b/1', '/pa/1', '/p/b0/1', '/o/1', '/p/b/10']) {
        await store.create(key, key);
      }
      const all = await store.list('/p/b/');
      expect(all.items.map((item) => item.key)).toEqual(['/p/b/1', '/p/b/10', '/p/b/2']);
      expect(all).toMatchObject({ revision: store.progress(), remaining: 0 });
      expect((await store.list('')).items).toHaveLength(7);
      expect(await store.count('/p/')).toBe(5);

      const page = await store.list('/p/', { limit: 2 });
      expect(page.items.map((item) => item.key)).toEqual(['/p/a/1', '/p/b/1']);
      expect(page.remaining).toBe(3);
      const rest = await store.list('/p/', { limit: 3, startAfterKey: '/p/b/1' });
      expect(rest.items.map((item) => item.key)).toEqual(['/p/b/10', '/p/b/2', '/p/b0/1']);
      expect(rest.remaining).toBe(0);
      await expect(store.list('/p')).rejects.toMatchObject({ reason: 'Invalid' });
    });

    test('a list at an older revision is exactly what was there, page by page', async () => {
      const random = seeded(7);
      const keys = Array.from({ length: 12 }, (_, n) => `/l/${String.fromCharCode(97 + n)}`);
      const history: { revision: number; state: Map<string, string> }[] = [];
      const state = new Map<string, string>();
      for (let step = 0; step < 150; step++) {
        await randomWrite(store, state, keys[Math.floor(random() * keys.length)] ?? '', `${step}`, random);
        history.push({ revision: store.progress(), state: new Map(state) });
      }
      for (const { revision, state: then } of history) {
        const expected = [...then].sort(([a], [b]) => (a < b ? -1 : 1));
        const got: [string, string][] = [];
        let after = '';
        for (;;) {
          const page = await store.list('/l/', { revision, limit: 5, startAfterKey: after });
          expect(page.revision).toBe(revision);
          got.push(...page.items.map((item): [string, string] => [item.key, item.value]));
          expect(page.remaining).toBe(expected.length - got.length);
          if (page.remaining === 0) break;
          after = page.items.at(-1)?.key ?? '';
        }
        expect(got).toEqual(expected);
      }
      await expect(store.list('/l/', { revision: store.progress() + 1 })).rejects.toMatchObject({
        reason: 'Invalid',
      });
    });

    test('a watch hands over history first, then live, with what was there before', async () => {
      const first = await store.create('/w/x', '1');
      const second = await store.update('/w/x', '2', first.modRevision);
      const watch = store.watch('/w/', first.modRevision, stop.signal);
      const events = take(watch, 4);
      await store.create('/other/x', '1');
      const gone = await store.delete('/w/x');
      const back = await store.create('/w/x', '3');
      const other = await store.create('/w/sub/y', '4');
      expect((await events).map(brief)).toEqual([
        `${second.modRevision} put /w/x=2 was 1@${first.modRevision}`,
        `${gone.revision} delete /w/x was 2@${second.modRevision}`,
        `${back.modRevision} put /w/x=3`,
        `${other.modRevision} put /w/sub/y=4`,
      ]);
      expect(watch.delivered).toBe(other.modRevision);
    });

    test('delivered follows writes of other prefixes, and waits for events not yet read', async () => {
      const start = await store.create('/w/x', '1');
      const watch = store.watch('/w/', start.modRevision, stop.signal);
      const iterator = watch[Symbol.asyncIterator]();
      const next = iterator.next();
      await new Promise((resolve) => setImmediate(resolve));
      const elsewhere = await store.create('/other/x', '1');
      expect(watch.delivered).toBe(elsewhere.modRevision);
      await store.create('/w/y', '2');
      const last = await store.create('/w/z', '3');
      await next;
      expect(watch.delivered).toBe(last.modRevision - 1);
      await iterator.next();
      expect(watch.delivered).toBe(last.modRevision);
    });

    test('every watcher sees every event once and in order while many write', async () => {
      const starts: { from: number; events: Promise<StoreEvent[]> }[] = [];
      const total = 300;
      const base = store.progress();
      const writers = Array.from({ length: 6 }, async (_, writer) => {
        for (let n = 0; n < total / 6; n++) {
          await store.create(`/m/${writer}/${n}`, `${n}`);
          if (n % 10 === 0) {
            const from = store.progress();
            starts.push({ from, events: take(store.watch('/m/', from, stop.signal), base + total - from) });
          }
        }
      });
      await Promise.all(writers);
      expect(starts.length).toBeGreaterThan(20);
      for (const { from, events } of starts) {
        const revisions = (await events).map((event) => event.revision);
        expect(revisions).toEqual(Array.from({ length: base + total - from }, (_, n) => from + 1 + n));
      }
    });

    test('a watch ends when its signal fires', async () => {
      const events = take(store.watch('/w/', store.progress(), stop.signal), 1);
      setImmediate(() => stop.abort());
      expect(await events).toEqual([]);
      expect(await take(store.watch('/w/', store.progress(), AbortSignal.abort()), 1)).toEqual([]);
    });

    test('a reader that stops for a while loses nothing', async () => {
      const from = store.progress();
      const watch = store.watch('/s/', from, stop.signal);
      const iterator = watch[Symbol.asyncIterator]();
      const first = iterator.next();
      const count = 3_000;
      await Promise.all(Array.from({ length: count }, (_, n) => store.create(`/s/${n}`, '')));
      const revisions = [(await first).value as StoreEvent];
      while (revisions.length < count) revisions.push((await iterator.next()).value as StoreEvent);
      expect(revisions.map((event) => event.revision)).toEqual(
        Array.from({ length: count }, (_, n) => from + 1 + n),
      );
    });

    test('compaction expires what came before and keeps the present', async () => {
      let item = await store.create('/k/x', '0');
      const early = item.modRevision;
      for (let n = 1; n <= 5; n++) item = await store.update('/k/x', String(n), item.modRevision);
      const gone = await store.create('/k/gone', '');
      const deleted = await store.delete('/k/gone');
      await store.compact(deleted.revision);
      await expect(store.list('/k/', { revision: early })).rejects.toMatchObject({ reason: 'Expired' });
      await expect(take(store.watch('/k/', gone.modRevision, stop.signal), 1)).rejects.toMatchObject({
        reason: 'Expired',
      });
      expect((await store.list('/k/', { revision: deleted.revision })).items).toEqual([item]);
      const next = take(store.watch('/k/', deleted.revision, stop.signal), 1);
      const last = await store.update('/k/x', 'last', item.modRevision);
      expect((await next).map(brief)).toEqual([
        `${last.modRevision} put /k/x=last was 5@${item.modRevision}`,
      ]);
      await expect(store.compact(last.modRevision + 1)).rejects.toMatchObject({ reason: 'Invalid' });
    });

    test('history after the compacted revision stays exact', async () => {
      const random = seeded(3);
      const state = new Map<string, string>();
      const steps: { revision: number; keys: string[] }[] = [];
      for (let step = 0; step < 120; step++) {
        await randomWrite(store, state, `/h/${Math.floor(random() * 6)}`, `${step}`, random);
        steps.push({ revision: store.progress(), keys: [...state.keys()].sort() });
      }
      const middle = steps[60]?.revision ?? 0;
      await store.compact(middle);
      for (const step of steps.filter((each) => each.revision >= middle)) {
        const listed = await store.list('/h/', { revision: step.revision });
        expect(listed.items.map((item) => item.key)).toEqual(step.keys);
      }
      const events = await take(store.watch('/h/', middle, stop.signal), store.progress() - middle);
      expect(events.map((event) => event.revision)).toEqual(
        Array.from({ length: store.progress() - middle }, (_, n) => middle + 1 + n),
      );
      expect(events.every((event) => event.type === 'put' || event.previous.value !== '')).toBe(true);
    });

    test('a watcher overtaken by compaction is told to list again', async () => {
      const watch = store.watch('/s/', store.progress(), stop.signal);
      const iterator = watch[Symbol.asyncIterator]();
      const first = iterator.next();
      await Promise.all(Array.from({ length: 5_000 }, (_, n) => store.create(`/s/${n}`, '')));
      await store.compact(store.progress());
      await first;
      await expect(
        (async () => {
          for (let n = 0; n < 5_000; n++) await iterator.next();
        })(),
      ).rejects.toMatchObject({ reason: 'Expired' });
      expect((await iterator.next()).done).toBe(true);
    });

    test('history is bounded by itself', async () => {
      await using bounded = await open({ keepRevisions: 100 });
      let item = await bounded.create('/b/x', '0');
      for (let n = 0; n < 500; n++) item = await bounded.update('/b/x', `${n}`, item.modRevision);
      await expect(bounded.list('/b/', { revision: item.modRevision - 300 })).rejects.toMatchObject({
        reason: 'Expired',
      });
      expect((await bounded.list('/b/', { revision: item.modRevision - 50 })).items).toHaveLength(1);
    });

    test('after closing everything is refused and watches end with an error', async () => {
      const watching = take(store.watch('/w/', store.progress(), stop.signal), 1);
      const outcome = expect(watching).rejects.toMatchObject({ reason: 'Unavailable' });
      await new Promise((resolve) => setImmediate(resolve));
      await store[Symbol.asyncDispose]();
      await outcome;
      await expect(store.get('/w/x')).rejects.toMatchObject({ reason: 'Unavailable' });
      await expect(store.create('/w/x', '')).rejects.toMatchObject({ reason: 'Unavailable' });
    });
  });
}

async function randomWrite(
  store: Store,
  state: Map<string, string>,
  key: string,
  value: string,
  random: () => number,
): Promise<void> {
  const current = await store.get(key);
  expect(current?.value).toBe(state.get(key));
  if (current === undefined) {
    await store.create(key, value);
    state.set(key, value);
  } else if (random() < 0.4) {
    await store.delete(key, current.modRevision);
    state.delete(key);
  } else {
    await store.update(key, value, current.modRevision);
    state.set(key, value);
  }
}

/** Numbers that look random and are the same in every run (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
