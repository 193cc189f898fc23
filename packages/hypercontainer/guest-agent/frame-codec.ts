// The frames of hyperstart.v1 (proto/hyperstart/v1/hyperstart.proto, "TRANSPORT" and "SYNCHRONISATION"): pure, no I/O.
import { crc32 } from 'node:zlib';
import { PlatformError } from '@hypernetes/foundation/errors';

const magic = Buffer.from('HYP1', 'latin1');
const headerBytes = 12;

/** Largest payload of one frame. */
export const maxPayloadBytes = 1 << 20;

/** What completes any frame a lost connection may have torn: longer than the longest frame, and free of the magic. */
export const resynchronisation = Buffer.alloc(maxPayloadBytes + headerBytes);

/**
 * Checksums over data that turned out to be no frame. A torn frame costs one such checksum; a guest that plants false headers to burn
 * the host's time is over this after a few milliseconds.
 */
const wastedBytesMax = 16 << 20;

/** One frame. Invalid when the payload is over the maximum. */
export function encodeFrame(payload: Uint8Array): Buffer {
  if (payload.length > maxPayloadBytes) {
    throw new PlatformError(
      'Invalid',
      `frame of ${payload.length} bytes: more than the ${maxPayloadBytes} of hyperstart.v1`,
    );
  }
  const frame = Buffer.allocUnsafe(headerBytes + payload.length);
  magic.copy(frame);
  frame.writeUInt32LE(payload.length, 4);
  frame.writeUInt32LE(crc32(payload), 8);
  frame.set(payload, headerBytes);
  return frame;
}

/** Finds the frames in a byte stream that may hold anything. Keeps at most one incomplete frame. */
export class FrameDecoder {
  #chunks: Buffer[] = [];
  #length = 0;
  /** Nothing can be decided with fewer bytes than this. */
  #needed = headerBytes;
  #wastedBytes = 0;
  #droppedBytes = 0;

  /** Bytes that belonged to no frame, so far. */
  get droppedBytes(): number {
    return this.#droppedBytes;
  }

  /** The payloads that are complete with this chunk. Exhausted when the peer plants false frames on purpose. */
  push(chunk: Buffer): Buffer[] {
    this.#chunks.push(chunk);
    this.#length += chunk.length;
    if (this.#length < this.#needed) return [];
    const buffer = this.#chunks.length === 1 ? chunk : Buffer.concat(this.#chunks);
    const payloads: Buffer[] = [];
    const rest = this.#scan(buffer, payloads);
    this.#chunks = rest.length === 0 ? [] : [rest];
    this.#length = rest.length;
    return payloads;
  }

  #scan(buffer: Buffer, payloads: Buffer[]): Buffer {
    let at = 0;
    for (;;) {
      const start = findMagic(buffer, at);
      this.#droppedBytes += start - at;
      at = start;
      if (buffer.length - at < headerBytes) {
        this.#needed = headerBytes;
        return buffer.subarray(at);
      }
      const length = buffer.readUInt32LE(at + 4);
      if (length <= maxPayloadBytes) {
        const end = at + headerBytes + length;
        if (buffer.length < end) {
          this.#needed = headerBytes + length;
          return buffer.subarray(at);
        }
        const payload = buffer.subarray(at + headerBytes, end);
        if (crc32(payload) === buffer.readUInt32LE(at + 8)) {
          payloads.push(payload);
          at = end;
          continue;
        }
        this.#waste(length + headerBytes);
      }
      at += 1;
      this.#droppedBytes += 1;
    }
  }

  #waste(bytes: number): void {
    this.#wastedBytes += bytes;
    if (this.#wastedBytes > wastedBytesMax) {
      throw new PlatformError('Exhausted', 'guest sends frames with wrong checksums without end');
    }
  }
}

/** Where the magic, or what may become it with more bytes, begins; the end when nowhere. */
function findMagic(buffer: Buffer, from: number): number {
  const whole = buffer.indexOf(magic, from);
  if (whole >= 0) return whole;
  for (let tail = Math.min(magic.length - 1, buffer.length - from); tail > 0; tail--) {
    const start = buffer.length - tail;
    if (buffer.compare(magic, 0, tail, start) === 0) return start;
  }
  return buffer.length;
}
