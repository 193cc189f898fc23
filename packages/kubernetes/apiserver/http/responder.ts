import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { stringify } from 'yaml';
import { tooLarge } from './status-error.ts';

export type HttpRequest = IncomingMessage | Http2ServerRequest;
export type HttpResponse = ServerResponse | Http2ServerResponse;

/** The value of a request header; several ones joined with commas. */
export function headerOf(request: HttpRequest, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value.join(',') : value;
}

/** As Kubernetes: what is larger than a stored object can be is refused. */
export const maxBodyBytes = 3 << 20;
// As Kubernetes: below this, compressing costs more than it saves.
const minGzipBytes = 128 << 10;

const gzipAsync = promisify(gzip);

/** The whole body of a request; 413 when it is larger than 3 MiB. */
export async function readBody(request: HttpRequest): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBodyBytes) throw tooLarge(maxBodyBytes);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

// The compatibility layers of HTTP/1 and HTTP/2 have the same methods with types that do not unite.
type Writable = Pick<
  ServerResponse,
  'setHeader' | 'end' | 'headersSent' | 'destroy' | 'write' | 'once' | 'removeListener'
> & {
  statusCode: number;
};

export interface SendOptions {
  readonly code: number;
  readonly contentType: string;
  readonly warnings?: readonly string[];
  readonly headers?: Readonly<Record<string, string>>;
}

// RFC 7234 warn-code 299, "miscellaneous persistent warning": what kubectl prints as "Warning: ...".
function warningHeader(text: string): string {
  const printable = text.replaceAll(/[^\x20-\x7e]/g, '?');
  return `299 - "${printable.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
}

function prepare(response: HttpResponse, options: SendOptions): Writable {
  const writable = response as unknown as Writable;
  writable.statusCode = options.code;
  writable.setHeader('content-type', options.contentType);
  writable.setHeader('cache-control', 'no-cache, private');
  const warnings = options.warnings ?? [];
  if (warnings.length > 0) writable.setHeader('warning', warnings.slice(0, 16).map(warningHeader));
  for (const [name, value] of Object.entries(options.headers ?? {})) writable.setHeader(name, value);
  return writable;
}

/** Sends a whole body, compressed when it is large and the client can take it. */
export async function send(
  request: HttpRequest,
  response: HttpResponse,
  body: string | Uint8Array,
  options: SendOptions,
): Promise<void> {
  const bytes = typeof body === 'string' ? Buffer.from(body, 'utf8') : body;
  const writable = prepare(response, options);
  const accepts = headerOf(request, 'accept-encoding')?.includes('gzip') === true;
  if (bytes.length < minGzipBytes || !accepts) {
    writable.setHeader('content-length', bytes.length);
    writable.end(bytes);
    return;
  }
  const packed = await gzipAsync(bytes, { level: 1 });
  writable.setHeader('content-encoding', 'gzip');
  writable.setHeader('vary', 'accept-encoding');
  writable.setHeader('content-length', packed.length);
  writable.end(packed);
}

/** Sends a value as JSON or YAML. */
export async function sendValue(
  request: HttpRequest,
  response: HttpResponse,
  value: unknown,
  options: Omit<SendOptions, 'contentType'> & { readonly encoding?: 'json' | 'yaml' },
): Promise<void> {
  const yaml = options.encoding === 'yaml';
  await send(request, response, yaml ? stringify(value) : JSON.stringify(value), {
    ...options,
    contentType: yaml ? 'application/yaml' : 'application/json',
  });
}

/** An answer that is written piece by piece, with the back-pressure of its connection. */
export interface StreamedResponse {
  /** False: wait for `drained` before writing on. */
  write(chunk: Uint8Array): boolean;
  drained(signal: AbortSignal): Promise<void>;
  end(): void;
  /** Cuts the connection (HTTP/1.1) or the stream (HTTP/2) so that the client knows the answer is not whole. */
  cut(): void;
}

export function startStream(response: HttpResponse, options: SendOptions): StreamedResponse {
  const writable = prepare(response, options);
  (response as ServerResponse).flushHeaders();
  return {
    write: (chunk) => writable.write(chunk),
    drained: async (signal) => {
      await new Promise<void>((resolve) => {
        const go = (): void => {
          signal.removeEventListener('abort', go);
          writable.removeListener('drain', go);
          resolve();
        };
        writable.once('drain', go);
        signal.addEventListener('abort', go, { once: true });
        if (signal.aborted) go();
      });
    },
    end: () => writable.end(),
    cut: () => {
      const http2 = response as Partial<Http2ServerResponse>;
      if (http2.stream !== undefined)
        http2.stream.close(2); // INTERNAL_ERROR
      else writable.destroy();
    },
  };
}
