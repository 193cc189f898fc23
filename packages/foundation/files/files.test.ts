import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import { expect, it } from 'vitest';
import { readFileIfExists, writeFileAtomic } from './index.ts';

it('writes whole files with the wanted mode, makes folders, leaves no temporary file', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'hn-files-'));
  try {
    const path = join(folder, 'a', 'b.json');
    expect(await readFileIfExists(path)).toBeUndefined();
    await writeFileAtomic(path, 'one');
    await Promise.all([writeFileAtomic(path, 'two'), writeFileAtomic(path, 'two')]);
    expect(await readFileIfExists(path)).toBe('two');
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(await readdir(join(folder, 'a'))).toEqual(['b.json']);
  } finally {
    await rm(folder, { recursive: true });
  }
});
