import { BinaryWriter } from '@bufbuild/protobuf/wire';
import { describe, expect, test } from 'vitest';
import { decodeProtobuf } from './decode-message.ts';

function envelope(apiVersion: string, kind: string, raw: Uint8Array): Uint8Array {
  const type = new BinaryWriter().uint32(10).string(apiVersion).uint32(18).string(kind).finish();
  const body = new BinaryWriter().uint32(10).bytes(type).uint32(18).bytes(raw).finish();
  return Buffer.concat([Buffer.from('k8s\0'), body]);
}

function entry(key: string, value: Uint8Array): Uint8Array {
  return new BinaryWriter().uint32(10).string(key).uint32(18).bytes(value).finish();
}

const metadata = new BinaryWriter()
  .uint32(10)
  .string('m') // name
  .uint32(18)
  .string('') // generateName, always sent
  .uint32(66)
  .bytes(new Uint8Array()) // creationTimestamp, always sent
  .uint32(90)
  .bytes(entry('__proto__', Buffer.from('kept')))
  .finish();

describe('decodeProtobuf', () => {
  test('reads a ConfigMap; what is not set stays away', () => {
    const raw = new BinaryWriter()
      .uint32(10)
      .bytes(metadata)
      .uint32(18)
      .bytes(entry('a', Buffer.from('1')))
      .uint32(26)
      .bytes(entry('b', Buffer.from([0, 255])))
      .finish();
    const object = decodeProtobuf(envelope('v1', 'ConfigMap', raw)) as { metadata: { labels: object } };
    expect(object).toMatchObject({
      apiVersion: 'v1',
      kind: 'ConfigMap',
      data: { a: '1' },
      binaryData: { b: 'AP8=' },
    });
    expect(Object.keys(object.metadata)).toEqual(['name', 'labels']);
    expect(Object.entries(object.metadata.labels)).toEqual([['__proto__', 'kept']]);
  });

  test('keeps a zero that means zero', () => {
    const spec = new BinaryWriter().uint32(8).int32(0).uint32(40).int32(0).finish(); // replicas, minReadySeconds
    const raw = new BinaryWriter().uint32(18).bytes(spec).finish();
    expect(decodeProtobuf(envelope('apps/v1', 'Deployment', raw))['spec']).toEqual({ replicas: 0 });
  });

  test.each([
    ['no mark', Buffer.from('{}'), /not the protobuf form/],
    ['a cut envelope', envelope('v1', 'ConfigMap', metadata).subarray(0, 20), /error decoding the body/],
    ['a cut message', envelope('v1', 'ConfigMap', Buffer.from([10, 200])), /error decoding the body/],
    ['a kind without numbers', envelope('v1', 'Unheard', new Uint8Array()), /kind Unheard/],
    ['a field without a name', envelope('v1', 'ConfigMap', Buffer.from([0x78, 1])), /field 15 of ConfigMap/],
  ])('refuses %s', (_what, body, message) => {
    expect(() => decodeProtobuf(body)).toThrow(message);
  });
});
