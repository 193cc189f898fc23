import { Duplex, type Readable, type Writable } from 'node:stream';
import type { WebSocket } from 'ws';
import { joinConnection, openConnection, type OpenConnection } from './port-forward.ts';
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

/**
 * Serves the ports of the request, one connection each: per port a data and an error channel. Both start with the port number (2 bytes, low first) once
 * the connection is there; where there is none, only the error channel does, and goes on with why.
 */
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
  await Promise.all(served.map((port, index) => serveChannel(ends, { port, index }, open))).catch(
    () => undefined,
  );
  await ends.close();
}

async function serveChannel(
  ends: WebSocketChannels,
  { port, index }: { readonly port: number; readonly index: number },
  open: OpenConnection,
): Promise<void> {
  const [data, error] = [2 * index, 2 * index + 1];
  const preamble = Buffer.alloc(2);
  preamble.writeUInt16LE(port);
  const connection = await openConnection(open, port);
  if (typeof connection === 'string') {
    await ends.send(error, preamble);
    await ends.send(error, Buffer.from(connection));
    return;
  }
  const client = new ChannelDuplex(ends.input(data), ends.output(data));
  client.on('error', () => undefined);
  const leave = (): void => void client.destroy();
  ends.signal.addEventListener('abort', leave, { once: true });
  try {
    if (ends.signal.aborted) return; // the client left while the connection was made
    await ends.send(data, preamble);
    await ends.send(error, preamble);
    await joinConnection(connection, client);
  } finally {
    ends.signal.removeEventListener('abort', leave);
    connection.destroy();
  }
}
