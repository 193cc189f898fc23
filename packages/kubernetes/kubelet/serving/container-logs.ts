import { stat } from 'node:fs/promises';
import { watch } from 'node:fs';
import { dirname } from 'node:path';
import { findTail, listLogFiles, LogReader, type LogLine } from './log-files.ts';

/** A change the watch on the folder missed is seen after this time. */
const pollMs = 1_000;

export interface LogOptions {
  readonly follow: boolean;
  readonly timestamps: boolean;
  readonly tailLines: number | undefined;
  /** Lines at or after this time only. */
  readonly sinceMs: number | undefined;
  readonly limitBytes: number | undefined;
  /** One of the two streams; undefined: both. */
  readonly stream?: 'stdout' | 'stderr';
}

/**
 * A container's log as bytes. Following goes on over rotations and ends when the container does not run any more (`isRunning`) and all
 * was read, or with the signal.
 */
export async function* readContainerLog(
  logPath: string,
  options: LogOptions,
  isRunning: () => Promise<boolean>,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const limit = { left: options.limitBytes ?? Infinity };
  const format = new LineFormat(options);
  for await (const line of readLines(logPath, options, isRunning, signal)) {
    const text = format.format(line);
    if (text === undefined) continue;
    const part = text.subarray(0, Math.min(text.length, limit.left));
    limit.left -= part.length;
    if (part.length > 0) yield part;
    if (limit.left <= 0) return;
  }
}

class LineFormat {
  readonly #options: LogOptions;
  #inside = false;

  constructor(options: LogOptions) {
    this.#options = options;
  }

  /** Pieces of a long line come out as one line, with the time of the first. */
  format(line: LogLine): Buffer | undefined {
    const { sinceMs, timestamps, stream } = this.#options;
    if (stream !== undefined && line.stream !== stream) return undefined;
    if (sinceMs !== undefined && Date.parse(line.time) < sinceMs) return undefined;
    const parts: Buffer[] = [];
    if (timestamps && !this.#inside) parts.push(Buffer.from(`${line.time} `));
    parts.push(line.content);
    if (line.complete) parts.push(Buffer.of(0x0a));
    this.#inside = !line.complete;
    return Buffer.concat(parts);
  }
}

async function* readLines(
  logPath: string,
  options: LogOptions,
  isRunning: () => Promise<boolean>,
  signal: AbortSignal,
): AsyncGenerator<LogLine> {
  const files = await listLogFiles(logPath);
  const begin = await beginOf(files, options.tailLines);
  for (const path of files.slice(begin.file, -1)) {
    await using reader = await LogReader.open(path, path === files[begin.file] ? begin.offset : 0);
    if (reader !== undefined) yield* reader.read();
  }
  const last = files.at(-1);
  const offset = begin.file === files.length - 1 ? begin.offset : 0;
  if (!options.follow) {
    await using reader = last === undefined ? undefined : await LogReader.open(last, offset);
    if (reader !== undefined) yield* reader.read();
    return;
  }
  yield* followLog(logPath, last === logPath ? offset : 0, isRunning, signal);
}

/** Where the last `tailLines` lines begin, over all files. */
async function beginOf(
  files: readonly string[],
  tailLines: number | undefined,
): Promise<{ file: number; offset: number }> {
  if (tailLines === undefined) return { file: 0, offset: 0 };
  let wanted = tailLines;
  for (let index = files.length - 1; index >= 0; index--) {
    const { offset, lines } = await findTail(files[index] ?? '', wanted);
    if (lines >= wanted || index === 0) return { file: index, offset };
    wanted -= lines;
  }
  return { file: 0, offset: 0 };
}

async function* followLog(
  logPath: string,
  offset: number,
  isRunning: () => Promise<boolean>,
  signal: AbortSignal,
): AsyncGenerator<LogLine> {
  await using changes = watchFolder(dirname(logPath), signal);
  let reader = await LogReader.open(logPath, offset);
  try {
    while (!signal.aborted) {
      // Asked before reading: what was written before the end is then certainly read.
      const running = await isRunning();
      if (reader !== undefined) yield* reader.read();
      const inode = (await stat(logPath).catch(() => undefined))?.ino;
      if (inode !== undefined && inode !== (await reader?.inode())) {
        if (reader !== undefined) {
          yield* reader.read();
          await reader[Symbol.asyncDispose]();
        }
        reader = await LogReader.open(logPath);
        continue;
      }
      if (!running) return;
      await changes.next(pollMs);
    }
  } finally {
    await reader?.[Symbol.asyncDispose]();
  }
}

/** Resolves next() at a change in the folder, after the time, or with the signal. */
function watchFolder(
  folder: string,
  signal: AbortSignal,
): AsyncDisposable & { next(timeoutMs: number): Promise<void> } {
  let changed = false;
  let wake: (() => void) | undefined;
  const notice = (): void => {
    changed = true;
    wake?.();
  };
  let watcher: ReturnType<typeof watch> | undefined;
  try {
    watcher = watch(folder, notice);
    watcher.on('error', notice);
  } catch {
    // No folder yet: the timeout does.
  }
  signal.addEventListener('abort', notice, { once: true });
  return {
    async next(timeoutMs) {
      if (!changed) {
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, timeoutMs);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      }
      changed = false;
      wake = undefined;
    },
    async [Symbol.asyncDispose]() {
      watcher?.close();
      signal.removeEventListener('abort', notice);
      return Promise.resolve();
    },
  };
}
