import { constants, createInflate, type Inflate } from 'node:zlib';
import { PlatformError } from '@hypernetes/foundation/errors';
import { spdyDictionary, spdyZlibPrefix } from './spdy-dictionary.ts';

/** Lower-case names. */
export type SpdyHeaders = Readonly<Record<string, string>>;

const blockBytesMax = 64 << 10;
const headersMax = 256;
const storedBlockBytesMax = 0xffff;
// An empty stored block: some readers (Go's) hand out what they have only then.
const syncFlush = Buffer.from([0x00, 0x00, 0x00, 0xff, 0xff]);

function malformed(why: string): PlatformError {
  return new PlatformError('Invalid', `SPDY headers: ${why}`);
}

function formatBlock(headers: SpdyHeaders): Buffer {
  const entries = Object.entries(headers);
  const parts: Buffer[] = [];
  const addNumber = (value: number): void => {
    const number = Buffer.alloc(4);
    number.writeUInt32BE(value);
    parts.push(number);
  };
  addNumber(entries.length);
  for (const entry of entries) {
    for (const text of entry) {
      const bytes = Buffer.from(text, 'utf8');
      addNumber(bytes.length);
      parts.push(bytes);
    }
  }
  return Buffer.concat(parts);
}

/** Reads a name/value block (draft 3 section 2.6.10). Exported for tests. */
export function parseBlock(block: Buffer): SpdyHeaders {
  let at = 0;
  const number = (): number => {
    if (at + 4 > block.length) throw malformed('cut short');
    at += 4;
    return block.readUInt32BE(at - 4);
  };
  const text = (): string => {
    const length = number();
    if (length > block.length - at) throw malformed('cut short');
    at += length;
    return block.toString('utf8', at - length, at);
  };
  const count = number();
  if (count > headersMax) throw malformed(`more than ${headersMax}`);
  const entries: [string, string][] = [];
  for (let index = 0; index < count; index++) entries.push([text().toLowerCase(), text()]);
  return Object.fromEntries(entries);
}

/**
 * Writes header blocks of one connection. They are "stored" deflate blocks of one zlib stream: valid for every reader, and nothing is gained by
 * compressing the five short headers of a Kubernetes stream.
 */
export class SpdyHeaderWriter {
  #started = false;

  write(headers: SpdyHeaders): Buffer {
    const block = formatBlock(headers);
    if (block.length > storedBlockBytesMax) throw malformed('too large to send');
    const stored = Buffer.alloc(5);
    stored.writeUInt16LE(block.length, 1);
    stored.writeUInt16LE(~block.length & 0xffff, 3);
    const parts = [this.#started ? Buffer.alloc(0) : spdyZlibPrefix, stored, block, syncFlush];
    this.#started = true;
    return Buffer.concat(parts);
  }
}

/** Reads header blocks of one connection, in order, with a bound on what they may grow to. */
export class SpdyHeaderReader implements Disposable {
  readonly #inflate: Inflate = createInflate({
    dictionary: spdyDictionary,
    flush: constants.Z_SYNC_FLUSH,
  });

  async read(compressed: Buffer): Promise<SpdyHeaders> {
    return parseBlock(await this.#decompress(compressed));
  }

  [Symbol.dispose](): void {
    this.#inflate.destroy();
  }

  async #decompress(compressed: Buffer): Promise<Buffer> {
    const inflate = this.#inflate;
    const chunks: Buffer[] = [];
    let total = 0;
    return await new Promise<Buffer>((resolve, reject) => {
      const take = (): void => {
        for (
          let chunk = inflate.read() as Buffer | null;
          chunk !== null;
          chunk = inflate.read() as Buffer | null
        ) {
          total += chunk.length;
          chunks.push(chunk);
        }
        if (total > blockBytesMax) settle(malformed(`larger than ${blockBytesMax} bytes`));
      };
      const fail = (): void => settle(malformed('not compressed as they must be'));
      const settle = (error?: PlatformError): void => {
        inflate.off('readable', take);
        inflate.off('error', fail);
        if (error === undefined) {
          resolve(Buffer.concat(chunks));
        } else {
          inflate.on('error', () => undefined);
          inflate.destroy();
          reject(error);
        }
      };
      inflate.on('readable', take);
      inflate.on('error', fail);
      inflate.write(compressed, () => {
        if (inflate.destroyed) return;
        take();
        if (total <= blockBytesMax) settle();
      });
    });
  }
}
