import { mkdtemp, rm } from 'node:fs/promises';
import { request as httpsRequest } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { schemasForTests } from '../api/schemas.fixture.ts';
import type { ApiObject } from '../api/index.ts';
import { ensurePki, startApiServer, type ApiServer, type KeyAndCertificate, type Pki } from './index.ts';

/** An answer as a test looks at it. */
export interface Answer {
  readonly code: number;
  readonly headers: IncomingMessage['headers'];
  readonly text: string;
  // Tests read into answers of all kinds.
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  readonly body: any;
}

export interface RequestOptions {
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  /** Default: the cluster administrator. 'nobody': no credentials. */
  readonly as?: KeyAndCertificate | { readonly token: string } | 'nobody';
}

export interface WatchEvent {
  readonly type: string;
  readonly object: ApiObject & { readonly rows?: { cells: unknown[] }[]; readonly code?: number };
}

/** One running watch. */
export interface TestWatch extends AsyncDisposable {
  /** The next event; fails after five seconds. */
  next(): Promise<WatchEvent>;
  /** Resolves when the server ends the stream. */
  readonly ended: Promise<void>;
}

/** A whole server on a temporary folder. */
export class TestServer implements AsyncDisposable {
  readonly dir: string;
  readonly pki: Pki;
  #server: ApiServer;
  readonly #kubestackSocket: string | undefined;

  private constructor(dir: string, pki: Pki, server: ApiServer, kubestackSocket: string | undefined) {
    this.dir = dir;
    this.pki = pki;
    this.#server = server;
    this.#kubestackSocket = kubestackSocket;
  }

  static async start(kubestackSocket?: string): Promise<TestServer> {
    const dir = await mkdtemp(join(tmpdir(), 'apiserver-'));
    const pki = await ensurePki(join(dir, 'pki'), {
      nodeName: 'node1',
      addresses: ['127.0.0.1'],
      serviceClusterIp: '10.96.0.1',
    });
    return new TestServer(dir, pki, await TestServer.#run(dir, pki, kubestackSocket), kubestackSocket);
  }

  static async #run(dir: string, pki: Pki, kubestackSocket: string | undefined): Promise<ApiServer> {
    schemasForTests();
    return await startApiServer({
      dataDir: join(dir, 'data'),
      pki,
      bindAddress: '127.0.0.1',
      port: 0,
      advertiseAddress: '127.0.0.1',
      serviceCidr: '10.96.0.0/16',
      schemasPath: join(import.meta.dirname, '../../../build/schemas.json'),
      ...(kubestackSocket === undefined ? {} : { kubestackSocket }),
    });
  }

  get url(): string {
    return this.#server.url;
  }

  get port(): number {
    return this.#server.port;
  }

  async restart(): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
    this.#server = await TestServer.#run(this.dir, this.pki, this.#kubestackSocket);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server[Symbol.asyncDispose]();
    await rm(this.dir, { recursive: true });
  }

  async request(method: string, path: string, options: RequestOptions = {}): Promise<Answer> {
    const incoming = await this.#open(method, path, options);
    const chunks: Buffer[] = [];
    for await (const chunk of incoming as AsyncIterable<Buffer>) chunks.push(chunk);
    const packed = incoming.headers['content-encoding'] === 'gzip';
    const text = (packed ? gunzipSync(Buffer.concat(chunks)) : Buffer.concat(chunks)).toString('utf8');
    const json = (incoming.headers['content-type'] ?? '').startsWith('application/json') && text !== '';
    return {
      code: incoming.statusCode ?? 0,
      headers: incoming.headers,
      text,
      body: json ? (JSON.parse(text) as unknown) : undefined,
    };
  }

  async get(path: string, options: RequestOptions = {}): Promise<Answer> {
    return await this.request('GET', path, options);
  }

  /** Creates and insists on success. */
  async create(path: string, body: unknown, options: RequestOptions = {}): Promise<ApiObject> {
    const answer = await this.request('POST', path, { ...options, body });
    if (answer.code !== 201) throw new Error(`create at ${path}: ${answer.code} ${answer.text}`);
    return answer.body as ApiObject;
  }

  async patch(path: string, type: string, body: unknown, options: RequestOptions = {}): Promise<Answer> {
    const headers = { 'content-type': `application/${type}` };
    return await this.request('PATCH', path, {
      ...options,
      body,
      headers: { ...headers, ...options.headers },
    });
  }

  /** A namespace with its default service account, as the controllers make it. */
  async createNamespace(name: string): Promise<void> {
    await this.create('/api/v1/namespaces', { metadata: { name } });
    await this.create(`/api/v1/namespaces/${name}/serviceaccounts`, { metadata: { name: 'default' } });
  }

  async watch(path: string, options: RequestOptions = {}): Promise<TestWatch> {
    const incoming = await this.#open('GET', path, options);
    return new StreamedWatch(incoming);
  }

  async #open(method: string, path: string, options: RequestOptions): Promise<IncomingMessage> {
    const { as = this.pki.admin, body } = options;
    const raw = typeof body === 'string' || body instanceof Uint8Array;
    const bytes = body === undefined ? undefined : Buffer.from(raw ? body : JSON.stringify(body));
    const outgoing = httpsRequest({
      host: '127.0.0.1',
      port: this.port,
      method,
      path,
      ca: this.pki.caPem,
      agent: false,
      headers: {
        ...(bytes === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': bytes.length }),
        ...(typeof as === 'object' && 'token' in as ? { authorization: `Bearer ${as.token}` } : {}),
        ...options.headers,
      },
      ...(typeof as === 'object' && 'keyPem' in as ? { key: as.keyPem, cert: as.certificatePem } : {}),
    });
    outgoing.end(bytes);
    return await new Promise((resolve, reject) => outgoing.on('response', resolve).on('error', reject));
  }
}

class StreamedWatch implements TestWatch {
  readonly ended: Promise<void>;
  readonly #incoming: IncomingMessage;
  readonly #events: WatchEvent[] = [];
  #waiting: (() => void) | undefined;
  #rest = '';

  constructor(incoming: IncomingMessage) {
    this.#incoming = incoming;
    this.ended = new Promise((resolve) => incoming.on('close', resolve));
    incoming.on('error', () => undefined);
    incoming.setEncoding('utf8').on('data', (text: string) => {
      const lines = (this.#rest + text).split('\n');
      this.#rest = lines.pop() ?? '';
      for (const line of lines) this.#events.push(JSON.parse(line) as WatchEvent);
      this.#waiting?.();
    });
  }

  async next(): Promise<WatchEvent> {
    const deadline = Date.now() + 5_000;
    for (;;) {
      const event = this.#events.shift();
      if (event !== undefined) return event;
      const left = deadline - Date.now();
      if (left <= 0) throw new Error('no event in five seconds');
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#waiting = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#incoming.destroy();
    await this.ended;
  }
}
