import { open, type FileHandle } from 'node:fs/promises';
import { crc32 } from 'node:zlib';

/** How far a container's log is written: offsets of both streams and the size and inode of the file they are in. */
export interface LogPosition {
  readonly stdout: number;
  readonly stderr: number;
  readonly size: number;
  readonly inode: number;
}

const fields = ['stdout', 'stderr', 'size', 'inode'] as const;
const slotBytes = 64;
const contentBytes = 8 * (fields.length + 1);

/**
 * A log position on disk that survives the death of this process at any moment: two slots written in turn, each with a number and a checksum; the
 * newest whole one counts. (After a crash of the host the machine is gone too, so nothing is flushed.)
 */
export class LogCursor implements AsyncDisposable {
  readonly #file: FileHandle;
  #sequence: number;
  position: LogPosition;

  private constructor(file: FileHandle, sequence: number, position: LogPosition) {
    this.#file = file;
    this.#sequence = sequence;
    this.position = position;
  }

  static async open(path: string): Promise<LogCursor> {
    const file = await open(path, 'a+', 0o600).then(async (created) => {
      await created.close();
      return await open(path, 'r+');
    });
    const { buffer, bytesRead } = await file.read(Buffer.alloc(2 * slotBytes), 0, 2 * slotBytes, 0);
    let newest = { sequence: 0, position: { stdout: 0, stderr: 0, size: 0, inode: 0 } as LogPosition };
    for (const start of [0, slotBytes]) {
      const slot = bytesRead >= start + contentBytes + 4 ? parseSlot(buffer.subarray(start)) : undefined;
      if (slot !== undefined && slot.sequence > newest.sequence) newest = slot;
    }
    return new LogCursor(file, newest.sequence, newest.position);
  }

  async save(position: LogPosition): Promise<void> {
    this.position = position;
    this.#sequence += 1;
    const slot = Buffer.alloc(slotBytes);
    slot.writeBigUInt64LE(BigInt(this.#sequence), 0);
    fields.forEach((name, index) => slot.writeBigUInt64LE(BigInt(position[name]), 8 * (index + 1)));
    slot.writeUInt32LE(crc32(slot.subarray(0, contentBytes)), contentBytes);
    await this.#file.write(slot, 0, slotBytes, (this.#sequence % 2) * slotBytes);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}

function parseSlot(slot: Buffer): { sequence: number; position: LogPosition } | undefined {
  if (crc32(slot.subarray(0, contentBytes)) !== slot.readUInt32LE(contentBytes)) return undefined;
  const value = (index: number): number => Number(slot.readBigUInt64LE(8 * index));
  return {
    sequence: value(0),
    position: { stdout: value(1), stderr: value(2), size: value(3), inode: value(4) },
  };
}
