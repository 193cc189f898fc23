import { mkdir, open, readdir, stat, truncate, type FileHandle } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { sleep } from '@hypernetes/foundation/lifecycle';
import type { Logger } from '@hypernetes/foundation/logging';
import { LogCursor } from './log-cursor.ts';
import { formatLogEntries, logTimestamp } from './log-format.ts';

const retryMs = 1_000;

export type OutputName = 'stdout' | 'stderr';

/**
 * A container's log file. Output is appended, then the position recorded, then the caller may acknowledge: whatever moment this process dies
 * at, the next one cuts off what was not recorded and the guest sends exactly that again.
 */
export class ContainerLog implements AsyncDisposable {
  readonly #path: string;
  readonly #cursor: LogCursor;
  readonly #log: Logger;
  #file: FileHandle;
  #queue: Promise<unknown> = Promise.resolve();
  #closed = false;

  private constructor(path: string, cursor: LogCursor, file: FileHandle, log: Logger) {
    this.#path = path;
    this.#cursor = cursor;
    this.#file = file;
    this.#log = log;
  }

  static async open(path: string, cursorPath: string, log: Logger): Promise<ContainerLog> {
    await mkdir(dirname(path), { recursive: true });
    const cursor = await LogCursor.open(cursorPath);
    await cutUnrecorded(path, cursor);
    const file = await open(path, 'a', 0o640);
    const { size, ino } = await file.stat();
    await cursor.save({ ...cursor.position, size, inode: ino });
    return new ContainerLog(path, cursor, file, log);
  }

  /** Bytes of a stream that are in the log for good (with the stream's end counting as one). */
  taken(output: OutputName): number {
    return this.#cursor.position[output];
  }

  /** Appends what makes whole entries and answers how many bytes those were. Waits while the disk refuses: the container waits with it. */
  async append(output: OutputName, data: Buffer, offset: number, atEnd: boolean): Promise<number> {
    return await this.#inTurn(async () => {
      const { text, consumed } = formatLogEntries(data, output, logTimestamp(), atEnd);
      if (consumed === 0 && !atEnd) return 0;
      const { position } = this.#cursor;
      await this.#write(text, position.size);
      await this.#cursor.save({
        ...position,
        [output]: offset + consumed + (atEnd ? 1 : 0),
        size: position.size + text.length,
      });
      return consumed;
    });
  }

  /** The file was moved away: goes on in a new one of the same name. */
  async reopen(): Promise<void> {
    await this.#inTurn(async () => {
      await mkdir(dirname(this.#path), { recursive: true });
      const next = await open(this.#path, 'a', 0o640);
      const { size, ino } = await next.stat();
      await this.#cursor.save({ ...this.#cursor.position, size, inode: ino });
      await this.#file.close();
      this.#file = next;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await this.#queue;
    await this.#file.close();
    await this.#cursor[Symbol.asyncDispose]();
  }

  async #write(text: Buffer, size: number): Promise<void> {
    for (let attempt = 0; !this.#closed; attempt++) {
      try {
        await this.#file.appendFile(text);
        return;
      } catch (error) {
        if (attempt === 0)
          this.#log.error({ err: error, path: this.#path }, 'container log cannot be written');
        await this.#file.truncate(size).catch(() => undefined);
        await sleep(retryMs);
      }
    }
    throw new Error('log closed');
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#queue.then(work);
    this.#queue = mine.catch(() => undefined);
    return await mine;
  }
}

/** Cuts the file the cursor speaks of, wherever a rotation has moved it, to the recorded size. */
async function cutUnrecorded(path: string, cursor: LogCursor): Promise<void> {
  const { inode, size } = cursor.position;
  if (inode === 0) return;
  const folder = dirname(path);
  for (const name of await readdir(folder).catch(() => [])) {
    const found = await stat(join(folder, name)).catch(() => undefined);
    if (found?.ino === inode && found.isFile() && found.size > size) await truncate(join(folder, name), size);
  }
}
