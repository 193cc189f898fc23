import { deflateRawSync } from 'node:zlib';
import { createDeflate, constants } from 'node:zlib';
import { expect, test } from 'vitest';
import { spdyDictionary } from './spdy-dictionary.ts';
import { encodeFrame, SpdyFrameParser, type SpdyFrame } from './spdy-frames.ts';
import { parseBlock, SpdyHeaderReader, SpdyHeaderWriter } from './spdy-headers.ts';

function adler32(bytes: Buffer): number {
  let a = 1;
  let b = 0;
  for (const byte of bytes) {
    a = (a + byte) % 65_521;
    b = (b + a) % 65_521;
  }
  return b * 65_536 + a;
}

test('the dictionary is the published one', () => {
  // Every SPDY/3 connection begins its header blocks with this checksum.
  expect(spdyDictionary).toHaveLength(1423);
  expect(adler32(spdyDictionary)).toBe(0xe3c6a7c2);
});

const frames: SpdyFrame[] = [
  { type: 'synStream', streamId: 1, fin: false, unidirectional: false, headerBlock: Buffer.from('abc') },
  { type: 'synStream', streamId: 3, fin: true, unidirectional: true, headerBlock: Buffer.alloc(0) },
  { type: 'synReply', streamId: 1, fin: false, headerBlock: Buffer.from('x') },
  { type: 'headers', streamId: 1, fin: true, headerBlock: Buffer.from('y') },
  { type: 'rstStream', streamId: 0x7fffffff, status: 5 },
  {
    type: 'settings',
    values: new Map([
      [7, 65_536],
      [4, 100],
    ]),
  },
  { type: 'settings', values: new Map() },
  { type: 'ping', id: 0xffffffff },
  { type: 'goAway', lastStreamId: 9, status: 0 },
  { type: 'windowUpdate', streamId: 5, delta: 0x7fffffff },
  { type: 'data', streamId: 7, fin: false, bytes: Buffer.from('hello') },
  { type: 'data', streamId: 7, fin: true, bytes: Buffer.alloc(0) },
];

test('known bytes', () => {
  expect(encodeFrame({ type: 'ping', id: 1 }).toString('hex')).toBe('80030006' + '00000004' + '00000001');
  expect(encodeFrame({ type: 'data', streamId: 1, fin: true, bytes: Buffer.from('a') }).toString('hex')).toBe(
    '00000001' + '01000001' + '61',
  );
  expect(encodeFrame({ type: 'rstStream', streamId: 3, status: 1 }).toString('hex')).toBe(
    '80030003' + '00000008' + '00000003' + '00000001',
  );
});

test.each(frames.map((frame) => [frame.type, frame] as const))('%s is read as written', (_type, frame) => {
  expect([...new SpdyFrameParser().push(encodeFrame(frame))]).toEqual([frame]);
});

function joinData(list: readonly SpdyFrame[]): SpdyFrame[] {
  const joined: SpdyFrame[] = [];
  for (const frame of list) {
    const last = joined.at(-1);
    if (frame.type === 'data' && last?.type === 'data' && last.streamId === frame.streamId && !last.fin) {
      joined[joined.length - 1] = { ...frame, bytes: Buffer.concat([last.bytes, frame.bytes]) };
    } else joined.push(frame);
  }
  return joined;
}

test.each([1, 2, 3, 7, 8, 9, 64])('pieces of %i bytes make no difference', (size) => {
  const bytes = Buffer.concat(frames.map(encodeFrame));
  const parser = new SpdyFrameParser();
  const read: SpdyFrame[] = [];
  for (let at = 0; at < bytes.length; at += size) read.push(...parser.push(bytes.subarray(at, at + size)));
  expect(joinData(read)).toEqual(joinData(frames));
});

test('control frames of unknown type are skipped', () => {
  const unknown = Buffer.from('8003000a00000002ffff', 'hex');
  expect([
    ...new SpdyFrameParser().push(Buffer.concat([unknown, encodeFrame({ type: 'ping', id: 2 })])),
  ]).toEqual([{ type: 'ping', id: 2 }]);
});

