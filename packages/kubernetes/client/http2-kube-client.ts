import { constants, type ClientHttp2Stream } from 'node:http2';
import { PlatformError } from '@hypernetes/foundation/errors';
import { ConnectionPool } from './connection-pool.ts';
import type {
  KubeClient,
  KubeObject,
  ListOptions,
  ObjectKey,
  PatchType,
  Resource,
  WatchEvent,
} from './kube-client.ts';
import { apiVersionOf, pathOf } from './resources.ts';
import { errorOfStatus } from './status-error.ts';

const requestTimeoutMs = 30_000;
const responseBytesMax = 256 << 20;
const watchLineCharactersMax = 32 << 20;
const idempotentAttempts = 3;
const metadataAccept = (list: boolean): string =>
  `application/json;as=PartialObjectMetadata${list ? 'List' : ''};g=meta.k8s.io;v=v1,application/json`;

const patchContentTypes: Readonly<Record<PatchType, string>> = {
  json: 'application/json-patch+json',
  merge: 'application/merge-patch+json',
  strategic: 'application/strategic-merge-patch+json',
};

export interface KubeClientOptions {
  /** https://host:port; http:// (HTTP/2 without TLS) serves tests. */
  readonly server: string;
  readonly caPem?: string;
  readonly clientCertPem?: string;
  readonly clientKeyPem?: string;
  readonly token?: string;
  readonly userAgent?: string;
  /** Deadline of one call, not of watches; default 30 s. */
  readonly timeoutMs?: number;
}

interface Call {
  readonly method: string;
  readonly path: string;
  readonly query?: URLSearchParams;
  readonly body?: unknown;
  readonly contentType?: string;
  readonly accept?: string;
}

interface Answer {
  readonly httpStatus: number;
  readonly body: unknown;
}

/** A client of the Kubernetes API over HTTP/2: all calls and watches share one connection. Makes no connection before the first call. */
export function createKubeClient(options: KubeClientOptions): KubeClient {
  return new Http2KubeClient(options);
}

function queryOf(options: ListOptions): URLSearchParams {
  const query = new URLSearchParams();
  if (options.labelSelector !== undefined) query.set('labelSelector', options.labelSelector);
  if (options.fieldSelector !== undefined) query.set('fieldSelector', options.fieldSelector);
  if (options.resourceVersion !== undefined) query.set('resourceVersion', options.resourceVersion);
  if (options.limit !== undefined) query.set('limit', String(options.limit));
  if (options.continue !== undefined) query.set('continue', options.continue);
  return query;
}

