import { connect, constants, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2';
import type { SecureContextOptions } from 'node:tls';
import { PlatformError } from '@hypernetes/foundation/errors';
import { backoffDelayMs, sleep } from '@hypernetes/foundation/lifecycle';

const connectTimeoutMs = 10_000;
const pingIntervalMs = 10_000;
const pingTimeoutMs = 15_000;
const reconnectBaseMs = 50;
const reconnectMaxMs = 5_000;
/** Connections at most; only a server with a low limit of streams needs more than one. */
const connectionsMax = 8;
/** Streams the server may not have promised are never used: real servers allow 100 or 250. */
const streamsPerConnectionMax = 1_000;
const streamWindowBytes = 1 << 20;
const connectionWindowBytes = 16 << 20;

interface Connection {
  readonly session: ClientHttp2Session;
  streams: number;
}

/**
 * HTTP/2 connections to one server: one, unless its limit of concurrent streams asks for more. A dead peer is found by PING; a lost
 * connection is made again when it is next needed, with backoff.
 */
export class ConnectionPool implements AsyncDisposable {
  readonly #server: URL;
  readonly #tls: SecureContextOptions;
  readonly #connections = new Set<Connection>();
  readonly #abort = new AbortController();
  #connecting: Promise<Connection> | undefined;
  #failures = 0;
  #notBeforeMs = 0;

  constructor(server: URL, tls: SecureContextOptions) {
    this.#server = server;
    this.#tls = tls;
  }

  /** Connections that are open now. */
  get size(): number {
    return this.#connections.size;
  }

  /** A new stream with these headers. Unavailable when no connection can be made. */
  async open(headers: Record<string, string>, endStream: boolean): Promise<ClientHttp2Stream> {
    const connection = this.#usable() ?? (await this.#connect());
    let stream: ClientHttp2Stream;
    try {
      stream = connection.session.request(headers, { endStream });
    } catch (cause) {
      throw this.#unavailable(cause);
    }
    connection.streams += 1;
    stream.once('close', () => {
      connection.streams -= 1;
    });
    return stream;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    for (const { session } of this.#connections) session.destroy();
    this.#connections.clear();
    await this.#connecting?.catch(() => undefined);
  }

  #usable(): Connection | undefined {
    for (const connection of this.#connections) {
      const { session } = connection;
      if (session.destroyed || session.closed) continue;
      const promised = session.remoteSettings.maxConcurrentStreams ?? streamsPerConnectionMax;
      const limit = Math.min(promised, streamsPerConnectionMax);
      // The last connection takes what comes: its streams then wait in line for others to end.
      if (connection.streams < limit || this.#connections.size >= connectionsMax) return connection;
    }
    return undefined;
  }

  #unavailable(cause: unknown): PlatformError {
    const why = cause instanceof Error ? cause.message : String(cause);
    return new PlatformError('Unavailable', `connect to the API server ${this.#server.origin}: ${why}`, {
      cause,
    });
  }

  async #connect(): Promise<Connection> {
    this.#connecting ??= this.#connectOnce().finally(() => {
      this.#connecting = undefined;
    });
    return await this.#connecting;
  }

  async #connectOnce(): Promise<Connection> {
    const waitMs = this.#notBeforeMs - Date.now();
    if (waitMs > 0) await sleep(waitMs, this.#abort.signal);
    if (this.#abort.signal.aborted) throw new PlatformError('Canceled', 'the API client is closed');
    try {
      const connection = await this.#dial();
      this.#failures = 0;
      return connection;
    } catch (error) {
      this.#notBeforeMs = Date.now() + backoffDelayMs(this.#failures, reconnectBaseMs, reconnectMaxMs);
      this.#failures += 1;
      throw this.#unavailable(error);
    }
  }

  async #dial(): Promise<Connection> {
    const session = connect(this.#server, {
      ...this.#tls,
      settings: { enablePush: false, initialWindowSize: streamWindowBytes },
    });
    const connection: Connection = { session, streams: 0 };
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        session.destroy();
        reject(new Error(`no connection after ${connectTimeoutMs} ms`));
      }, connectTimeoutMs);
      const fail = (error: Error): void => {
        clearTimeout(timer);
        reject(error);
      };
      session.once('error', fail);
      session.once('close', () => fail(new Error('connection closed')));
      // The server's settings come first: they hold its limit of streams.
      session.once('remoteSettings', () => {
        clearTimeout(timer);
        resolve();
      });
    });
    if (this.#abort.signal.aborted) {
      session.destroy();
      throw new PlatformError('Canceled', 'the API client is closed');
    }
    session.setLocalWindowSize(connectionWindowBytes);
    this.#connections.add(connection);
    this.#guard(connection);
    return connection;
  }

  #guard(connection: Connection): void {
    const { session } = connection;
    let answeredAtMs = Date.now();
    const timer = setInterval(() => {
      if (Date.now() - answeredAtMs > pingIntervalMs + pingTimeoutMs) {
        session.destroy(new Error('the server does not answer pings'), constants.NGHTTP2_CANCEL);
        return;
      }
      if (session.destroyed) return;
      session.ping((error) => {
        if (error === null) answeredAtMs = Date.now();
      });
    }, pingIntervalMs);
    const forget = (): void => {
      clearInterval(timer);
      this.#connections.delete(connection);
    };
    // A server that goes away says GOAWAY: no new streams there, those open end by themselves.
    session.on('goaway', () => this.#connections.delete(connection));
    session.on('error', forget);
    session.on('close', forget);
  }
}
