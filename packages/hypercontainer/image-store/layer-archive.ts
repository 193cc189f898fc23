import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { createGunzip } from 'node:zlib';
import { spawnChild } from '@hypernetes/foundation/process';
import { PlatformError, toPlatformError } from '@hypernetes/foundation/errors';
import { writeChunk } from './write-chunk.ts';

/** A layer as it came: part of a file holding a tar archive, compressed or not. */
export interface LayerArchive {
  /** For messages: which layer of which image. */
  readonly what: string;
  readonly path: string;
  readonly offset: number;
  readonly sizeBytes: number;
}

export type Compression = 'none' | 'gzip' | 'zstd';

// A zstd frame may ask for any window; this is what the format's own tools decode by default.
const zstdMemoryMax = '128MiB';

/** By the first bytes of the content: media types in manifests are often wrong. */
export function detectCompression(start: Uint8Array): Compression {
  if (start[0] === 0x1f && start[1] === 0x8b) return 'gzip';
  if (start[0] === 0x28 && start[1] === 0xb5 && start[2] === 0x2f && start[3] === 0xfd) return 'zstd';
  return 'none';
}

async function startOf(archive: LayerArchive): Promise<Uint8Array> {
  const file = await open(archive.path, 'r');
  try {
    const start = new Uint8Array(Math.min(4, archive.sizeBytes));
    await file.read(start, 0, start.length, archive.offset);
    return start;
  } finally {
    await file.close();
  }
}

async function* ofFile(archive: LayerArchive): AsyncGenerator<Buffer> {
  if (archive.sizeBytes === 0) return;
  const end = archive.offset + archive.sizeBytes - 1;
  const stream = createReadStream(archive.path, { start: archive.offset, end, highWaterMark: 256 << 10 });
  for await (const chunk of stream) yield chunk as Buffer;
}

async function* gunzipped(archive: LayerArchive): AsyncGenerator<Buffer> {
  const gunzip = createGunzip({ chunkSize: 256 << 10 });
  const feed = (async () => {
    for await (const chunk of ofFile(archive)) {
      if (!(await writeChunk(gunzip, chunk))) return;
    }
    gunzip.end();
  })();
  feed.catch((error: unknown) => gunzip.destroy(toPlatformError(error, archive.what)));
  try {
    for await (const chunk of gunzip) yield chunk as Buffer;
    await feed;
  } catch (cause) {
    if (cause instanceof PlatformError) throw cause;
    throw new PlatformError('Invalid', `${archive.what}: gzip: ${toPlatformError(cause).message}`, { cause });
  } finally {
    gunzip.destroy();
  }
}

async function* unzstd(archive: LayerArchive): AsyncGenerator<Buffer> {
  const child = spawnChild('zstd', ['-dcq', `--memory=${zstdMemoryMax}`], {
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  let complaint = '';
  child.stderr.on('data', (chunk: Buffer) => (complaint = (complaint + chunk.toString()).slice(-2_000)));
  child.stdin.on('error', () => undefined); // it may end early on bad input; its exit code tells
  const ended = new Promise<number>((resolve, reject) => {
    child.on('error', (cause) =>
      reject(new PlatformError('Precondition', `zstd: ${cause.message}`, { cause })),
    );
    child.on('close', (code) => resolve(code ?? 128));
  });
  ended.catch(() => undefined);
  const feed = (async () => {
    for await (const chunk of ofFile(archive)) {
      if (!(await writeChunk(child.stdin, chunk))) return;
    }
    child.stdin.end();
  })();
  feed.catch(() => child.kill('SIGKILL'));
  try {
    for await (const chunk of child.stdout) yield chunk as Buffer;
    await feed;
    if ((await ended) !== 0) throw new PlatformError('Invalid', `${archive.what}: zstd: ${complaint.trim()}`);
  } finally {
    child.kill('SIGKILL');
  }
}

/** The tar archive itself. Invalid when the compression is broken. Stopping early releases everything. */
export async function* decompress(archive: LayerArchive): AsyncGenerator<Buffer> {
  const compression = detectCompression(await startOf(archive));
  if (compression === 'gzip') yield* gunzipped(archive);
  else if (compression === 'zstd') yield* unzstd(archive);
  else yield* ofFile(archive);
}
