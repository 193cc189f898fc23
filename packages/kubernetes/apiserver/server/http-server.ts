import type { IncomingMessage } from 'node:http';
import {
  createSecureServer,
  type Http2SecureServer,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from 'node:http2';
import type { AddressInfo } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { PlatformError } from '@hypernetes/foundation/errors';
import type { KeyAndCertificate } from '../pki/certificates.ts';
import type { HttpRequest, HttpResponse } from '../http/responder.ts';

export interface HttpServerOptions {
  readonly bindAddress: string;
  readonly port: number;
  readonly serving: KeyAndCertificate;
  /** Client certificates signed by it prove who the client is. */
  readonly clientCaPem: string;
  readonly onRequest: (request: HttpRequest, response: HttpResponse, socket: TLSSocket) => void;
  /** A request with `Connection: Upgrade` (HTTP/1.1 only): the socket is the handler's from here on. */
  readonly onUpgrade: (request: IncomingMessage, socket: TLSSocket, head: Buffer) => void;
}

export interface RunningHttpServer extends AsyncDisposable {
  readonly port: number;
}

const maxStreamsPerConnection = 1000;

/** HTTP/2 and HTTP/1.1 on one port, by ALPN. */
export async function startHttpServer(options: HttpServerOptions): Promise<RunningHttpServer> {
  const server = createSecureServer({
    allowHTTP1: true,
    key: options.serving.keyPem,
    cert: options.serving.certificatePem,
    ca: options.clientCaPem,
    // Who comes without a certificate may come with a token.
    requestCert: true,
    rejectUnauthorized: false,
    minVersion: 'TLSv1.2',
    settings: { maxConcurrentStreams: maxStreamsPerConnection, initialWindowSize: 1 << 20 },
  });
  const sockets = new Set<TLSSocket>();
  server.on('secureConnection', (socket: TLSSocket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    // Connections die in all ways; what runs on them sees their close.
    socket.on('error', () => undefined);
  });
  server.on('sessionError', () => undefined);
  server.on('request', (request: Http2ServerRequest, response: Http2ServerResponse) => {
    options.onRequest(request, response, socketOf(request));
  });
  server.on('upgrade', (request: IncomingMessage, socket: TLSSocket, head: Buffer) => {
    options.onUpgrade(request, socket, head);
  });
  server.setTimeout(0);
  await listen(server, options);
  const port = (server.address() as AddressInfo).port;
  return {
    port,
    async [Symbol.asyncDispose]() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

async function listen(server: Http2SecureServer, options: HttpServerOptions): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: Error) =>
      reject(
        new PlatformError(
          'Unavailable',
          `listen on ${options.bindAddress}:${options.port}: ${cause.message}; is another server running there?`,
          { cause },
        ),
      ),
    );
    server.listen(options.port, options.bindAddress, resolve);
  });
}

function socketOf(request: Http2ServerRequest | IncomingMessage): TLSSocket {
  // HTTP/2 requests share the session's socket; requests of HTTP/1.1 have their own.
  const stream = (request as Partial<Http2ServerRequest>).stream;
  const session = stream?.session;
  return (session?.socket ?? request.socket) as TLSSocket;
}