test.each([
  ['wrong version', '8002000600000004' + '00000001'],
  ['control frame too large', '8003000101ffffff'],
  ['too short for its type', '8003000300000004' + '00000001'],
  ['settings with a lying count', '8003000400000004' + '00000001'],
])('malformed: %s', (_title, hex) => {
  expect(() => [...new SpdyFrameParser().push(Buffer.from(hex, 'hex'))]).toThrow(
    expect.objectContaining({ reason: 'Invalid' }),
  );
});

test('random bytes never do worse than being refused', () => {
  let seed = 12_345;
  const random = (): number => (seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff);
  for (let round = 0; round < 2_000; round++) {
    const bytes = Buffer.from(Array.from({ length: random() % 200 }, () => (random() >> 8) & 0xff));
    if (round % 2 === 0 && bytes.length > 4) bytes.writeUInt32BE((0x80030000 | (random() % 12)) >>> 0, 0);
    try {
      for (const frame of new SpdyFrameParser().push(bytes)) expect(frame.type).toBeTypeOf('string');
    } catch (error) {
      expect(error).toMatchObject({ reason: 'Invalid' });
    }
  }
});

test('headers are read as written, block after block', async () => {
  const writer = new SpdyHeaderWriter();
  using reader = new SpdyHeaderReader();
  for (const headers of [{ streamtype: 'error', port: '80' }, {}, { streamtype: 'data', x: 'ü' }]) {
    expect(await reader.read(writer.write(headers))).toEqual(headers);
  }
});

test('every block ends with a sync flush: Go reads nothing of it otherwise', () => {
  const writer = new SpdyHeaderWriter();
  for (let count = 0; count < 2; count++)
    expect(writer.write({}).subarray(-4).toString('hex')).toBe('0000ffff');
});

test('compressed headers of other programs are read', async () => {
  const deflate = createDeflate({ dictionary: spdyDictionary, flush: constants.Z_SYNC_FLUSH });
  const compress = async (block: Buffer): Promise<Buffer> => {
    const chunks: Buffer[] = [];
    const take = (chunk: Buffer): void => void chunks.push(chunk);
    deflate.on('data', take);
    await new Promise<void>((resolve) => deflate.write(block, () => resolve()));
    await new Promise((resolve) => setImmediate(resolve));
    deflate.off('data', take);
    return Buffer.concat(chunks);
  };
  const block = (text: string): Buffer => {
    const name = Buffer.from('StreamType');
    const value = Buffer.from(text);
    const number = (value: number): Buffer => Buffer.from([0, 0, 0, value]);
    return Buffer.concat([number(1), number(name.length), name, number(value.length), value]);
  };
  using reader = new SpdyHeaderReader();
  expect(await reader.read(await compress(block('stdin')))).toEqual({ streamtype: 'stdin' });
  expect(await reader.read(await compress(block('stdout')))).toEqual({ streamtype: 'stdout' });
});

test('a header bomb is refused', async () => {
  const stored = new SpdyHeaderWriter().write({});
  const bomb = Buffer.concat([stored, deflateRawSync(Buffer.alloc(50 << 20))]);
  using reader = new SpdyHeaderReader();
  await expect(reader.read(bomb)).rejects.toMatchObject({ reason: 'Invalid' });
});

test('headers that are no zlib stream are refused', async () => {
  using reader = new SpdyHeaderReader();
  await expect(reader.read(Buffer.from('not compressed'))).rejects.toMatchObject({ reason: 'Invalid' });
});

test.each(['', '000000ff', '0000000100000001', '00000001' + '7fffffff' + '61', '7fffffff'])(
  'malformed block %s',
  (hex) => {
    expect(() => parseBlock(Buffer.from(hex, 'hex'))).toThrow(expect.objectContaining({ reason: 'Invalid' }));
  },
);
