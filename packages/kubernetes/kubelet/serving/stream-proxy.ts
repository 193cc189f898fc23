import type { IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';

/** Headers that belong to the connection the client made to us. */
const ownHeaders = new Set(['host', 'authorization']);

/**
 * Joins a client that asked for an upgrade (SPDY or WebSocket) with the runtime's streaming server, byte by byte: the request goes there
 * under the URL's path, everything after it as it comes.
 */
export function proxyUpgrade(request: IncomingMessage, client: Duplex, head: Buffer, url: string): void {
  const target = new URL(url);
  const server = connect({ host: target.hostname, port: Number(target.port) });
  const close = (): void => {
    client.destroy();
    server.destroy();
  };
  server.once('connect', () => {
    server.write(requestHead(request, target));
    if (head.length > 0) server.write(head);
    client.pipe(server);
    server.pipe(client);
  });
  server.once('error', (error) => {
    if (server.connecting || server.bytesRead === 0) {
      client.write(
        `HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\n\r\nstreaming server: ${error.message}\n`,
      );
    }
  });
  for (const stream of [client, server]) {
    stream.on('error', close);
    stream.on('close', close);
  }
}

function requestHead(request: IncomingMessage, target: URL): string {
  const lines = [
    `${request.method ?? 'GET'} ${target.pathname}${target.search} HTTP/1.1`,
    `Host: ${target.host}`,
  ];
  for (let index = 0; index + 1 < request.rawHeaders.length; index += 2) {
    const name = request.rawHeaders[index] ?? '';
    if (!ownHeaders.has(name.toLowerCase())) lines.push(`${name}: ${request.rawHeaders[index + 1] ?? ''}`);
  }
  return `${lines.join('\r\n')}\r\n\r\n`;
}
