import { createServer, type Http2Server, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';

export interface FixtureRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly body: unknown;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly stream: ServerHttp2Stream;
}

/** An HTTP/2 server (without TLS) whose answers the test writes: what the handler returns is sent as JSON, undefined: it answers itself. */
export class Http2Fixture implements AsyncDisposable {
  readonly sessions = new Set<ServerHttp2Session>();
  readonly requests: FixtureRequest[] = [];
  readonly #server: Http2Server;
  sessionsTotal = 0;

  private constructor(server: Http2Server) {
    this.#server = server;
  }

  static async start(
    answer: (request: FixtureRequest) => { status?: number; body: unknown } | undefined,
    settings: { maxConcurrentStreams?: number; port?: number } = {},
  ): Promise<Http2Fixture> {
    const { port, ...http2Settings } = settings;
    const server = createServer({ settings: http2Settings });
    const fixture = new Http2Fixture(server);
    server.on('session', (session) => {
      fixture.sessionsTotal += 1;
      fixture.sessions.add(session);
      session.on('error', () => undefined);
      session.on('close', () => fixture.sessions.delete(session));
    });
    server.on('stream', (stream, headers) => {
      stream.on('error', () => undefined);
      const chunks: Buffer[] = [];
      stream.on('data', (chunk: Buffer) => chunks.push(chunk));
      stream.on('end', () => {
        const url = new URL(headers[':path'] ?? '/', 'http://fixture');
        const text = Buffer.concat(chunks).toString('utf8');
        const request: FixtureRequest = {
          method: headers[':method'] ?? '',
          path: url.pathname,
          query: url.searchParams,
          body: text === '' ? undefined : JSON.parse(text),
          headers,
          stream,
        };
        fixture.requests.push(request);
        const answered = answer(request);
        if (answered === undefined || stream.destroyed) return;
        stream.respond({ ':status': answered.status ?? 200, 'content-type': 'application/json' });
        stream.end(JSON.stringify(answered.body));
      });
    });
    await new Promise<void>((resolve) => server.listen(port ?? 0, '127.0.0.1', resolve));
    return fixture;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Cuts every connection, as a killed server would. */
  cut(): void {
    for (const session of this.sessions) session.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.cut();
    await closed;
  }
}
