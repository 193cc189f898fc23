import { chown, open, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '@hypernetes/foundation/process';

/** The empty file system every pod's ephemeral disk starts as: made once per size. Answers its path. */
export async function ensureScratchBase(folder: string, sizeBytes: number): Promise<string> {
  const path = join(folder, `scratch-base-${sizeBytes}.raw`);
  if (await isFile(path)) return path;
  const temporary = `${path}.tmp`;
  await rm(temporary, { force: true });
  const file = await open(temporary, 'wx', 0o600);
  await file.truncate(sizeBytes);
  await file.close();
  // No journal: the disk ends with its pod. Holes count as zeroed inode tables, so that the guest need not write them.
  await run('mkfs.ext4', [
    '-q',
    '-F',
    '-m',
    '0',
    '-O',
    '^has_journal',
    '-E',
    'nodiscard,lazy_itable_init=0',
    temporary,
  ]);
  await rename(temporary, path);
  return path;
}

/** A sparse copy for one machine, owned by its monitor's user. */
export async function copyScratch(basePath: string, targetPath: string, uid: number): Promise<void> {
  await run('cp', ['--sparse=always', '--reflink=auto', '--', basePath, targetPath]);
  await chown(targetPath, uid, uid);
}

async function isFile(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}