function parseBody(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

class Http2KubeClient implements KubeClient {
  readonly #pool: ConnectionPool;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #timeoutMs: number;
  readonly #basePath: string;

  constructor(options: KubeClientOptions) {
    const server = new URL(options.server);
    this.#basePath = server.pathname.replace(/\/+$/, '');
    this.#timeoutMs = options.timeoutMs ?? requestTimeoutMs;
    this.#pool = new ConnectionPool(server, {
      ...(options.caPem === undefined ? {} : { ca: options.caPem }),
      ...(options.clientCertPem === undefined ? {} : { cert: options.clientCertPem }),
      ...(options.clientKeyPem === undefined ? {} : { key: options.clientKeyPem }),
      minVersion: 'TLSv1.2',
    });
    this.#headers = {
      'user-agent': options.userAgent ?? 'hypernetes',
      ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
    };
  }

  async get<T extends KubeObject>(resource: Resource, key: ObjectKey): Promise<T> {
    return await this.#call<T>({ method: 'GET', path: pathOf(resource, key) });
  }

  // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- the caller says the kind
  async list<T extends KubeObject>(
    resource: Resource,
    options: ListOptions = {},
  ): Promise<{ items: T[]; resourceVersion: string; continue?: string }> {
    const path = pathOf(resource, options.namespace === undefined ? {} : { namespace: options.namespace });
    const answer = await this.#call<{
      items?: T[] | null;
      metadata?: { resourceVersion?: string; continue?: string };
    }>({
      method: 'GET',
      path,
      query: queryOf(options),
      ...(options.metadataOnly === true ? { accept: metadataAccept(true) } : {}),
    });
    const version = apiVersionOf(resource);
    // Items of a list leave out what the list says once.
    const items = (answer.items ?? []).map((item) => ({ ...item, apiVersion: version, kind: resource.kind }));
    const more = answer.metadata?.continue;
    return {
      items,
      resourceVersion: answer.metadata?.resourceVersion ?? '',
      ...(more === undefined || more === '' ? {} : { continue: more }),
    };
  }

  async create<T extends KubeObject>(resource: Resource, object: T, subresource?: string): Promise<T> {
    const { namespace, name } = object.metadata;
    const path = pathOf(resource, {
      ...(namespace === undefined ? {} : { namespace }),
      ...(subresource === undefined ? {} : { name, subresource }),
    });
    const typed =
      subresource === undefined
        ? { apiVersion: apiVersionOf(resource), kind: resource.kind, ...object }
        : { ...object };
    // With generateName the server makes the name.
    if (name === '') {
      const { name: _empty, ...metadata } = object.metadata;
      Object.assign(typed, { metadata });
    }
    return await this.#call<T>({ method: 'POST', path, body: typed });
  }

  async update<T extends KubeObject>(
    resource: Resource,
    object: T,
    subresource?: 'status' | 'scale' | 'finalize',
  ): Promise<T> {
    const path = pathOf(resource, {
      ...object.metadata,
      ...(subresource === undefined ? {} : { subresource }),
    });
    const typed =
      subresource === 'scale'
        ? object
        : { ...object, apiVersion: apiVersionOf(resource), kind: resource.kind };
    return await this.#call<T>({ method: 'PUT', path, body: typed });
  }

  async patch<T extends KubeObject>(
    resource: Resource,
    key: ObjectKey,
    type: PatchType,
    patch: unknown,
    subresource?: 'status',
  ): Promise<T> {
    return await this.#call<T>({
      method: 'PATCH',
      path: pathOf(resource, { ...key, ...(subresource === undefined ? {} : { subresource }) }),
      body: patch,
      contentType: patchContentTypes[type],
    });
  }

  async delete(
    resource: Resource,
    key: ObjectKey,
    options: {
      readonly uid?: string;
      readonly gracePeriodSeconds?: number;
      readonly propagationPolicy?: string;
    } = {},
  ): Promise<void> {
    const { uid, ...rest } = options;
    await this.#call({
      method: 'DELETE',
      path: pathOf(resource, key),
      body: {
        apiVersion: 'v1',
        kind: 'DeleteOptions',
        ...rest,
        ...(uid === undefined ? {} : { preconditions: { uid } }),
      },
    });
  }

  async getPath(path: string): Promise<unknown> {
    return await this.#call({ method: 'GET', path });
  }

  async *watch<T extends KubeObject>(
    resource: Resource,
    options: ListOptions & { readonly resourceVersion: string },
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent<T>> {
    const query = queryOf(options);
    query.set('watch', 'true');
    query.set('allowWatchBookmarks', 'true');
    query.set('timeoutSeconds', String(300 + Math.floor(Math.random() * 300)));
    const path = pathOf(resource, options.namespace === undefined ? {} : { namespace: options.namespace });
    const doing = `watch ${path}`;
    const stream = await this.#open({
      method: 'GET',
      path,
      query,
      ...(options.metadataOnly === true ? { accept: metadataAccept(false) } : {}),
    });
    const abort = (): void => stream.close(constants.NGHTTP2_CANCEL);
    signal.addEventListener('abort', abort, { once: true });
    try {
      if (signal.aborted) return;
      const httpStatus = await this.#responseStatus(stream, doing, signal);
      if (httpStatus !== 200) throw errorOfStatus(httpStatus, parseBody(await readAll(stream, doing)), doing);
      for await (const line of readLines(stream, doing)) yield parseEvent<T>(line, doing);
    } catch (error) {
      if (!signal.aborted) throw unavailable(error, doing);
    } finally {
      signal.removeEventListener('abort', abort);
      stream.close(constants.NGHTTP2_CANCEL);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool[Symbol.asyncDispose]();
  }

  async #call<T>(call: Call): Promise<T> {
    const doing = `${call.method} ${call.path}`;
    for (let attempt = 1; ; attempt++) {
      try {
        const answer = await this.#exchange(call, doing);
        if (answer.httpStatus >= 200 && answer.httpStatus < 300) return answer.body as T;
        throw errorOfStatus(answer.httpStatus, answer.body, doing);
      } catch (error) {
        // Reading twice does no harm; whether a lost write was done only the caller can find out.
        const lost =
          error instanceof PlatformError &&
          error.reason === 'Unavailable' &&
          !('httpStatus' in error.details);
        if (!lost || call.method !== 'GET' || attempt >= idempotentAttempts) throw error;
      }
    }
  }

  async #exchange(call: Call, doing: string): Promise<Answer> {
    const stream = await this.#open(call);
    let late = false as boolean;
    const timer = setTimeout(() => {
      late = true;
      stream.close(constants.NGHTTP2_CANCEL);
    }, this.#timeoutMs);
    try {
      const httpStatus = await this.#responseStatus(stream, doing);
      return { httpStatus, body: parseBody(await readAll(stream, doing)) };
    } catch (error) {
      if (late) {
        throw new PlatformError('DeadlineExceeded', `${doing}: no answer after ${this.#timeoutMs} ms`, {
          cause: error,
        });
      }
      throw unavailable(error, doing);
    } finally {
      clearTimeout(timer);
      stream.close(constants.NGHTTP2_CANCEL);
    }
  }

  async #open(call: Call): Promise<ClientHttp2Stream> {
    const query = call.query === undefined || call.query.size === 0 ? '' : `?${call.query.toString()}`;
    const body = call.body === undefined ? undefined : JSON.stringify(call.body);
    const stream = await this.#pool.open(
      {
        ...this.#headers,
        [constants.HTTP2_HEADER_METHOD]: call.method,
        [constants.HTTP2_HEADER_PATH]: this.#basePath + call.path + query,
        accept: call.accept ?? 'application/json',
        ...(body === undefined
          ? {}
          : {
              'content-type': call.contentType ?? 'application/json',
              'content-length': String(Buffer.byteLength(body)),
            }),
      },
      body === undefined,
    );
    // Errors are seen where the answer is awaited; a stream nobody awaits any more must not end the process.
    stream.on('error', () => undefined);
    if (body !== undefined) stream.end(body);
    return stream;
  }

  /** Resolves with the status of the response headers; the call's deadline closes the stream if they never come. */
  async #responseStatus(stream: ClientHttp2Stream, doing: string, signal?: AbortSignal): Promise<number> {
    const timer =
      signal === undefined
        ? undefined
        : setTimeout(() => stream.close(constants.NGHTTP2_CANCEL), this.#timeoutMs);
    try {
      return await new Promise<number>((resolve, reject) => {
        const lost = (cause?: Error): void => reject(unavailable(cause ?? new Error('stream closed'), doing));
        stream.once('response', (headers) => resolve(headers[':status'] ?? 0));
        stream.once('error', lost);
        stream.once('close', () => lost());
      });
    } finally {
      clearTimeout(timer);
    }
  }
}

