import { PlatformError } from '@hypernetes/foundation/errors';
import { tarBlockBytes, type TarEntry, type TarEntryKind } from './tar-entry.ts';

// Longer extension headers than this hold nothing real; the bound keeps a hostile archive from filling memory.
const extensionBytesMax = 1 << 20;
const timeMax = 0xffff_ffff;

const kinds: Readonly<Record<string, TarEntryKind>> = {
  '\0': 'file',
  '0': 'file',
  '7': 'file',
  '1': 'link',
  '2': 'symlink',
  '3': 'characterDevice',
  '4': 'blockDevice',
  '5': 'directory',
  '6': 'fifo',
};

/** What extension headers said about the next entry. */
interface Extension {
  name?: string;
  linkName?: string;
  size?: number;
  uid?: number;
  gid?: number;
  modifiedAt?: number;
  readonly xattrs: Map<string, Buffer>;
}

function malformed(why: string): PlatformError {
  return new PlatformError('Invalid', `tar archive: ${why}`);
}

function text(header: Buffer, offset: number, length: number): string {
  const field = header.subarray(offset, offset + length);
  const end = field.indexOf(0);
  return field.toString('latin1', 0, end === -1 ? length : end);
}

/** A numeric field: octal text, or base-256 when the first bit is set (GNU). Negative numbers only where a time may be before 1970. */
function number(header: Buffer, offset: number, length: number, what: string): number {
  const first = header[offset] ?? 0;
  if ((first & 0x80) !== 0) {
    if (first === 0xff) return -1;
    let value = first & 0x7f;
    for (let at = offset + 1; at < offset + length; at++) {
      value = value * 256 + (header[at] ?? 0);
      if (value > Number.MAX_SAFE_INTEGER) throw malformed(`${what} is too large`);
    }
    return value;
  }
  const digits = text(header, offset, length).trim();
  if (!/^[0-7]*$/.test(digits)) throw malformed(`${what} is not an octal number`);
  return digits === '' ? 0 : Number.parseInt(digits, 8);
}

function verifyChecksum(header: Buffer): void {
  let unsigned = 8 * 0x20;
  let signed = 8 * 0x20;
  for (let at = 0; at < tarBlockBytes; at++) {
    if (at >= 148 && at < 156) continue;
    unsigned += header.readUInt8(at);
    signed += header.readInt8(at);
  }
  const said = number(header, 148, 8, 'checksum');
  if (said !== unsigned && said !== signed) throw malformed('a header has a wrong checksum');
}

/** The records of a pax extended header, pax(1): "<length> <key>=<value>\n". */
export function parsePaxRecords(body: Buffer): [key: string, value: Buffer][] {
  const records: [string, Buffer][] = [];
  for (let at = 0; at < body.length;) {
    const space = body.indexOf(0x20, at);
    const digits = space === -1 ? '' : body.toString('latin1', at, space);
    const length = /^[1-9][0-9]{0,7}$/.test(digits) ? Number(digits) : 0;
    const end = at + length;
    const equals = body.indexOf(0x3d, space + 1);
    if (length === 0 || end > body.length || body[end - 1] !== 0x0a || equals === -1 || equals >= end) {
      throw malformed('a pax header is malformed');
    }
    records.push([body.toString('latin1', space + 1, equals), body.subarray(equals + 1, end - 1)]);
    at = end;
  }
  return records;
}

function paxNumber(value: Buffer, key: string): number {
  const number = Number(value.toString('latin1'));
  if (!Number.isFinite(number)) throw malformed(`pax ${key} is not a number`);
  return Math.floor(number);
}

function libarchiveXattr(key: string, value: Buffer): [string, Buffer] {
  const name = key.slice('LIBARCHIVE.xattr.'.length);
  try {
    return [decodeURIComponent(name), Buffer.from(value.toString('latin1'), 'base64')];
  } catch {
    throw malformed('an extended attribute name is malformed');
  }
}

function applyPax(body: Buffer, extension: Extension): void {
  for (const [key, value] of parsePaxRecords(body)) {
    if (key === 'path') extension.name = value.toString('latin1');
    else if (key === 'linkpath') extension.linkName = value.toString('latin1');
    else if (key === 'size') extension.size = paxNumber(value, key);
    else if (key === 'uid') extension.uid = paxNumber(value, key);
    else if (key === 'gid') extension.gid = paxNumber(value, key);
    else if (key === 'mtime') extension.modifiedAt = paxNumber(value, key);
    else if (key.startsWith('SCHILY.xattr.')) {
      extension.xattrs.set(key.slice('SCHILY.xattr.'.length), Buffer.from(value));
    } else if (key.startsWith('LIBARCHIVE.xattr.')) {
      const [name, decoded] = libarchiveXattr(key, value);
      if (!extension.xattrs.has(name)) extension.xattrs.set(name, decoded);
    } else if (key.startsWith('GNU.sparse.')) throw malformed('sparse members are not supported');
  }
}

function whole(value: number, max: number, what: string): number {
  if (!Number.isSafeInteger(value) || value < 0 || value > max) throw malformed(`${what} is out of range`);
  return value;
}

