import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { badRequest } from '../../api/index.ts';
import { unsupportedMediaType } from '../http/status-error.ts';
import { wireTable } from './wire-table.ts';

/** Content type of the protobuf form of the Kubernetes API. */
export const protobufType = 'application/vnd.kubernetes.protobuf';
/** "k8s" and a zero byte stand before every message. */
const magic = Buffer.from([0x6b, 0x38, 0x73, 0x00]);

type Json = string | number | boolean | Json[] | { [field: string]: Json };
type JsonObject = Record<string, Json>;

interface Field {
  readonly name: string;
  readonly shape: 'one' | 'list' | 'map' | 'inline';
  readonly type: string;
  /** Zero is a value, not an absence. */
  readonly keepsZero: boolean;
}

function parseField(text: string): [number, Field] {
  const [number = '', name = '', said = ''] = text.split(' ');
  const keepsZero = said.endsWith('*');
  const bare = keepsZero ? said.slice(0, -1) : said;
  const shape = bare.startsWith('[]')
    ? 'list'
    : bare.startsWith('{}')
      ? 'map'
      : bare.startsWith('=')
        ? 'inline'
        : 'one';
  return [Number(number), { name, shape, type: bare.replace(/^(\[\]|\{\}|=)/, ''), keepsZero }];
}

const messages = new Map(
  Object.entries(wireTable).map(([name, fields]) => [name, new Map(fields.map(parseField))] as const),
);

/** Whether objects of the kind can be read. */
export function isKnownMessage(kind: string): boolean {
  return messages.has(kind);
}

/**
 * A request body in the protobuf form as the JSON object it stands for, with apiVersion and kind. 400 when it is malformed; 415 when it holds
 * what the table has no number for: nothing is dropped silently.
 */
export function decodeProtobuf(body: Uint8Array): Record<string, unknown> {
  if (!magic.equals(body.subarray(0, magic.length))) {
    throw badRequest('error decoding the body: not the protobuf form of a Kubernetes object');
  }
  try {
    const { apiVersion, kind, raw } = readEnvelope(body.subarray(magic.length));
    if (!messages.has(kind))
      throw unsupportedMediaType(`${protobufType} of kind ${kind}`, ['application/json']);
    return { apiVersion, kind, ...readMessage(new BinaryReader(raw), raw.length, kind) };
  } catch (cause) {
    if (cause instanceof RangeError || (cause instanceof Error && cause.name === 'Error')) {
      throw badRequest(`error decoding the body: ${cause.message}`, { cause });
    }
    throw cause;
  }
}

/** runtime.Unknown: the type beside the encoded object. */
function readEnvelope(bytes: Uint8Array): { apiVersion: string; kind: string; raw: Uint8Array } {
  const reader = new BinaryReader(bytes);
  const envelope: { apiVersion: string; kind: string; raw: Uint8Array } = {
    apiVersion: '',
    kind: '',
    raw: new Uint8Array(),
  };
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if (number === 1) Object.assign(envelope, readTypeMeta(reader.bytes()));
    else if (number === 2) envelope.raw = reader.bytes();
    else reader.skip(wireType, number);
  }
  return envelope;
}

function readTypeMeta(bytes: Uint8Array): { apiVersion?: string; kind?: string } {
  const reader = new BinaryReader(bytes);
  const type: { apiVersion?: string; kind?: string } = {};
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if (number === 1) type.apiVersion = reader.string();
    else if (number === 2) type.kind = reader.string();
    else reader.skip(wireType, number);
  }
  return type;
}

function readMessage(reader: BinaryReader, end: number, messageName: string): JsonObject {
  const fields = messages.get(messageName) ?? new Map<number, Field>();
  const result: JsonObject = {};
  while (reader.pos < end) {
    const [number, wireType] = reader.tag();
    const field = fields.get(number);
    if (field === undefined) {
      throw unsupportedMediaType(`${protobufType} with field ${number} of ${messageName}`, [
        'application/json',
      ]);
    }
    if (field.type === 'ignored') reader.skip(wireType, number);
    else readField(reader, wireType, field, result);
  }
  return result;
}

