import { mkdtemp, rm, stat, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { build } from 'esbuild';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { storeConformance } from '../conformance.ts';
import { openSqliteStore } from './sqlite-store.ts';

let folder: string;
let files = 0;
const newPath = (): string => join(folder, `${++files}.db`);

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hn-store-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

storeConformance('sqlite', (options) => openSqliteStore({ path: newPath(), ...options }));

async function sizeOnDisk(path: string): Promise<number> {
  const sizes = await Promise.all(
    [path, `${path}-wal`].map((each) =>
      stat(each).then(
        (found) => found.size,
        () => 0,
      ),
    ),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

describe('SQLite store', () => {
  test('a storm of updates keeps the file bounded', async () => {
    const path = newPath();
    await using store = await openSqliteStore({ path, keepRevisions: 1_000 });
    const value = JSON.stringify({ holder: 'x'.repeat(500) });
    const items = await Promise.all(
      Array.from({ length: 10 }, (_, n) => store.create(`/leases/${n}`, value)),
    );
    let half = 0;
    for (let round = 0; round < 2_000; round++) {
      await Promise.all(
        items.map(async (item, n) => {
          items[n] = await store.update(item.key, value, item.modRevision);
        }),
      );
      if (round === 1_000) half = await sizeOnDisk(path);
    }
    const size = await sizeOnDisk(path);
    // 20,000 revisions of 600 bytes would be 12 MB and more; about 1,100 are kept, with 4 MB of log and 4 MB of free pages.
    expect(size).toBeLessThan(9_000_000);
    expect(size).toBeLessThan(half * 1.2);
    expect(store.progress()).toBe(20_010);
    expect((await store.list('/leases/')).items).toHaveLength(10);
  });

  test('free pages go back to the file system', async () => {
    const path = newPath();
    await using store = await openSqliteStore({ path });
    const value = 'x'.repeat(10_000);
    await Promise.all(Array.from({ length: 2_000 }, (_, n) => store.create(`/f/${n}`, value)));
    await Promise.all(Array.from({ length: 2_000 }, (_, n) => store.delete(`/f/${n}`)));
    await store.compact(store.progress());
    await store[Symbol.asyncDispose]();
    // 20 MB were written; 1,024 free pages of 4 KiB may stay.
    expect((await stat(path)).size).toBeLessThan(6_000_000);
  });

  test('revisions go on after reopening, even when everything is deleted and compacted', async () => {
    const path = newPath();
    const first = await openSqliteStore({ path });
    await first.create('/a/x', '1');
    const { revision } = await first.delete('/a/x');
    await first.compact(revision);
    await first[Symbol.asyncDispose]();
    await using second = await openSqliteStore({ path });
    expect(second.progress()).toBe(revision);
    expect((await second.create('/a/x', '2')).modRevision).toBe(revision + 1);
    await expect(second.list('/a/', { revision: revision - 1 })).rejects.toMatchObject({ reason: 'Expired' });
  });

  test('history survives reopening: old lists and watches go on', async () => {
    const path = newPath();
    const first = await openSqliteStore({ path });
    const created = await first.create('/a/x', '1');
    await first.update('/a/x', '2', created.modRevision);
    await first[Symbol.asyncDispose]();
    await using second = await openSqliteStore({ path });
    const then = await second.list('/a/', { revision: created.modRevision });
    expect(then.items[0]?.value).toBe('1');
    const iterator = second.watch('/a/', 0, new AbortController().signal)[Symbol.asyncIterator]();
    expect((await iterator.next()).value).toMatchObject({ type: 'put', item: { value: '1' } });
    expect((await iterator.next()).value).toMatchObject({ item: { value: '2' }, previous: { value: '1' } });
  });

  test('age expires history', async () => {
    let now = 1_000_000;
    await using store = await openSqliteStore({
      path: newPath(),
      keepMs: 60_000,
      keepRevisions: 10,
      clock: { now: () => now },
    });
    let item = await store.create('/a/x', '0');
    now += 120_000;
    for (let n = 0; n < 12; n++) item = await store.update('/a/x', `${n}`, item.modRevision);
    await expect(store.list('/a/', { revision: 1 })).rejects.toMatchObject({ reason: 'Expired' });
  });

  test('a file of another program and a second server are refused', async () => {
    const foreign = newPath();
    const database = new Database(foreign);
    database.exec('CREATE TABLE other (x)');
    database.close();
    await expect(openSqliteStore({ path: foreign })).rejects.toMatchObject({ reason: 'Internal' });

    const path = newPath();
    await using store = await openSqliteStore({ path });
    await store.create('/a/x', '1');
    await expect(openSqliteStore({ path })).rejects.toMatchObject({ reason: 'Unavailable' });
    await expect(openSqliteStore({ path: join(folder, 'none', 'x.db') })).rejects.toMatchObject({
      reason: 'Internal',
    });
  });

  test('every acknowledged write is there after kill -9', async () => {
    const path = newPath();
    const program = join(folder, 'writer.mjs');
    await symlink(join(import.meta.dirname, '../../../../node_modules'), join(folder, 'node_modules'));
    await build({
      entryPoints: [join(import.meta.dirname, 'crash-writer.fixture.ts')],
      bundle: true,
      platform: 'node',
      format: 'esm',
      external: ['better-sqlite3'],
      outfile: program,
      logLevel: 'silent',
    });
    const acknowledged = await runUntilKilled(program, path, 400);
    await using store = await openSqliteStore({ path });
    const present = new Map((await store.list('/k/')).items.map((item) => [item.key, item.modRevision]));
    expect(acknowledged.length).toBeGreaterThanOrEqual(400);
    for (const { key, revision } of acknowledged) expect(present.get(key)).toBe(revision);
    expect(store.progress()).toBeGreaterThanOrEqual(Math.max(...acknowledged.map((each) => each.revision)));
  });
});

/** Reads "key revision" lines of the writer, kills it in the middle of its work after so many. */
async function runUntilKilled(
  program: string,
  path: string,
  lines: number,
): Promise<{ key: string; revision: number }[]> {
  const child = spawn(process.execPath, [program, path], { stdio: ['ignore', 'pipe', 'inherit'] });
  const acknowledged: { key: string; revision: number }[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    const [key = '', revision = ''] = line.split(' ');
    if (revision !== '' && line.endsWith(';')) {
      acknowledged.push({ key, revision: Number(revision.slice(0, -1)) });
    }
    if (acknowledged.length === lines) child.kill('SIGKILL');
  }
  return acknowledged;
}