/** One header block with what the extension headers before it said. */
function parseEntry(header: Buffer, extension: Extension): TarEntry {
  const flag = String.fromCharCode(header[156] ?? 0);
  const prefix = text(header, 257, 6) === 'ustar' && header[262] === 0 ? text(header, 345, 155) : '';
  const short = text(header, 0, 100);
  const name = extension.name ?? (prefix === '' ? short : `${prefix}/${short}`);
  const said = kinds[flag];
  if (said === undefined) throw malformed(`member type ${JSON.stringify(flag)} is not supported`);
  const kind = said === 'file' && name.endsWith('/') ? 'directory' : said;
  const size = whole(extension.size ?? number(header, 124, 12, 'size'), Number.MAX_SAFE_INTEGER, 'size');
  return {
    kind,
    name,
    linkName: extension.linkName ?? text(header, 157, 100),
    mode: number(header, 100, 8, 'mode') & 0o7777,
    uid: whole(extension.uid ?? number(header, 108, 8, 'uid'), 0xffff_fffe, 'uid'),
    gid: whole(extension.gid ?? number(header, 116, 8, 'gid'), 0xffff_fffe, 'gid'),
    // Only files have content, whatever the field says: the same reading as that of the programs that write images.
    sizeBytes: kind === 'file' ? size : 0,
    modifiedAt: Math.min(
      timeMax,
      Math.max(0, extension.modifiedAt ?? number(header, 136, 12, 'modification time')),
    ),
    deviceMajor: number(header, 329, 8, 'device number'),
    deviceMinor: number(header, 337, 8, 'device number'),
    xattrs: extension.xattrs,
  };
}

/**
 * Reads a tar archive (ustar, pax, GNU long names) as a stream, byte-exact and with bounded memory. `for (;;) { entry = await next() }`;
 * content() of the current entry may be read once, what is left is skipped. Malformed: Invalid.
 */
export class TarReader {
  readonly #source: AsyncIterator<Buffer>;
  #pending: Buffer = Buffer.alloc(0);
  /** Of the current entry, not read yet, with and without padding. */
  #contentLeft = 0;
  #paddingLeft = 0;
  #position = 0;
  #ended = false;

  constructor(source: AsyncIterable<Buffer>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Bytes of the archive before the current position: right after next(), where the content of the entry begins. */
  get position(): number {
    return this.#position;
  }

  /** The next entry, undefined at the end of the archive; by then the source has been read to its end. */
  async next(): Promise<TarEntry | undefined> {
    if (this.#ended) return undefined;
    const extension: Extension = { xattrs: new Map() };
    for (;;) {
      await this.#skipRest();
      const header = await this.#block();
      if (header === undefined) {
        await this.#drain();
        return undefined;
      }
      verifyChecksum(header);
      if (!(await this.#readExtension(header, extension))) {
        const entry = parseEntry(header, extension);
        this.#expect(entry.sizeBytes);
        return entry;
      }
    }
  }

  /** The content of the current entry. */
  async *content(): AsyncGenerator<Buffer> {
    while (this.#contentLeft > 0) {
      const chunk = await this.#take(this.#contentLeft);
      if (chunk === undefined) throw malformed('ends in the middle of a file');
      this.#contentLeft -= chunk.length;
      yield chunk;
    }
  }

  #expect(sizeBytes: number): void {
    this.#contentLeft = sizeBytes;
    this.#paddingLeft = (tarBlockBytes - (sizeBytes % tarBlockBytes)) % tarBlockBytes;
  }

  async #skipRest(): Promise<void> {
    for await (const _ of this.content());
    while (this.#paddingLeft > 0) {
      const chunk = await this.#take(this.#paddingLeft);
      if (chunk === undefined) break; // some writers leave the last padding out
      this.#paddingLeft -= chunk.length;
    }
  }

  async #readExtension(header: Buffer, extension: Extension): Promise<boolean> {
    const flag = String.fromCharCode(header[156] ?? 0);
    if (!'xgLK'.includes(flag)) return false;
    const size = number(header, 124, 12, 'size');
    if (size < 0 || size > extensionBytesMax) throw malformed('an extension header is too large');
    this.#expect(size);
    const chunks: Buffer[] = [];
    for await (const chunk of this.content()) chunks.push(chunk);
    const body = Buffer.concat(chunks);
    if (flag === 'x') applyPax(body, extension);
    if (flag === 'L') extension.name = text(body, 0, body.length);
    if (flag === 'K') extension.linkName = text(body, 0, body.length);
    return true; // 'g', defaults for all entries, is written by nobody who makes images but `git archive`, as a comment
  }

  /** A header block; undefined at the end (a block of zeros, or the end of the source). */
  async #block(): Promise<Buffer | undefined> {
    const parts: Buffer[] = [];
    let missing = tarBlockBytes;
    while (missing > 0) {
      const chunk = await this.#take(missing);
      if (chunk === undefined) {
        if (missing === tarBlockBytes) return undefined;
        throw malformed('ends in the middle of a header');
      }
      parts.push(chunk);
      missing -= chunk.length;
    }
    const block = parts.length === 1 ? (parts[0] ?? Buffer.alloc(0)) : Buffer.concat(parts);
    return block.every((byte) => byte === 0) ? undefined : block;
  }

  async #drain(): Promise<void> {
    this.#ended = true;
    while ((await this.#take(Number.MAX_SAFE_INTEGER)) !== undefined);
  }

  /** One to `max` bytes; undefined at the end of the source. */
  async #take(max: number): Promise<Buffer | undefined> {
    while (this.#pending.length === 0) {
      const result = await this.#source.next();
      if (result.done === true) return undefined;
      this.#pending = result.value;
    }
    const chunk = this.#pending.subarray(0, max);
    this.#pending = this.#pending.subarray(chunk.length);
    this.#position += chunk.length;
    return chunk;
  }
}
