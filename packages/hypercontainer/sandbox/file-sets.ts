import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { open, readdir, realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { watch, type FSWatcher } from 'node:fs';
import { PlatformError } from '@hypernetes/foundation/errors';
import { KeyedMutex } from '@hypernetes/foundation/lifecycle';
import type { Logger } from '@hypernetes/foundation/logging';
import { File } from '@hypernetes/proto/hyperstart';
import type { GuestAgent } from '../guest-agent/index.ts';
import { fileBytesMax } from './mounts.ts';
import type { PushedFiles } from './records.ts';

const folderBytesMax = 16 << 20;
const folderFilesMax = 4096;
const pieceBytes = 512 << 10;
const pushTimeoutMs = 20_000;
const settleMs = 50;
const retryMs = 5_000;

/** Reads what a set holds now: a folder of the kubelet's (following its ..data link) or one file. */
export async function collectFiles(set: PushedFiles): Promise<File[]> {
  if (set.kind === 'file') return [await readOne(set.hostPath, basename(set.hostPath))];
  const root = await realpath(join(set.hostPath, '..data')).catch(() => set.hostPath);
  const files: File[] = [];
  let total = 0;
  for (const path of await listFiles(root, '')) {
    const file = await readOne(join(root, path), path);
    total += file.data.length;
    if (total > folderBytesMax || files.length >= folderFilesMax)
      throw new PlatformError('Invalid', `volume folder ${set.hostPath}: too much to be pushed into a pod`);
    files.push(file);
  }
  return files;
}

/** Cuts files into messages the protocol carries. Always at least one group, so that an empty set can be committed. Pure. */
export function groupPieces(files: readonly File[]): File[][] {
  const groups: File[][] = [[]];
  let size = 0;
  for (const file of files) {
    for (let offset = 0; offset === 0 || offset < file.data.length; offset += pieceBytes) {
      const data = file.data.subarray(offset, offset + pieceBytes);
      if (size + data.length > pieceBytes) {
        groups.push([]);
        size = 0;
      }
      groups.at(-1)?.push({ ...file, offset: BigInt(offset), data });
      size += data.length;
    }
  }
  return groups;
}

/** One container's pushed sets: pushes them, keeps folders the same as the host's, and takes them away. */
export class FileSetSync implements Disposable {
  readonly #agent: GuestAgent;
  readonly #log: Logger;
  readonly #watchers = new Map<string, FSWatcher>();
  readonly #digests = new Map<string, string>();
  readonly #timers = new Map<string, NodeJS.Timeout>();
  /** Pushes of one set in their order: what was read first must not be taken for what is there last. */
  readonly #pushing = new KeyedMutex();
  #generation = BigInt(Date.now()) * 1000n;

  constructor(agent: GuestAgent, log: Logger) {
    this.#agent = agent;
    this.#log = log;
  }

  /** Pushes the set when the guest's copy differs from what was pushed last. */
  async push(set: PushedFiles): Promise<void> {
    await this.#pushing.run(set.setId, () => this.#push(set));
  }

  async #push(set: PushedFiles): Promise<void> {
    const files = await collectFiles(set);
    const digest = digestOf(files);
    if (this.#digests.get(set.setId) === digest) return;
    const generation = ++this.#generation;
    const groups = groupPieces(files);
    for (const [index, group] of groups.entries()) {
      await this.#agent.request(
        {
          $case: 'putFiles',
          value: {
            setId: set.setId,
            generation,
            files: group,
            commit: index === groups.length - 1,
            inMemory: set.inMemory,
          },
        },
        { timeoutMs: pushTimeoutMs },
      );
    }
    this.#digests.set(set.setId, digest);
  }

  /** Pushes again whenever the host's folder changes. */
  follow(set: PushedFiles): void {
    if (set.kind !== 'folder' || this.#watchers.has(set.setId)) return;
    try {
      const watcher = watch(set.hostPath, { persistent: false }, () => this.#changed(set));
      watcher.on('error', () => undefined);
      this.#watchers.set(set.setId, watcher);
    } catch (error) {
      this.#log.warn({ err: error, path: set.hostPath }, 'volume folder cannot be watched');
    }
  }

  /** Pushes what changed while nobody watched, then follows. */
  resume(set: PushedFiles): void {
    this.follow(set);
    if (set.kind === 'folder') this.#changed(set);
  }

  async remove(set: PushedFiles): Promise<void> {
    this.#stop(set.setId);
    await this.#agent.request(
      { $case: 'removeFiles', value: { setId: set.setId } },
      { timeoutMs: pushTimeoutMs },
    );
  }

  [Symbol.dispose](): void {
    for (const setId of [...this.#watchers.keys(), ...this.#timers.keys()]) this.#stop(setId);
  }

  #stop(setId: string): void {
    this.#watchers.get(setId)?.close();
    this.#watchers.delete(setId);
    clearTimeout(this.#timers.get(setId));
    this.#timers.delete(setId);
    this.#digests.delete(setId);
  }

  #changed(set: PushedFiles, delayMs = settleMs): void {
    clearTimeout(this.#timers.get(set.setId));
    const timer = setTimeout(() => {
      this.#timers.delete(set.setId);
      this.push(set).catch((error: unknown) => {
        if (!this.#watchers.has(set.setId)) return;
        this.#log.warn({ err: error, path: set.hostPath }, 'changed volume folder was not pushed yet');
        this.#changed(set, retryMs);
      });
    }, delayMs);
    timer.unref();
    this.#timers.set(set.setId, timer);
  }
}

function digestOf(files: readonly File[]): string {
  const hash = createHash('sha256');
  for (const file of files)
    hash
      .update(JSON.stringify([file.path, file.mode, file.uid, file.gid, file.data.length]))
      .update(file.data);
  return hash.digest('hex');
}

async function listFiles(root: string, below: string): Promise<string[]> {
  const found: string[] = [];
  const entries = await readdir(join(root, below), { withFileTypes: true });
  for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = below === '' ? entry.name : `${below}/${entry.name}`;
    if (entry.isDirectory() && !entry.name.startsWith('..')) found.push(...(await listFiles(root, path)));
    else if (entry.isFile()) found.push(path);
  }
  return found;
}

async function readOne(hostPath: string, path: string): Promise<File> {
  const folder = await realpath(dirname(hostPath));
  const file = await open(join(folder, basename(hostPath)), constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    const { mode, uid, gid, size } = await file.stat();
    if (size > fileBytesMax) throw new PlatformError('Invalid', `file ${hostPath}: more than 1 MiB`);
    return File.fromPartial({ path, mode: mode & 0o7777, uid, gid, data: await file.readFile() });
  } finally {
    await file.close();
  }
}
