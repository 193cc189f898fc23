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
 * runtime itself destroys it with RuntimeUnreachable. What is written early waits for the connection.
 */
export class PortForwardStream extends Duplex {
  readonly #socket: WebSocket;
  /** Each channel begins with the port number, two bytes, which is no content. */
  readonly #announced = new Set<number>();
  /** Resolves when something in the pod has taken the connection; rejects with what destroyed the stream before that. */
  readonly connected: Promise<void>;

  /** Resolves when the runtime has taken the session, which says nothing yet of the pod; RuntimeUnreachable when it does not. */
  static async open(url: string): Promise<PortForwardStream> {
    const stream = new PortForwardStream(url);
    await new Promise<void>((resolve, reject) => {
      stream.#socket.once('open', resolve);
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
    this.connected = new Promise((resolve, reject) => {
      this.once('connected', resolve);
      this.once('error', reject);
      this.once('close', () => reject(new RuntimeUnreachable('port-forward stream: closed')));
    });
    this.connected.catch(() => undefined); // who waits for it gets it all the same
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
    const send = (): void => {
      for (let offset = 0; offset < chunk.length; offset += chunkBytesMax) {
        const part = chunk.subarray(offset, offset + chunkBytesMax);
        const last = offset + chunkBytesMax >= chunk.length;
        const message = Buffer.concat([Buffer.of(dataChannel), part]);
        this.#socket.send(message, last ? (error) => done(error ?? null) : () => undefined);
      }
      if (chunk.length === 0) done();
    };
    this.connected.then(send, done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.terminate();
    done(error);
  }

  #receive(message: Buffer, isBinary: boolean): void {
    const channel = message[0];
    if (!isBinary || (channel !== dataChannel && channel !== errorChannel)) return;
    const content = message.subarray(1);
    if (!this.#announced.has(channel)) {
      this.#announced.add(channel);
      // The runtime names the port on the data channel only once it has the connection.
      if (channel === dataChannel) this.emit('connected');
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