function readField(reader: BinaryReader, wireType: WireType, field: Field, result: JsonObject): void {
  const value = field.shape === 'map' ? undefined : readValue(reader, wireType, field.type);
  switch (field.shape) {
    case 'one':
      if (value !== undefined && (field.keepsZero || !isZero(value))) result[field.name] = value;
      return;
    case 'inline':
      Object.assign(result, value);
      return;
    case 'list': {
      const list = (result[field.name] ?? []) as Json[];
      if (value !== undefined) list.push(value);
      result[field.name] = list;
      return;
    }
    case 'map': {
      const map = (result[field.name] ?? {}) as JsonObject;
      const [key, entry] = readEntry(reader, field.type);
      // Defined, not assigned: a key such as __proto__ is a key like any other.
      Object.defineProperty(map, key, { value: entry, enumerable: true, configurable: true, writable: true });
      result[field.name] = map;
    }
  }
}

function isZero(value: Json): boolean {
  return value === '' || value === 0 || value === false;
}

function readEntry(reader: BinaryReader, type: string): [string, Json] {
  const end = reader.uint32() + reader.pos;
  let key = '';
  let value: Json | undefined;
  while (reader.pos < end) {
    const [number, wireType] = reader.tag();
    if (number === 1) key = reader.string();
    else if (number === 2) value = readValue(reader, wireType, type);
    else reader.skip(wireType, number);
  }
  return [key, value ?? ''];
}

function readValue(reader: BinaryReader, wireType: WireType, type: string): Json | undefined {
  switch (type) {
    case 's':
      return reader.string();
    case 'i':
      return toNumber(reader.int64());
    case 'b':
      return reader.bool();
    case 'x':
      return Buffer.from(reader.bytes()).toString('base64');
    default:
      if (wireType !== WireType.LengthDelimited) throw new RangeError(`a ${type} is not a number`);
      return readNested(new BinaryReader(reader.bytes()), type);
  }
}

function toNumber(value: bigint | string | number): number {
  const number = Number(value);
  if (!Number.isSafeInteger(number)) throw new RangeError(`number ${String(value)} is too large`);
  return number;
}

function readNested(reader: BinaryReader, type: string): Json | undefined {
  switch (type) {
    case 't':
      return readTime(reader, 0);
    case 'T':
      return readTime(reader, 6);
    case 'q':
      return readNumbered(reader)[1];
    case 'I': {
      const { 1: isText, 2: number, 3: text } = readNumbered(reader);
      return Number(isText ?? 0) === 1 ? (text ?? '') : Number(number ?? 0);
    }
    case 'ExtraValue':
      return readMessage(reader, reader.len, type)['items'] ?? [];
    default:
      return readMessage(reader, reader.len, type);
  }
}

/** Fields of the small messages: numbers and strings by their field number. */
function readNumbered(reader: BinaryReader): Record<number, string | number> {
  const fields: Record<number, string | number> = {};
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if (wireType === WireType.Varint) fields[number] = toNumber(reader.int64());
    else if (wireType === WireType.LengthDelimited) fields[number] = reader.string();
    else reader.skip(wireType, number);
  }
  return fields;
}

/** Seconds and nanoseconds since the epoch as RFC 3339; an empty message is no time at all. */
function readTime(reader: BinaryReader, digits: 0 | 6): string | undefined {
  const { 1: seconds, 2: nanos } = readNumbered(reader);
  if (seconds === undefined) return undefined;
  const date = new Date(Number(seconds) * 1000);
  if (Number.isNaN(date.getTime())) throw new RangeError('a time is out of range');
  const whole = date.toISOString().slice(0, 19);
  return digits === 0
    ? `${whole}Z`
    : `${whole}.${String(Math.floor(Number(nanos ?? 0) / 1000)).padStart(6, '0')}Z`;
}
