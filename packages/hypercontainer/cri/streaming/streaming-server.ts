import { createServer, type IncomingMessage } from 'node:http';
import { Socket, type AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { createWebSocketStream, WebSocketServer, type WebSocket } from 'ws';
import { PlatformError, toPlatformError } from '@hypernetes/foundation/errors';
import { createLogger } from '@hypernetes/foundation/logging';
import type { SandboxService } from '../../sandbox/sandbox-service.ts';
import { OneTimeTokens } from './one-time-tokens.ts';
import { portForwardProtocol, servePortForwardSpdy } from './port-forward-spdy.ts';
import { servePortForwardChannels, webSocketPortForwardProtocols } from './port-forward-web-socket.ts';
import { acceptSpdyCommand, spdyCommandProtocols, type StreamFlags } from './remote-command-spdy.ts';
import { acceptWebSocketCommand, webSocketCommandProtocols } from './remote-command-web-socket.ts';
import { runRemoteCommand, type RemoteCommandStreams } from './remote-command.ts';

const log = createLogger('hypercontainer:streaming');

const messageBytesMax = 4 << 20;
/** A session nobody says anything on is ended. */
const idleTimeoutMs = 4 * 3_600_000;

export interface ExecSessionRequest extends StreamFlags {
  readonly containerId: string;
  readonly command: readonly string[];
}

export interface AttachSessionRequest extends StreamFlags {
  readonly containerId: string;
}

export interface PortForwardSessionRequest {
  readonly sandboxId: string;
  readonly ports: readonly number[];
}

/** Gives out URLs for exec, attach and port-forward and serves them: SPDY/3.1 and WebSocket. A URL is good once, for a minute. */
export interface StreamingServer extends AsyncDisposable {
  execUrl(request: ExecSessionRequest): string;
  attachUrl(request: AttachSessionRequest): string;
  portForwardUrl(request: PortForwardSessionRequest): string;
}

type Session =
  | { readonly kind: 'exec'; readonly request: ExecSessionRequest }
  | { readonly kind: 'attach'; readonly request: AttachSessionRequest }
  | { readonly kind: 'portforward'; readonly request: PortForwardSessionRequest };

export interface StreamingServerOptions {
  readonly sandboxes: SandboxService;
  /** Port 0: a free one. The address must be one only this host reaches: the URLs are all the protection there is. */
  readonly address: { readonly host: string; readonly port: number };
}

function refuse(socket: Duplex, status: string, text: string, headers: readonly string[] = []): void {
  const lines = [
    `HTTP/1.1 ${status}`,
    'Connection: close',
    'Content-Type: text/plain; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(text)}`,
    ...headers,
  ];
  socket.end(`${lines.join('\r\n')}\r\n\r\n${text}`);
}

function listHeader(value: string | string[] | undefined): readonly string[] {
  const texts = value === undefined ? [] : Array.isArray(value) ? value : [value];
  return texts.flatMap((text) => text.split(',')).map((text) => text.trim());
}

/** All values of a header that may come several times: Node joins or drops repeated ones depending on the name. */
function offeredProtocols(request: IncomingMessage): readonly string[] {
  return listHeader(request.headersDistinct['x-stream-protocol-version']);
}

class HttpStreamingServer implements StreamingServer {
  readonly #sandboxes: SandboxService;
  readonly #tokens = new OneTimeTokens<Session>();
  readonly #sockets = new Set<Duplex>();
  readonly #server = createServer((_request, response) => {
    response.writeHead(400, { 'content-type': 'text/plain' });
    response.end('upgrade to SPDY/3.1 or WebSocket required');
  });
  readonly #webSockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: messageBytesMax,
  });
  /** Subprotocols chosen for WebSocket handshakes in progress. */
  readonly #chosen = new WeakMap<IncomingMessage, string>();
  #origin = '';

  constructor(sandboxes: SandboxService) {
    this.#sandboxes = sandboxes;
    this.#webSockets.on('headers', (headers, request) => {
      const chosen = this.#chosen.get(request);
      if (chosen !== undefined) headers.push(`Sec-WebSocket-Protocol: ${chosen}`);
    });
    this.#server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      this.#upgrade(request, socket, head);
    });
  }

  async listen(address: StreamingServerOptions['address']): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', (cause) => {
        const message = `streaming server on ${address.host}:${address.port}: ${cause.message}`;
        reject(new PlatformError('Unavailable', message, { cause }));
      });
      this.#server.listen(address.port, address.host, resolve);
    });
    const { port } = this.#server.address() as AddressInfo;
    this.#origin = `http://${address.host.includes(':') ? `[${address.host}]` : address.host}:${port}`;
  }

  execUrl(request: ExecSessionRequest): string {
    return this.#url({ kind: 'exec', request });
  }

  attachUrl(request: AttachSessionRequest): string {
    return this.#url({ kind: 'attach', request });
  }

  portForwardUrl(request: PortForwardSessionRequest): string {
    return this.#url({ kind: 'portforward', request });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    this.#server.closeAllConnections();
    await closed;
  }

  #url(session: Session): string {
    return `${this.#origin}/${session.kind}/${this.#tokens.add(session)}`;
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => undefined); // 'close' follows
    this.#sockets.add(socket);
    socket.on('close', () => this.#sockets.delete(socket));
    const [, kind = '', token = ''] = (request.url ?? '').split('?', 1)[0]?.split('/') ?? [];
    const session = this.#tokens.take(token);
    if (session?.kind !== kind) {
      refuse(socket, '404 Not Found', 'no such streaming session: it was used already or has expired');
      return;
    }
    if (socket instanceof Socket) socket.setTimeout(idleTimeoutMs, () => socket.destroy());
    const protocol = request.headers.upgrade?.toLowerCase();
    if (protocol === 'spdy/3.1') this.#upgradeSpdy(session, request, socket, head);
    else if (protocol === 'websocket') this.#upgradeWebSocket(session, request, socket, head);
    else refuse(socket, '400 Bad Request', 'upgrade to SPDY/3.1 or WebSocket required');
  }

  #upgradeSpdy(session: Session, request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const offered = offeredProtocols(request);
    const supported =
      session.kind === 'portforward' ? [portForwardProtocol] : Object.keys(spdyCommandProtocols);
    // Without any the client is as old as the first version, which had no name.
    const chosen = offered.length === 0 ? '' : offered.find((name) => supported.includes(name));
    if (chosen === undefined) {
      const headers = supported.map((name) => `X-Accepted-Stream-Protocol-Versions: ${name}`);
      refuse(
        socket,
        '403 Forbidden',
        `none of the stream protocols ${offered.join(', ')} is supported`,
        headers,
      );
      return;
    }
    const lines = ['HTTP/1.1 101 Switching Protocols', 'Connection: Upgrade', 'Upgrade: SPDY/3.1'];
    if (chosen !== '') lines.push(`X-Stream-Protocol-Version: ${chosen}`);
    socket.write(`${lines.join('\r\n')}\r\n\r\n`);
    if (head.length > 0) socket.unshift(head);
    this.#serve(session, socket, async () => {
      if (session.kind === 'portforward') await servePortForwardSpdy(socket, this.#opener(session.request));
      else {
        const version = spdyCommandProtocols[chosen] ?? 1;
        await this.#command(session, await acceptSpdyCommand(socket, session.request, version));
      }
    });
  }

  #upgradeWebSocket(session: Session, request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const offered = listHeader(request.headers['sec-websocket-protocol']);
    const supported =
      session.kind === 'portforward' ? webSocketPortForwardProtocols : webSocketCommandProtocols;
    const chosen = offered.find((name) => Object.hasOwn(supported, name));
    if (offered.length > 0 && chosen === undefined) {
      refuse(socket, '403 Forbidden', `none of the subprotocols ${offered.join(', ')} is supported`);
      return;
    }
    // The library refuses names that are no HTTP token, and SPDY/3.1+portforward.k8s.io, which kubectl asks for, is none.
    delete request.headers['sec-websocket-protocol'];
    if (chosen !== undefined) this.#chosen.set(request, chosen);
    const protocol = chosen ?? '';
    this.#webSockets.handleUpgrade(request, socket, head, (webSocket) => {
      this.#serve(session, socket, async () => {
        if (session.kind === 'portforward')
          await this.#forwardWebSocket(session.request, webSocket, protocol);
        else await this.#command(session, await acceptWebSocketCommand(webSocket, protocol, session.request));
      });
    });
  }

  async #forwardWebSocket(
    request: PortForwardSessionRequest,
    webSocket: WebSocket,
    protocol: string,
  ): Promise<void> {
    const open = this.#opener(request);
    const form = webSocketPortForwardProtocols[protocol] ?? 'channels';
    if (form === 'tunnel') await servePortForwardSpdy(createWebSocketStream(webSocket), open);
    else
      await servePortForwardChannels(webSocket, { isBase64: form === 'base64', ports: request.ports }, open);
  }

  #opener(request: PortForwardSessionRequest): (port: number) => Promise<Duplex> {
    return async (port) => await this.#sandboxes.openConnection(request.sandboxId, port);
  }

  async #command(
    session: Exclude<Session, { kind: 'portforward' }>,
    streams: RemoteCommandStreams,
  ): Promise<void> {
    await runRemoteCommand(async (signal) => {
      if (session.kind === 'attach') {
        const { containerId, stdin } = session.request;
        return await this.#sandboxes.attach(containerId, { stdin, signal });
      }
      const { containerId, command, tty, stdin } = session.request;
      return await this.#sandboxes.exec(containerId, { command, tty, stdin, signal });
    }, streams);
  }

  #serve(session: Session, socket: Duplex, work: () => Promise<void>): void {
    const { request } = session;
    const of =
      'sandboxId' in request ? { sandboxId: request.sandboxId } : { containerId: request.containerId };
    work()
      .catch((thrown: unknown) => {
        const error = toPlatformError(thrown);
        log.debug(
          { ...of, kind: session.kind, reason: error.reason, message: error.message },
          'session broke off',
        );
      })
      .finally(() => socket.destroy());
  }
}

/** Starts the server of streaming sessions. */
export async function startStreamingServer(options: StreamingServerOptions): Promise<StreamingServer> {
  const server = new HttpStreamingServer(options.sandboxes);
  await server.listen(options.address);
  return server;
}
