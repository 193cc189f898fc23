import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { GuestMessage, HostMessage } from '@hypernetes/proto/hyperstart';
import { encodeFrame, FrameDecoder } from './frame-codec.ts';

const folder = join(import.meta.dirname, '..', '..', '..', 'proto', 'golden');

const names = (await readdir(folder)).filter((name) => name.endsWith('.bin'));

it.each(names)('golden frame %s is read and written to the same bytes', async (name) => {
  const frame = await readFile(join(folder, name));
  const description = JSON.parse(await readFile(join(folder, name.replace(/bin$/, 'json')), 'utf8')) as {
    message: string;
    value: { kind: { $case: string } };
  };
  const codec = description.message === 'HostMessage' ? HostMessage : GuestMessage;
  const [payload] = new FrameDecoder().push(frame);
  const message = codec.decode(payload!);
  expect(message.kind?.$case).toBe(description.value.kind.$case);
  expect(encodeFrame(codec.encode(message as never).finish()).equals(frame)).toBe(true);
});
