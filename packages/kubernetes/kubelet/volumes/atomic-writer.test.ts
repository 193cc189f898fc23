import { mkdtemp, readdir, readFile, readlink, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { assertSafePath, writeFilesAtomically, type VolumeFile } from './atomic-writer.ts';

let folder: string;

beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'hypernetes-volume-')), 'v');
});

afterEach(async () => {
  await rm(join(folder, '..'), { recursive: true, force: true });
});

function files(contents: Readonly<Record<string, string>>, mode = 0o644): Map<string, VolumeFile> {
  return new Map(
    Object.entries(contents).map(([path, text]) => [path, { content: Buffer.from(text), mode }]),
  );
}

describe('writeFilesAtomically', () => {
  it('shows files through ..data, nested ones too, with their modes', async () => {
    expect(await writeFilesAtomically(folder, files({ a: '1', 'b/c': '2' }, 0o600))).toBe(true);
    expect(await readFile(join(folder, 'a'), 'utf8')).toBe('1');
    expect(await readFile(join(folder, 'b', 'c'), 'utf8')).toBe('2');
    expect(await readlink(join(folder, 'a'))).toBe('..data/a');
    expect((await stat(join(folder, 'a'))).mode & 0o777).toBe(0o600);
  });

  it('replaces all at once and leaves nothing old', async () => {
    await writeFilesAtomically(folder, files({ a: '1', old: 'x' }));
    const before = await readlink(join(folder, '..data'));
    expect(await writeFilesAtomically(folder, files({ a: '2', fresh: 'y' }))).toBe(true);
    const after = await readlink(join(folder, '..data'));
    expect(after).not.toBe(before);
    expect((await readdir(folder)).sort()).toEqual(['..data', after, 'a', 'fresh'].sort());
    expect(await readFile(join(folder, 'a'), 'utf8')).toBe('2');
  });

  it('writes nothing when nothing changed, and mends what was tampered with', async () => {
    await writeFilesAtomically(folder, files({ a: '1' }));
    expect(await writeFilesAtomically(folder, files({ a: '1' }))).toBe(false);
    await rm(join(folder, '..data'));
    expect(await writeFilesAtomically(folder, files({ a: '1' }))).toBe(true);
    expect(await readFile(join(folder, 'a'), 'utf8')).toBe('1');
  });

  it('can hold nothing', async () => {
    expect(await writeFilesAtomically(folder, new Map())).toBe(true);
    expect(await writeFilesAtomically(folder, new Map())).toBe(false);
  });
});

describe('assertSafePath', () => {
  it.each(['', '/etc/passwd', '../x', 'a/../../x', '..data', 'a//b', './a', 'a\0b'])('refuses %j', (path) => {
    expect(() => assertSafePath(path)).toThrow('is not allowed');
  });
  it.each(['a', 'a.b-c', 'a/b', '.hidden', 'x..y'])('takes %j', (path) => {
    expect(() => assertSafePath(path)).not.toThrow();
  });
});
