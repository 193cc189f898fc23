import { PlatformError } from '@hypernetes/foundation/errors';

/** Frame types of SPDY/3 (draft-mbelshe-httpbis-spdy-00 section 2.6). */
const types = {
  synStream: 1,
  synReply: 2,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  headers: 8,
  windowUpdate: 9,
} as const;

const version = 3;
const frameHeaderBytes = 8;
const controlBytesMax = 64 << 10;
const flagFin = 0x01;
const flagUnidirectional = 0x02;
const streamIdMask = 0x7fff_ffff;

export const rstStatus = { protocolError: 1, refusedStream: 3, cancel: 5, internalError: 6 } as const;
export const goAwayStatus = { ok: 0, protocolError: 1 } as const;
/** SETTINGS entry that says how many bytes a peer may send on a new stream before it is given more. */
export const settingInitialWindow = 7;

/** Header blocks are as on the wire: compressed in the order of the connection. */
export type SpdyFrame =
  | {
      readonly type: 'synStream';
      readonly streamId: number;
      readonly fin: boolean;
      readonly unidirectional: boolean;
      readonly headerBlock: Buffer;
    }
  | {
      readonly type: 'synReply' | 'headers';
      readonly streamId: number;
      readonly fin: boolean;
      readonly headerBlock: Buffer;
    }
  | { readonly type: 'rstStream'; readonly streamId: number; readonly status: number }
  | { readonly type: 'settings'; readonly values: ReadonlyMap<number, number> }
  | { readonly type: 'ping'; readonly id: number }
  | { readonly type: 'goAway'; readonly lastStreamId: number; readonly status: number }
  | { readonly type: 'windowUpdate'; readonly streamId: number; readonly delta: number }
  /** On reading, one data frame may come as several, with `fin` on the last. */
  | { readonly type: 'data'; readonly streamId: number; readonly fin: boolean; readonly bytes: Buffer };

function malformed(why: string): PlatformError {
  return new PlatformError('Invalid', `SPDY: ${why}`);
}