function unavailable(error: unknown, doing: string): PlatformError {
  if (error instanceof PlatformError) return error;
  const why = error instanceof Error ? error.message : String(error);
  return new PlatformError('Unavailable', `${doing}: connection to the API server lost: ${why}`, {
    cause: error,
  });
}

async function readAll(stream: ClientHttp2Stream, doing: string): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > responseBytesMax) {
      throw new PlatformError('Exhausted', `${doing}: the answer is larger than ${responseBytesMax} bytes`);
    }
    chunks.push(chunk);
  }
  assertWhole(stream, doing);
  return Buffer.concat(chunks).toString('utf8');
}

/** Lines of a stream, holding at most one line and one chunk: a slow reader holds the server back through flow control. */
async function* readLines(stream: ClientHttp2Stream, doing: string): AsyncGenerator<string> {
  stream.setEncoding('utf8');
  let rest = '';
  for await (const chunk of stream as AsyncIterable<string>) {
    const lines = (rest + chunk).split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > watchLineCharactersMax) {
      throw new PlatformError(
        'Exhausted',
        `${doing}: an event is larger than ${watchLineCharactersMax} characters`,
      );
    }
    for (const line of lines) if (line !== '') yield line;
  }
  assertWhole(stream, doing);
}

/** A connection that is lost ends its streams as if they were done; only the code tells. */
function assertWhole(stream: ClientHttp2Stream, doing: string): void {
  if (stream.rstCode === constants.NGHTTP2_NO_ERROR) return;
  throw unavailable(new Error(`stream reset with code ${stream.rstCode}`), doing);
}

function parseEvent<T extends KubeObject>(line: string, doing: string): WatchEvent<T> {
  const event = parseBody(line) as { type?: unknown; object?: unknown } | string | null;
  if (typeof event !== 'object' || event === null || typeof event.object !== 'object') {
    throw new PlatformError('Internal', `${doing}: the server sent something that is not an event`);
  }
  switch (event.type) {
    case 'ADDED':
    case 'MODIFIED':
    case 'DELETED':
    case 'BOOKMARK':
      return { type: event.type, object: event.object as T };
    case 'ERROR':
      throw errorOfStatus(0, event.object, doing);
    default:
      throw new PlatformError('Internal', `${doing}: unknown type of event ${String(event.type)}`);
  }
}
