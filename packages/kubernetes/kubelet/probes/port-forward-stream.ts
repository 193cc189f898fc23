import { Duplex } from 'node:stream';
import { WebSocket, type RawData } from 'ws';
import { PlatformError } from '@hypernetes/foundation/errors';
import { RuntimeUnreachable } from './runtime-unreachable.ts';

/** Kubernetes' channel protocol: the first byte of each message is the channel, 2n for data and 2n+1 for errors of the n-th port. */
const protocol = 'v4.channel.k8s.io';
const dataChannel = 0;
const errorChannel = 1;
/** RFC 6455 section 7.4.1. */
const normalClosure = 1_000;
const handshakeMs = 10_000;
const messageBytesMax = 4 << 20;
const chunkBytesMax = 64 << 10;

/**
 * A connection to a port of a pod over the runtime's streaming server, as one byte stream. It is made from inside the pod, so the pod
 * needs no network path to its host. An error the pod's side reports (nothing listens) destroys the stream with Unavailable; losing the
 * runtime itself destroys it with RuntimeUnreachable.
 */
export class PortForwardStream extends Duplex {
  readonly #socket: WebSocket;
  /** Each channel begins with the port number, two bytes, which is no content. */
  readonly #announced = new Set<number>();
  #writeWaits: (() => void) | undefined;

  /** Resolves when the runtime has taken the session, which says nothing yet of the pod; RuntimeUnreachable when it does not. */
  static async open(url: string): Promise<PortForwardStream> {
    const stream = new PortForwardStream(url);
    await new Promise<void>((resolve, reject) => {
      stream.once('established', resolve);
      stream.once('error', reject);
      stream.once('close', () => reject(new RuntimeUnreachable('port-forward stream: closed')));
    });
    return stream;
  }

  private constructor(url: string) {
    super({ allowHalfOpen: true });
    this.#socket = new WebSocket(url.replace(/^http/, 'ws'), protocol, {
      perMessageDeflate: false,
      maxPayload: messageBytesMax,
      handshakeTimeout: handshakeMs,
    });
    this.#socket.on('open', () => {
      this.#writeWaits?.();
      this.#writeWaits = undefined;
    });
    this.#socket.on('message', (message, isBinary) => this.#receive(toBuffer(message), isBinary));
    this.#socket.on('error', (cause) =>
      this.destroy(new RuntimeUnreachable(`port-forward stream: ${cause.message}`, cause)),
    );
    this.#socket.on('close', (code) => {
      if (code !== normalClosure && !this.destroyed) {
        this.destroy(new RuntimeUnreachable(`port-forward stream: ended with code ${code}`));
        return;
      }
      this.push(null);
      if (!this.writableEnded) this.end();
    });
  }

  override _read(): void {
    if (this.#socket.isPaused) this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    this.#whenOpen(() => {
      for (let offset = 0; offset < chunk.length; offset += chunkBytesMax) {
        const part = chunk.subarray(offset, offset + chunkBytesMax);
        const last = offset + chunkBytesMax >= chunk.length;
        const message = Buffer.concat([Buffer.of(dataChannel), part]);
        this.#socket.send(message, last ? (error) => done(error ?? null) : () => undefined);
      }
      if (chunk.length === 0) done();
    });
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.terminate();
    done(error);
  }

  #whenOpen(work: () => void): void {
    if (this.#socket.readyState === WebSocket.CONNECTING) this.#writeWaits = work;
    else work();
  }

  #receive(message: Buffer, isBinary: boolean): void {
    const channel = message[0];
    if (!isBinary || (channel !== dataChannel && channel !== errorChannel)) return;
    const content = message.subarray(1);
    if (!this.#announced.has(channel)) {
      this.#announced.add(channel);
      if (this.#announced.size === 2) this.emit('established');
      if (content.length === 2) return;
    }
    if (channel === errorChannel) {
      const text = content.toString('utf8').trim();
      if (text !== '') this.destroy(new PlatformError('Unavailable', text));
    } else if (content.length > 0 && !this.push(content)) this.#socket.pause();
  }
}

function toBuffer(message: RawData): Buffer {
  if (Buffer.isBuffer(message)) return message;
  return Array.isArray(message) ? Buffer.concat(message) : Buffer.from(message);
}
