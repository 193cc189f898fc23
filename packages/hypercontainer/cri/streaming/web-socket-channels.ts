import { PassThrough, Readable, Writable } from 'node:stream';
import type { RawData, WebSocket } from 'ws';

/** Input waiting to be read: beyond it the connection is not read either. */
const inputBytesMax = 1 << 20;
const closeTimeoutMs = 5_000;
const closeSignalChannel = 255;

function toBuffer(data: RawData): Buffer {
  if (Buffer.isBuffer(data)) return data;
  return Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data);
}

/**
 * Kubernetes' multiplexing of a WebSocket: the first byte of every message is the channel. With base64 (subprotocols `base64.*`) the channel is a digit
 * and the rest text. Since v5 a message on channel 255 closes the channel it names.
 */
export class WebSocketChannels {
  readonly #socket: WebSocket;
  readonly #isBase64: boolean;
  readonly #inputs = new Map<number, PassThrough>();
  readonly #abort = new AbortController();

  constructor(
    socket: WebSocket,
    options: { readonly isBase64: boolean; readonly readable: readonly number[] },
  ) {
    this.#socket = socket;
    this.#isBase64 = options.isBase64;
    for (const channel of options.readable) {
      this.#inputs.set(channel, new PassThrough({ readableHighWaterMark: inputBytesMax }));
    }
    socket.on('message', (data) => this.#receive(toBuffer(data)));
    socket.on('error', () => undefined); // 'close' follows
    socket.on('close', () => this.#end());
    if (socket.readyState !== socket.OPEN) this.#end();
  }

  /** Fires when the client is gone. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** What the client sends on a channel named readable. */
  input(channel: number): Readable {
    const input = this.#inputs.get(channel);
    if (input === undefined) throw new Error(`channel ${channel} is not readable`);
    return input;
  }

  /** A channel to the client; every write is a message, sent before the write's callback. */
  output(channel: number): Writable {
    const output = new Writable({
      write: (chunk: Buffer, _encoding, callback) => {
        this.send(channel, chunk).then(() => callback(), callback);
      },
    });
    output.on('error', () => undefined); // the client is gone: `signal` tells
    return output;
  }

  async send(channel: number, bytes: Buffer): Promise<void> {
    const message = this.#isBase64
      ? `${channel}${bytes.toString('base64')}`
      : Buffer.concat([Buffer.from([channel]), bytes]);
    await new Promise<void>((resolve, reject) => {
      this.#socket.send(message, (error) => {
        if (error instanceof Error) reject(error);
        else resolve();
      });
    });
  }

  /** Closes the connection in good order: everything sent is delivered before. */
  async close(): Promise<void> {
    if (this.#socket.readyState === this.#socket.CLOSED) return;
    await new Promise<void>((resolve) => {
      const giveUp = setTimeout(() => this.#socket.terminate(), closeTimeoutMs);
      this.#socket.once('close', () => {
        clearTimeout(giveUp);
        resolve();
      });
      for (const input of this.#inputs.values()) input.resume();
      this.#socket.resume();
      this.#socket.close(1000);
    });
  }

  #receive(message: Buffer): void {
    const first = message[0];
    if (first === undefined) return;
    const channel = this.#isBase64 ? first - 0x30 : first;
    if (channel === closeSignalChannel) {
      this.#inputs.get(message[1] ?? -1)?.end();
      return;
    }
    const input = this.#inputs.get(channel);
    if (input === undefined || input.writableEnded || input.destroyed || message.length === 1) return;
    const bytes = this.#isBase64 ? Buffer.from(message.toString('latin1', 1), 'base64') : message.subarray(1);
    if (input.write(bytes)) return;
    this.#socket.pause();
    const goOn = (): void => {
      input.off('drain', goOn);
      input.off('close', goOn);
      this.#socket.resume();
    };
    input.on('drain', goOn);
    input.on('close', goOn);
  }

  #end(): void {
    for (const input of this.#inputs.values()) input.end();
    this.#abort.abort();
  }
}
