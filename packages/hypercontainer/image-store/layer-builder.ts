import { createHash, randomBytes } from 'node:crypto';
import { chmod, open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { PlatformError } from '@hypernetes/foundation/errors';
import { spawnChild } from '@hypernetes/foundation/process';
import { decompress, type LayerArchive } from './layer-archive.ts';
import { fileEntry, LayerPlanner, linkEntry, type LayerPlan } from './layer-plan.ts';
import { TarReader } from './tar-reader.ts';
import { encodeTarHeader, tarEnd, tarPadding } from './tar-writer.ts';
import { writeChunk } from './write-chunk.ts';

export interface BuildLayerOptions {
  readonly archive: LayerArchive;
  /** sha256:... of the uncompressed archive; anything else is refused before a byte of it is used. */
  readonly diffId: string;
  readonly targetPath: string;
  readonly uncompressedBytesMax: number;
  readonly signal?: AbortSignal;
}

/** Pinned so that the same layer gives the same image: no times but the files' own, root owned by root. */
const sqfstarArguments: readonly string[] = [
  ...['-comp', 'lz4', '-b', '128K', '-mem', '256M'],
  ...['-mkfs-time', '0', '-root-time', '0', '-root-mode', '0755', '-root-uid', '0', '-root-gid', '0'],
  ...['-exit-on-error', '-quiet', '-no-progress'],
];

/** Ends of temporary files: whoever finds one at start removes it. */
export const temporarySuffix = '.tmp';

async function* bounded(
  source: AsyncIterable<Buffer>,
  options: BuildLayerOptions,
  onChunk: (chunk: Buffer) => void,
): AsyncGenerator<Buffer> {
  let total = 0;
  for await (const chunk of source) {
    options.signal?.throwIfAborted();
    total += chunk.length;
    if (total > options.uncompressedBytesMax) {
      throw new PlatformError(
        'Invalid',
        `${options.archive.what}: more than ${options.uncompressedBytesMax} bytes when uncompressed`,
      );
    }
    onChunk(chunk);
    yield chunk;
  }
}

/** First pass: is it what the image says, and what shall become of each member. */
async function planLayer(options: BuildLayerOptions): Promise<LayerPlan> {
  const hash = createHash('sha256');
  const reader = new TarReader(bounded(decompress(options.archive), options, (chunk) => hash.update(chunk)));
  const planner = new LayerPlanner();
  for (let entry = await reader.next(); entry !== undefined; entry = await reader.next()) planner.add(entry);
  const found = `sha256:${hash.digest('hex')}`;
  if (found !== options.diffId) {
    throw new PlatformError(
      'Invalid',
      `${options.archive.what}: the image says its content is ${options.diffId}, it is ${found}`,
    );
  }
  return planner.finish();
}

/** Second pass: the archive that becomes the block image. */
async function* plannedArchive(options: BuildLayerOptions, plan: LayerPlan): AsyncGenerator<Buffer> {
  for (const entry of plan.entries) yield encodeTarHeader(entry);
  const reader = new TarReader(bounded(decompress(options.archive), options, () => undefined));
  let index = 0;
  for (let entry = await reader.next(); entry !== undefined; entry = await reader.next()) {
    const [first, ...others] = plan.files.get(index++)?.names ?? [];
    if (first === undefined) continue;
    yield encodeTarHeader(fileEntry(entry, first));
    yield* reader.content();
    yield tarPadding(entry.sizeBytes);
    for (const name of others) yield encodeTarHeader(linkEntry(name, first));
  }
  yield tarEnd;
}

async function runSqfstar(archive: AsyncIterable<Buffer>, path: string, what: string): Promise<void> {
  const child = spawnChild('sqfstar', [...sqfstarArguments, path], { stdio: ['pipe', 'ignore', 'pipe'] });
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => (complaint = (complaint + chunk.toString()).slice(-2_000)));
  child.stdin.on('error', () => undefined); // it may end early; its exit code tells
  const ended = new Promise<number>((resolve, reject) => {
    child.on('error', (cause) =>
      reject(new PlatformError('Precondition', `sqfstar: ${cause.message}`, { cause })),
    );
    child.on('close', (code) => resolve(code ?? 128));
  });
  ended.catch(() => undefined);
  try {
    for await (const chunk of archive) {
      if (!(await writeChunk(child.stdin, chunk))) break;
    }
    child.stdin.end();
    const exitCode = await ended;
    if (exitCode !== 0) {
      throw new PlatformError('Internal', `${what}: sqfstar: exit code ${exitCode}: ${complaint.trim()}`);
    }
  } catch (error) {
    child.kill('SIGKILL');
    await ended.catch(() => undefined);
    throw error;
  }
}

/** Makes content of a file, and the folder's knowledge of it, survive a power cut. */
export async function syncPath(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/**
 * Turns a layer archive into a read-only squashfs at targetPath, for overlayfs: whiteouts are character devices 0/0, opaque directories carry
 * trusted.overlay.opaque (docs/adr/layer-image-format.md). After a crash the file is there whole or not at all. Answers its size.
 */
export async function buildLayer(options: BuildLayerOptions): Promise<number> {
  const temporary = `${options.targetPath}.${randomBytes(6).toString('hex')}${temporarySuffix}`;
  try {
    const plan = await planLayer(options);
    await runSqfstar(plannedArchive(options, plan), temporary, options.archive.what);
    await chmod(temporary, 0o644);
    await syncPath(temporary);
    await rename(temporary, options.targetPath);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  await syncPath(dirname(options.targetPath));
  return (await stat(options.targetPath)).size;
}
