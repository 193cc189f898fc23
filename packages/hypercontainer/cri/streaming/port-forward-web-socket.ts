import { Duplex, type Readable, type Writable } from 'node:stream';
import type { WebSocket } from 'ws';
import { forwardConnection, type OpenConnection } from './port-forward.ts';
import { WebSocketChannels } from './web-socket-channels.ts';

/** Port-forward over WebSocket channels; and SPDY carried in WebSocket messages, as kubectl does since 1.31. */
export const webSocketPortForwardProtocols: Readonly<Record<string, 'channels' | 'base64' | 'tunnel'>> = {
  'SPDY/3.1+portforward.k8s.io': 'tunnel',
  'v4.channel.k8s.io': 'channels',
  'v4.base64.channel.k8s.io': 'base64',
};

const portsMax = 100;

/** The two directions of a channel as one stream. */
class ChannelDuplex extends Duplex {
  readonly #input: Readable;
  readonly #output: Writable;

  constructor(input: Readable, output: Writable) {
    super({ allowHalfOpen: true });
    this.#input = input;
    this.#output = output;
    input.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) input.pause();
    });
    input.on('end', () => this.push(null));
  }

  override _read(): void {
    this.#input.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.#output.write(chunk, callback);
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#input.resume();
    callback(error);
  }
}

/** Serves the ports of the request, one connection each: per port a data and an error channel, both starting with the port number (2 bytes, low first). */
export async function servePortForwardChannels(
  socket: WebSocket,
  request: { readonly ports: readonly number[]; readonly isBase64: boolean },
  open: OpenConnection,
): Promise<void> {
  const served = request.ports.slice(0, portsMax);
  const ends = new WebSocketChannels(socket, {
    isBase64: request.isBase64,
    readable: served.map((_port, index) => 2 * index),
  });
  await Promise.all(
    served.map(async (port, index) => {
      const preamble = Buffer.alloc(2);
      preamble.writeUInt16LE(port);
      await ends.send(2 * index, preamble);
      await ends.send(2 * index + 1, preamble);
      const client = new ChannelDuplex(ends.input(2 * index), ends.output(2 * index));
      client.on('error', () => undefined);
      const leave = (): void => void client.destroy();
      ends.signal.addEventListener('abort', leave, { once: true });
      const problem = await forwardConnection(open, port, client);
      ends.signal.removeEventListener('abort', leave);
      if (problem !== undefined) await ends.send(2 * index + 1, Buffer.from(problem));
    }),
  ).catch(() => undefined);
  await ends.close();
}
