import http from 'node:http';
import https from 'node:https';
import { PlatformError, type Reason } from '@hypernetes/foundation/errors';

const redirectsMax = 5;
const headersTimeoutMs = 30_000;
const idleTimeoutMs = 60_000;

export interface HttpRequest {
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  readonly method?: 'GET' | 'HEAD' | 'POST';
  readonly body?: string;
  readonly signal?: AbortSignal;
  /** Certificates are not verified (registries the operator named insecure). */
  readonly insecureTls?: boolean;
}

/** Connections to registries, kept open between requests. */
export class RegistryHttp implements Disposable {
  readonly #plain = new http.Agent({ keepAlive: true, maxSockets: 8, timeout: idleTimeoutMs });
  readonly #secure = new https.Agent({ keepAlive: true, maxSockets: 8, timeout: idleTimeoutMs });
  readonly #unverified = new https.Agent({
    keepAlive: true,
    maxSockets: 8,
    timeout: idleTimeoutMs,
    rejectUnauthorized: false,
  });

  /** The answer, redirects followed; its body must be read or destroyed. Connection trouble: Unavailable, naming the host. */
  async request(request: HttpRequest): Promise<http.IncomingMessage> {
    let current = request;
    for (let hops = 0; ; hops++) {
      const response = await this.#once(current);
      const status = response.statusCode ?? 0;
      const location = response.headers.location;
      if (![301, 302, 303, 307, 308].includes(status) || location === undefined) return response;
      response.destroy();
      if (hops === redirectsMax) throw unavailable(current.url, 'too many redirects');
      current = redirected(current, location);
    }
  }

  [Symbol.dispose](): void {
    for (const agent of [this.#plain, this.#secure, this.#unverified]) agent.destroy();
  }

  async #once(request: HttpRequest): Promise<http.IncomingMessage> {
    const secure = request.url.protocol === 'https:';
    const agent = secure ? (request.insecureTls === true ? this.#unverified : this.#secure) : this.#plain;
    return await new Promise<http.IncomingMessage>((resolve, reject) => {
      const call = (secure ? https : http).request(request.url, {
        agent,
        method: request.method ?? 'GET',
        headers: { 'user-agent': 'hypernetes', ...request.headers },
        ...(request.signal === undefined ? {} : { signal: request.signal }),
      });
      const timer = setTimeout(
        () => call.destroy(new Error(`no answer after ${headersTimeoutMs} ms`)),
        headersTimeoutMs,
      );
      call.setTimeout(idleTimeoutMs, () => call.destroy(new Error(`silent for ${idleTimeoutMs} ms`)));
      call.on('error', (cause) => {
        clearTimeout(timer);
        reject(connectionError(request.url, cause, request.signal));
      });
      call.on('response', (response) => {
        clearTimeout(timer);
        response.setTimeout(idleTimeoutMs, () =>
          response.destroy(new Error(`silent for ${idleTimeoutMs} ms`)),
        );
        resolve(response);
      });
      call.end(request.body);
    });
  }
}

function unavailable(url: URL, why: string, cause?: unknown): PlatformError {
  return new PlatformError('Unavailable', `registry ${url.host}: ${why}`, { cause });
}

/** What a broken connection, at whatever point, is to the caller. */
export function connectionError(url: URL, cause: unknown, signal?: AbortSignal): PlatformError {
  if (cause instanceof PlatformError) return cause;
  if (signal?.aborted === true)
    return new PlatformError('Canceled', `registry ${url.host}: canceled`, { cause });
  if (!(cause instanceof Error)) return unavailable(url, String(cause), cause);
  // Connecting to several addresses of a host fails with all their errors in one that has no message.
  const first: unknown = cause instanceof AggregateError ? cause.errors[0] : cause;
  return unavailable(url, first instanceof Error ? first.message : cause.message, cause);
}

function redirected(request: HttpRequest, location: string): HttpRequest {
  let url: URL;
  try {
    url = new URL(location, request.url);
  } catch (cause) {
    throw unavailable(request.url, 'redirects to something that is no URL', cause);
  }
  const downgrade = request.url.protocol === 'https:' && url.protocol !== 'https:';
  if (downgrade || !['http:', 'https:'].includes(url.protocol)) {
    throw unavailable(request.url, `redirects to ${url.protocol}//${url.host}, which is not followed`);
  }
  if (url.host === request.url.host) return { ...request, url };
  if (request.body !== undefined)
    throw unavailable(request.url, `redirects what it was sent to ${url.host}, which is not followed`);
  // Another host must not see the credentials; storage services even refuse requests that carry them.
  const { authorization: _, ...headers } = request.headers ?? {};
  return { ...request, url, headers };
}

/** The whole body, refusing more than the limit. */
export async function readBody(response: http.IncomingMessage, url: URL, bytesMax: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let total = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      total += chunk.length;
      if (total > bytesMax) {
        throw new PlatformError('Invalid', `registry ${url.host}: answer larger than ${bytesMax} bytes`);
      }
      chunks.push(chunk);
    }
  } catch (cause) {
    throw connectionError(url, cause);
  }
  return Buffer.concat(chunks);
}

/** Reason for an HTTP status that is not success. */
export function reasonOfStatus(status: number): Reason {
  if (status === 401) return 'Unauthenticated';
  if (status === 403) return 'Forbidden';
  if (status === 404) return 'NotFound';
  if (status === 429) return 'Exhausted';
  return status >= 500 || status === 408 ? 'Unavailable' : 'Invalid';
}
