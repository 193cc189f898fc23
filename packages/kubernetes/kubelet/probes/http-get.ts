import { request } from 'node:http';
import type { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { PlatformError } from '@hypernetes/foundation/errors';

const bodyBytesMax = 10 << 10;

export interface HttpGet {
  readonly scheme: 'http' | 'https';
  /** For the Host header unless one is given. */
  readonly host: string;
  readonly port: number;
  readonly path: string;
  readonly headers: readonly { readonly name: string; readonly value: string }[];
}

/** GET over a connection that is there already; answers the status and the first of the body. The connection is closed afterwards. */
export async function httpGet(
  get: HttpGet,
  connection: Duplex,
  signal: AbortSignal,
): Promise<{ readonly status: number; readonly body: string }> {
  // A probe asks whether the process answers, not who it is: certificates are not checked (as the Kubernetes documentation says).
  const stream =
    get.scheme === 'https' ? connectTls({ socket: connection, rejectUnauthorized: false }) : connection;
  try {
    return await new Promise((resolve, reject) => {
      const fail = (cause: Error): void => reject(toUnavailable(cause));
      connection.on('error', fail);
      stream.on('error', fail);
      const call = request({
        // Without an agent: one would make a connection of its own.
        createConnection: () => stream,
        host: get.host,
        port: get.port,
        path: get.path,
        method: 'GET',
        headers: headersOf(get),
        signal,
      });
      call.on('error', fail);
      call.on('response', (response) => {
        const chunks: Buffer[] = [];
        let bytes = 0;
        const done = (): void =>
          resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8') });
        response.on('data', (chunk: Buffer) => {
          chunks.push(chunk.subarray(0, Math.max(0, bodyBytesMax - bytes)));
          bytes += chunk.length;
          if (bytes >= bodyBytesMax) done();
        });
        response.on('end', done);
        response.on('error', fail);
      });
      call.end();
    });
  } finally {
    connection.destroy();
  }
}

function toUnavailable(cause: Error): PlatformError {
  return cause instanceof PlatformError ? cause : new PlatformError('Unavailable', cause.message, { cause });
}

function headersOf(get: HttpGet): Record<string, string[] | string> {
  const result = new Map<string, string | string[]>([
    ['host', `${get.host}:${get.port}`],
    ['user-agent', 'kube-probe/1.33'],
    ['accept', '*/*'],
    ['connection', 'close'],
  ]);
  for (const { name, value } of get.headers) result.set(name.toLowerCase(), value);
  return Object.fromEntries(result);
}
