import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { encodeFrame, FrameDecoder } from '@hypernetes/hypercontainer/guest-agent';
import { GuestMessage, HostMessage } from '@hypernetes/proto/hyperstart';

const folder = fileURLToPath(new URL('../../proto/golden/', import.meta.url));
const codecs = { HostMessage, GuestMessage } as const;

interface Vector {
  readonly message: keyof typeof codecs;
  readonly value: unknown;
}

/** In JSON 64-bit numbers are strings of digits and bytes are hexadecimal text. */
const bigintFields = new Set(['nonce', 'offset', 'id', 'soft', 'hard', 'sequence', 'exitedAtNs']);

async function readVector(name: string): Promise<Vector> {
  const text = await readFile(`${folder}${name}.json`, 'utf8');
  return JSON.parse(text, (key, value: unknown) => {
    if (typeof value !== 'string') return value;
    if (bigintFields.has(key)) return BigInt(value);
    return key === 'data' ? Buffer.from(value, 'hex') : value;
  }) as Vector;
}

const names = (await readdir(folder))
  .filter((name) => name.endsWith('.json'))
  .map((name) => name.slice(0, -5));

describe('golden vectors', () => {
  it('are there', () => {
    expect(names.toSorted()).toEqual(['event-exited', 'hello', 'request-exec', 'stream-data']);
  });

  it.each(names)('%s is decoded and encoded to the same bytes', async (name) => {
    const vector = await readVector(name);
    const codec = codecs[vector.message];
    const bytes = await readFile(`${folder}${name}.bin`);
    const payloads = [...new FrameDecoder().push(bytes)];
    expect(payloads).toHaveLength(1);
    const decoded = codec.decode(payloads[0]!);
    expect(decoded).toMatchObject(vector.value as object);
    expect(Buffer.from(encodeFrame(codec.encode(decoded as never).finish()))).toEqual(bytes);
  });
});