function control(type: number, flags: number, ...parts: readonly Buffer[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const header = Buffer.alloc(frameHeaderBytes);
  header.writeUInt16BE(0x8000 | version, 0);
  header.writeUInt16BE(type, 2);
  header.writeUInt32BE(length, 4);
  header.writeUInt8(flags, 4);
  return Buffer.concat([header, ...parts]);
}

function words(...values: readonly number[]): Buffer {
  const buffer = Buffer.alloc(4 * values.length);
  values.forEach((value, index) => buffer.writeUInt32BE(value >>> 0, 4 * index));
  return buffer;
}

/** A frame as bytes. Data must be shorter than 16 MiB. */
export function encodeFrame(frame: SpdyFrame): Buffer {
  switch (frame.type) {
    case 'synStream': {
      const flags = (frame.fin ? flagFin : 0) | (frame.unidirectional ? flagUnidirectional : 0);
      return control(types.synStream, flags, words(frame.streamId, 0), Buffer.alloc(2), frame.headerBlock);
    }
    case 'synReply':
    case 'headers':
      return control(types[frame.type], frame.fin ? flagFin : 0, words(frame.streamId), frame.headerBlock);
    case 'rstStream':
      return control(types.rstStream, 0, words(frame.streamId, frame.status));
    case 'settings': {
      const entries = [...frame.values].flatMap(([id, value]) => [id, value]);
      return control(types.settings, 0, words(frame.values.size, ...entries));
    }
    case 'ping':
      return control(types.ping, 0, words(frame.id));
    case 'goAway':
      return control(types.goAway, 0, words(frame.lastStreamId, frame.status));
    case 'windowUpdate':
      return control(types.windowUpdate, 0, words(frame.streamId, frame.delta));
    case 'data': {
      const header = words(frame.streamId, frame.bytes.length);
      header.writeUInt8(frame.fin ? flagFin : 0, 4);
      return Buffer.concat([header, frame.bytes]);
    }
  }
}

function parseSettings(body: Buffer): SpdyFrame {
  const count = body.readUInt32BE(0);
  if (body.length !== 4 + 8 * count) throw malformed('SETTINGS has a wrong length');
  const values = new Map<number, number>();
  for (let index = 0; index < count; index++) {
    values.set(body.readUInt32BE(4 + 8 * index) & 0xff_ffff, body.readUInt32BE(8 + 8 * index));
  }
  return { type: 'settings', values };
}

const leastLengths: Readonly<Record<number, number>> = {
  [types.synStream]: 10,
  [types.synReply]: 4,
  [types.rstStream]: 8,
  [types.settings]: 4,
  [types.ping]: 4,
  [types.goAway]: 4,
  [types.headers]: 4,
  [types.windowUpdate]: 8,
};

function parseControl(type: number, flags: number, body: Buffer): SpdyFrame | undefined {
  const least = leastLengths[type];
  if (least === undefined) return undefined; // frames of later versions are skipped, section 2.2.1
  if (body.length < least) throw malformed(`frame type ${type} is too short`);
  const fin = (flags & flagFin) !== 0;
  const streamId = body.readUInt32BE(0) & streamIdMask;
  switch (type) {
    case types.synStream:
      return {
        type: 'synStream',
        streamId,
        fin,
        unidirectional: (flags & flagUnidirectional) !== 0,
        headerBlock: body.subarray(10),
      };
    case types.synReply:
      return { type: 'synReply', streamId, fin, headerBlock: body.subarray(4) };
    case types.headers:
      return { type: 'headers', streamId, fin, headerBlock: body.subarray(4) };
    case types.rstStream:
      return { type: 'rstStream', streamId, status: body.readUInt32BE(4) };
    case types.settings:
      return parseSettings(body);
    case types.ping:
      return { type: 'ping', id: body.readUInt32BE(0) };
    case types.goAway:
      // SPDY/2 has no status here, and some peers leave it out.
      return { type: 'goAway', lastStreamId: streamId, status: body.length >= 8 ? body.readUInt32BE(4) : 0 };
    default:
      return { type: 'windowUpdate', streamId, delta: body.readUInt32BE(4) & streamIdMask };
  }
}

/** Cuts a byte stream into frames, whatever pieces it comes in. Holds at most one control frame (64 KiB); data is passed on as it comes. */
export class SpdyFrameParser {
  #pending: Buffer = Buffer.alloc(0);
  #data: { readonly streamId: number; readonly fin: boolean; left: number } | undefined;

  /** The frames that are complete with these bytes. Malformed: Invalid, and the parser is of no use any more. */
  *push(bytes: Buffer): Generator<SpdyFrame> {
    this.#pending = this.#pending.length === 0 ? bytes : Buffer.concat([this.#pending, bytes]);
    for (;;) {
      const frame = this.#data === undefined ? this.#start() : this.#continueData();
      if (frame === 'more') return;
      if (frame !== undefined) yield frame;
    }
  }

  #start(): SpdyFrame | 'more' | undefined {
    const pending = this.#pending;
    if (pending.length < frameHeaderBytes) return 'more';
    const flags = pending.readUInt8(4);
    const length = pending.readUInt32BE(4) & 0xff_ffff;
    if ((pending.readUInt8(0) & 0x80) === 0) {
      this.#pending = pending.subarray(frameHeaderBytes);
      this.#data = { streamId: pending.readUInt32BE(0), fin: (flags & flagFin) !== 0, left: length };
      return length === 0 ? this.#continueData() : undefined;
    }
    if ((pending.readUInt16BE(0) & 0x7fff) !== version) throw malformed('wrong version');
    if (length > controlBytesMax) throw malformed(`a control frame of ${length} bytes`);
    if (pending.length < frameHeaderBytes + length) return 'more';
    this.#pending = pending.subarray(frameHeaderBytes + length);
    return parseControl(
      pending.readUInt16BE(2),
      flags,
      pending.subarray(frameHeaderBytes, frameHeaderBytes + length),
    );
  }

  #continueData(): SpdyFrame | 'more' {
    const data = this.#data;
    if (data === undefined || (this.#pending.length === 0 && data.left > 0)) return 'more';
    const bytes = this.#pending.subarray(0, data.left);
    this.#pending = this.#pending.subarray(bytes.length);
    data.left -= bytes.length;
    const isLast = data.left === 0;
    if (isLast) this.#data = undefined;
    return { type: 'data', streamId: data.streamId, fin: data.fin && isLast, bytes };
  }
}
