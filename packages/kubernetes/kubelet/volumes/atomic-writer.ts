import {
  chmod,
  chown,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { dirname, join, posix } from 'node:path';
import { PlatformError } from '@hypernetes/foundation/errors';

/** A file of a volume made of API objects. */
export interface VolumeFile {
  readonly content: Buffer;
  readonly mode: number;
}

export type VolumeFiles = ReadonlyMap<string, VolumeFile>;

const dataLink = '..data';

/**
 * Makes a folder hold exactly these files so that a reader sees all of the old or all of the new ones: the files lie in a folder with a
 * name of its own, `..data` links to it and is replaced in one step, and each visible name links through it. Answers whether anything
 * changed. Paths are relative; one that leaves the folder or begins with '..' is Invalid.
 */
export async function writeFilesAtomically(
  folder: string,
  files: VolumeFiles,
  groupId?: number,
): Promise<boolean> {
  for (const path of files.keys()) assertSafePath(path);
  await mkdir(folder, { recursive: true, mode: 0o755 });
  const current = await currentFolder(folder);
  if (current !== undefined && (await holdsExactly(join(folder, current), files))) return false;
  const fresh = await mkdtemp(join(folder, `..${new Date().toISOString().replace(/[-:.TZ]/g, '_')}`));
  await chmod(fresh, 0o755);
  for (const [path, file] of files) await writeOne(join(fresh, path), file, groupId);
  const temporary = join(folder, '..data_tmp');
  await rm(temporary, { force: true });
  await symlink(posix.basename(fresh), temporary);
  await rename(temporary, join(folder, dataLink));
  await linkVisibleNames(folder, files);
  await removeOldFolders(folder, posix.basename(fresh));
  return true;
}

/** Throws Invalid for a path that is absolute, climbs, or takes a name the writer keeps for itself. */
export function assertSafePath(path: string): void {
  const parts = path.split('/');
  const bad =
    path === '' ||
    path.includes('\0') ||
    parts.some((part) => part === '' || part === '.' || part === '..') ||
    path.startsWith('..');
  if (bad) throw new PlatformError('Invalid', `volume file path ${JSON.stringify(path)} is not allowed`);
}

async function writeOne(path: string, file: VolumeFile, groupId: number | undefined): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  await writeFile(path, file.content, { mode: 0o600 });
  if (groupId !== undefined) await chown(path, 0, groupId);
  await chmod(path, groupId === undefined ? file.mode : file.mode | 0o440);
}

async function currentFolder(folder: string): Promise<string | undefined> {
  try {
    return posix.basename(await readlink(join(folder, dataLink)));
  } catch {
    return undefined;
  }
}

async function holdsExactly(folder: string, files: VolumeFiles): Promise<boolean> {
  const present = await listFiles(folder).catch(() => undefined);
  if (present?.length !== files.size) return false;
  for (const path of present) {
    const wanted = files.get(path);
    if (wanted === undefined) return false;
    const content = await readFile(join(folder, path));
    const { mode } = await lstat(join(folder, path));
    if (!content.equals(wanted.content) || (mode & wanted.mode) !== wanted.mode) return false;
  }
  return true;
}

async function listFiles(folder: string, prefix = ''): Promise<string[]> {
  const result: string[] = [];
  for (const entry of await readdir(join(folder, prefix), { withFileTypes: true })) {
    const path = posix.join(prefix, entry.name);
    if (entry.isDirectory()) result.push(...(await listFiles(folder, path)));
    else result.push(path);
  }
  return result;
}

async function linkVisibleNames(folder: string, files: VolumeFiles): Promise<void> {
  const wanted = new Set([...files.keys()].map((path) => path.split('/')[0] ?? path));
  const present = (await readdir(folder)).filter((name) => !name.startsWith('..'));
  for (const name of present) if (!wanted.has(name)) await rm(join(folder, name), { force: true });
  for (const name of wanted) {
    if (!present.includes(name)) await symlink(`${dataLink}/${name}`, join(folder, name));
  }
}

async function removeOldFolders(folder: string, current: string): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!name.startsWith('..') || name === dataLink || name === current) continue;
    await rm(join(folder, name), { recursive: true, force: true });
  }
}
