import type { Writable } from 'node:stream';

/** Writes and waits until the stream takes more; false when it is closed and nobody reads any more. */
export async function writeChunk(stream: Writable, chunk: Uint8Array): Promise<boolean> {
  if (stream.destroyed) return false;
  if (stream.write(chunk)) return true;
  return await new Promise<boolean>((resolve) => {
    const settle = (open: boolean): void => {
      stream.off('drain', onDrain);
      stream.off('close', onClose);
      resolve(open);
    };
    const onDrain = (): void => settle(true);
    const onClose = (): void => settle(false);
    stream.on('drain', onDrain);
    stream.on('close', onClose);
  });
}
