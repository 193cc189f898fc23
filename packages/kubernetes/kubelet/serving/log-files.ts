import { open, readdir, type FileHandle } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

const chunkBytes = 64 << 10;
/** The longest line that is read as one; longer ones come in pieces. */
const lineBytesMax = 1 << 20;

/** A line of a container's log as the runtime wrote it (CRI logging format: time, stream, tag, content). */
export interface LogLine {
  /** RFC 3339 with nanoseconds. */
  readonly time: string;
  readonly stream: string;
  /** The line ends here (tag F); otherwise the next record goes on with it (tag P). */
  readonly complete: boolean;
  readonly content: Buffer;
}

const space = 0x20;
const newline = 0x0a;

/** Undefined for what is not a log record. `record` has no newline. */
export function parseLogLine(record: Buffer): LogLine | undefined {
  const afterTime = record.indexOf(space);
  const afterStream = record.indexOf(space, afterTime + 1);
  if (afterTime < 0 || afterStream < 0) return undefined;
  const found = record.indexOf(space, afterStream + 1);
  const afterTag = found < 0 ? record.length : found;
  const stream = record.toString('utf8', afterTime + 1, afterStream);
  if (stream !== 'stdout' && stream !== 'stderr') return undefined;
  const tags = record.toString('utf8', afterStream + 1, afterTag).split(':');
  return {
    time: record.toString('utf8', 0, afterTime),
    stream,
    complete: !tags.includes('P'),
    content: record.subarray(Math.min(afterTag + 1, record.length)),
  };
}

/** The log with its rotated predecessors, oldest first. */
export async function listLogFiles(logPath: string): Promise<string[]> {
  const folder = dirname(logPath);
  const file = basename(logPath);
  const names: string[] = await readdir(folder).catch(() => []);
  const rotated = names.filter((name) => name.startsWith(`${file}.`)).sort();
  return [...rotated, ...(names.includes(file) ? [file] : [])].map((name) => join(folder, name));
}

/** The byte offset at which the last `count` complete lines of a file begin, and how many lines were found. */
export async function findTail(path: string, count: number): Promise<{ offset: number; lines: number }> {
  await using file = await openIfExists(path);
  if (file === undefined) return { offset: 0, lines: 0 };
  const { size } = await file.handle.stat();
  let end = size;
  let rest: Buffer = Buffer.alloc(0);
  let lines = 0;
  // `start` is where the earliest wanted line begins so far; lines are seen from the last to the first.
  let start = size;
  while (end > 0) {
    const length = Math.min(chunkBytes, end);
    const chunk = Buffer.alloc(length);
    await file.handle.read(chunk, 0, length, end - length);
    const text: Buffer = Buffer.concat([chunk, rest]);
    end -= length;
    let cut = text.length;
    for (;;) {
      const at = cut <= 1 ? -1 : text.lastIndexOf(newline, cut - 2);
      if (at < 0 && end > 0) break;
      const record = text.subarray(at + 1, text[cut - 1] === newline ? cut - 1 : cut);
      if (record.length > 0) {
        if (parseLogLine(record)?.complete !== false) {
          if (lines === count) return { offset: start, lines };
          lines += 1;
        }
        start = end + at + 1;
      }
      if (at < 0) break;
      cut = at + 1;
    }
    rest = text.subarray(0, cut);
    if (rest.length > lineBytesMax) break;
  }
  return { offset: start, lines };
}

async function openIfExists(
  path: string,
): Promise<({ readonly handle: FileHandle } & AsyncDisposable) | undefined> {
  try {
    const handle = await open(path, 'r');
    return { handle, [Symbol.asyncDispose]: async () => await handle.close() };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Reads the records of one open log file as it grows. */
export class LogReader implements AsyncDisposable {
  readonly #file: FileHandle;
  #offset: number;
  #rest: Buffer = Buffer.alloc(0);

  private constructor(file: FileHandle, offset: number) {
    this.#file = file;
    this.#offset = offset;
  }

  /** Undefined when there is no such file. */
  static async open(path: string, offset = 0): Promise<LogReader | undefined> {
    const opened = await openIfExists(path);
    return opened === undefined ? undefined : new LogReader(opened.handle, offset);
  }

  /** The records that are there now; a record without its newline waits for the rest of it. */
  async *read(): AsyncGenerator<LogLine> {
    for (;;) {
      const { buffer, bytesRead } = await this.#file.read(
        Buffer.alloc(chunkBytes),
        0,
        chunkBytes,
        this.#offset,
      );
      if (bytesRead === 0) return;
      this.#offset += bytesRead;
      let text: Buffer = Buffer.concat([this.#rest, buffer.subarray(0, bytesRead)]);
      for (let at = text.indexOf(newline); at >= 0; at = text.indexOf(newline)) {
        const line = parseLogLine(text.subarray(0, at));
        text = text.subarray(at + 1);
        if (line !== undefined) yield line;
      }
      this.#rest = text.length > lineBytesMax ? Buffer.alloc(0) : text;
    }
  }

  /** Which file this is: after a rotation the path names another one. */
  async inode(): Promise<number> {
    return (await this.#file.stat()).ino;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}
