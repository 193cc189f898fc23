import { expect, test } from 'vitest';
import type { TarEntry } from './tar-entry.ts';
import { parsePaxRecords, TarReader } from './tar-reader.ts';
import { encodeTarHeader, tarEnd, tarPadding } from './tar-writer.ts';

function entry(given: Partial<TarEntry>): TarEntry {
  return {
    kind: 'file',
    name: 'f',
    linkName: '',
    mode: 0o4755,
    uid: 1,
    gid: 2,
    sizeBytes: 0,
    modifiedAt: 1_700_000_000,
    deviceMajor: 0,
    deviceMinor: 0,
    xattrs: new Map(),
    ...given,
  };
}

function archive(...members: [TarEntry, Buffer?][]): Buffer {
  const parts = members.flatMap(([one, content = Buffer.alloc(0)]) => [
    encodeTarHeader({ ...one, sizeBytes: content.length }),
    content,
    tarPadding(content.length),
  ]);
  return Buffer.concat([...parts, tarEnd]);
}

async function* chunks(bytes: Buffer, size: number): AsyncGenerator<Buffer> {
  await Promise.resolve();
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

async function readAll(bytes: Buffer, size = 1000): Promise<[TarEntry, string][]> {
  const reader = new TarReader(chunks(bytes, size));
  const found: [TarEntry, string][] = [];
  for (;;) {
    const next = await reader.next();
    if (next === undefined) return found;
    const parts: Buffer[] = [];
    for await (const chunk of reader.content()) parts.push(chunk);
    found.push([next, Buffer.concat(parts).toString('latin1')]);
  }
}

test.each([1, 7, 512, 100_000])('what is written is read, in chunks of %i bytes', async (size) => {
  const members: [TarEntry, Buffer?][] = [
    [entry({ name: 'plain' }), Buffer.from('hello')],
    [entry({ name: `${'long/'.repeat(50)}name` }), Buffer.alloc(513, 'x')],
    [entry({ name: 'caf\xe9', xattrs: new Map([['security.capability', Buffer.from([0, 10, 61, 255])]]) })],
    [entry({ name: 'd/', kind: 'directory', uid: 3_000_000_000 })],
    [entry({ name: 's', kind: 'symlink', linkName: 'y'.repeat(200) })],
    [entry({ name: 'n', kind: 'characterDevice', deviceMajor: 5, deviceMinor: 300 })],
  ];
  const expected = members.map(([one, content]) => [
    { ...one, sizeBytes: content?.length ?? 0 },
    content?.toString('latin1') ?? '',
  ]);
  expect(await readAll(archive(...members), size)).toEqual(expected);
});

test('content that is not read is skipped; the source is read to its end', async () => {
  const bytes = Buffer.concat([
    archive([entry({}), Buffer.alloc(2000)], [entry({ name: 'g' })]),
    Buffer.alloc(9000),
  ]);
  let served = 0;
  const source = (async function* () {
    for await (const chunk of chunks(bytes, 100)) {
      served += chunk.length;
      yield chunk;
    }
  })();
  const reader = new TarReader(source);
  expect((await reader.next())?.name).toBe('f');
  expect(reader.position).toBe(512);
  expect((await reader.next())?.name).toBe('g');
  expect(await reader.next()).toBeUndefined();
  expect(served).toBe(bytes.length);
});

const good = archive([entry({ name: 'x' }), Buffer.from('abc')]);
const withHeader = (change: (header: Buffer) => void): Buffer => {
  const bytes = Buffer.from(good);
  change(bytes);
  let sum = 8 * 32;
  bytes.subarray(0, 512).forEach((byte, at) => (sum += at >= 148 && at < 156 ? 0 : byte));
  bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
  return bytes;
};

test.each([
  ['wrong checksum', Buffer.from(good).fill('y', 0, 1)],
  ['cut in the header', good.subarray(0, 300)],
  ['cut in the content', good.subarray(0, 514)],
  ['unknown member type', withHeader((header) => header.write('S', 156))],
  ['size not octal', withHeader((header) => header.write('9zz', 124))],
  ['huge size', withHeader((header) => header.fill(0xfe, 124, 136))],
  [
    'huge extension header',
    withHeader((header) => header.write('x', 156).toString() && header.write('77777777777', 124)),
  ],
])('malformed: %s', async (_title, bytes) => {
  await expect(readAll(bytes)).rejects.toMatchObject({ reason: 'Invalid' });
});

test.each(['5 a=b', '99 a=b\n', '0 a=b\n', '6 ab\n\n', 'x a=b\n', '6 a=b\n6 '])(
  'malformed pax %j',
  (body) => {
    expect(() => parsePaxRecords(Buffer.from(body))).toThrow(expect.objectContaining({ reason: 'Invalid' }));
  },
);

test('pax values may hold newlines and zero bytes', () => {
  expect(parsePaxRecords(Buffer.from('10 k=a\n\0b\n'))).toEqual([['k', Buffer.from('a\n\0b')]]);
});
