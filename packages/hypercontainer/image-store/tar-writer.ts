import { tarBlockBytes, type TarEntry, type TarEntryKind } from './tar-entry.ts';

const flags: Readonly<Record<TarEntryKind, string>> = {
  file: '0',
  link: '1',
  symlink: '2',
  characterDevice: '3',
  blockDevice: '4',
  directory: '5',
  fifo: '6',
};

const octalMax7 = 0o7777777;
const octalMax11 = 0o77777777777;

function octal(value: number, digits: number): string {
  return `${value.toString(8).padStart(digits, '0')}\0`;
}

function block(fields: {
  readonly name: string;
  readonly flag: string;
  readonly entry: TarEntry;
  readonly size: number;
}): Buffer {
  const { entry } = fields;
  const header = Buffer.alloc(tarBlockBytes);
  header.write(fields.name.slice(0, 100), 0, 'latin1');
  header.write(octal(entry.mode, 7), 100, 'latin1');
  header.write(octal(Math.min(entry.uid, octalMax7), 7), 108, 'latin1');
  header.write(octal(Math.min(entry.gid, octalMax7), 7), 116, 'latin1');
  header.write(octal(Math.min(fields.size, octalMax11), 11), 124, 'latin1');
  header.write(octal(entry.modifiedAt, 11), 136, 'latin1');
  header.write(' '.repeat(8), 148, 'latin1');
  header.write(fields.flag, 156, 'latin1');
  header.write(entry.linkName.slice(0, 100), 157, 'latin1');
  header.write('ustar\x0000', 257, 'latin1');
  header.write(octal(entry.deviceMajor, 7), 329, 'latin1');
  header.write(octal(entry.deviceMinor, 7), 337, 'latin1');
  let sum = 0;
  for (const byte of header) sum += byte;
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}

function paxRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.concat([Buffer.from(` ${key}=`, 'latin1'), value, Buffer.from('\n')]);
  let length = rest.length + 1;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return Buffer.concat([Buffer.from(String(length)), rest]);
}

function paxRecords(entry: TarEntry): Buffer {
  const records: Buffer[] = [];
  const add = (key: string, value: string): unknown =>
    records.push(paxRecord(key, Buffer.from(value, 'latin1')));
  if (entry.name.length > 100) add('path', entry.name);
  if (entry.linkName.length > 100) add('linkpath', entry.linkName);
  if (entry.uid > octalMax7) add('uid', String(entry.uid));
  if (entry.gid > octalMax7) add('gid', String(entry.gid));
  if (entry.sizeBytes > octalMax11) add('size', String(entry.sizeBytes));
  for (const [name, value] of entry.xattrs) records.push(paxRecord(`SCHILY.xattr.${name}`, value));
  return Buffer.concat(records);
}

/** Zeros up to the next block after `sizeBytes` of content. */
export function tarPadding(sizeBytes: number): Buffer {
  return Buffer.alloc((tarBlockBytes - (sizeBytes % tarBlockBytes)) % tarBlockBytes);
}

/** The header of an entry, with a pax header before it when something does not fit; the content and tarPadding follow. */
export function encodeTarHeader(entry: TarEntry): Buffer {
  const header = block({ name: entry.name, flag: flags[entry.kind], entry, size: entry.sizeBytes });
  const pax = paxRecords(entry);
  if (pax.length === 0) return header;
  const plain: TarEntry = {
    ...entry,
    mode: 0o644,
    uid: 0,
    gid: 0,
    linkName: '',
    deviceMajor: 0,
    deviceMinor: 0,
  };
  const extension = block({ name: 'pax', flag: 'x', entry: plain, size: pax.length });
  return Buffer.concat([extension, pax, tarPadding(pax.length), header]);
}

/** The end of an archive. */
export const tarEnd: Buffer = Buffer.alloc(2 * tarBlockBytes);
