import type { IncomingMessage } from 'node:http';
import { connect, type TLSSocket } from 'node:tls';
import { PlatformError } from '@hypernetes/foundation/errors';
import type { UserInfo } from '../authentication/user.ts';
import type { RequestInfo, ResourceRequest } from '../http/request-info.ts';
import { methodNotAllowed, unknownPath } from '../http/status-error.ts';
import type { KeyAndCertificate } from '../pki/certificates.ts';
import type { KubeletLocator, KubeletTarget } from './kubelet-locator.ts';

export interface UpgradeCall {
  readonly request: IncomingMessage;
  readonly socket: TLSSocket;
  /** What the client sent right behind its request. */
  readonly head: Buffer;
  readonly info: RequestInfo;
  readonly query: URLSearchParams;
  readonly user: UserInfo;
}

/** How this server shows itself to kubelets. */
export interface KubeletCredentials {
  readonly caPem: string;
  readonly client: KeyAndCertificate;
}

const connectTimeoutMs = 10_000;
/** A kubelet that has not answered the request for so long never will. */
const answerTimeoutMs = 30_000;
const answerHeadBytesMax = 65_536;
const endOfHead = Buffer.from('\r\n\r\n', 'latin1');
// Headers that belong to the hop between the client and this server; an upgrade has no body that lengths could speak of.
const notForwarded = new Set([
  'authorization',
  'host',
  'proxy-authorization',
  'cookie',
  'content-length',
  'transfer-encoding',
  'expect',
]);

/**
 * exec, attach and port-forward: after authorization, and once the kubelet has switched protocols, the bytes go through unread, so SPDY/3.1
 * and WebSocket work alike. The kubelet answers the upgrade itself.
 */
export class UpgradeProxy {
  readonly #locator: KubeletLocator;
  readonly #credentials: KubeletCredentials;

  constructor(locator: KubeletLocator, credentials: KubeletCredentials) {
    this.#locator = locator;
    this.#credentials = credentials;
  }

  async handle(call: UpgradeCall): Promise<void> {
    const { info } = call;
    if (info.kind !== 'resource') throw unknownPath();
    const target = await this.#target(info, call.query);
    const upstream = await this.#connect(target);
    join(call.socket, upstream, formatRequest(call.request, target), call.head);
  }

  async #target(info: ResourceRequest, query: URLSearchParams): Promise<KubeletTarget> {
    if (info.group !== '' || info.version !== 'v1' || info.resource !== 'pods') throw unknownPath();
    switch (info.subresource) {
      case 'exec':
      case 'attach':
        return await this.#locator.stream(info, info.subresource, query);
      case 'portforward':
        return await this.#locator.portForward(info, query);
      default:
        throw methodNotAllowed('upgrade', { group: '', plural: `pods/${info.subresource}` });
    }
  }

  async #connect(target: KubeletTarget): Promise<TLSSocket> {
    return await new Promise((resolve, reject) => {
      const socket = connect({
        host: target.host,
        port: target.port,
        ca: this.#credentials.caPem,
        key: this.#credentials.client.keyPem,
        cert: this.#credentials.client.certificatePem,
        ALPNProtocols: ['http/1.1'],
        timeout: connectTimeoutMs,
      });
      const fail = (why: string): void => {
        socket.destroy();
        reject(
          new PlatformError(
            'Unavailable',
            `error dialing backend: kubelet ${target.host}:${target.port}: ${why}`,
          ),
        );
      };
      socket.once('error', (error: Error) => fail(error.message));
      socket.once('timeout', () => fail('no answer'));
      socket.once('secureConnect', () => {
        socket.setTimeout(0);
        socket.removeAllListeners('error');
        socket.removeAllListeners('timeout');
        resolve(socket);
      });
    });
  }
}

function formatRequest(request: IncomingMessage, target: KubeletTarget): Buffer {
  const lines = [
    `${request.method ?? 'POST'} ${target.path} HTTP/1.1`,
    `Host: ${target.host}:${target.port}`,
  ];
  for (let index = 0; index + 1 < request.rawHeaders.length; index += 2) {
    const name = request.rawHeaders[index] ?? '';
    const lower = name.toLowerCase();
    if (notForwarded.has(lower) || lower.startsWith('impersonate-')) continue;
    lines.push(`${name}: ${request.rawHeaders[index + 1] ?? ''}`);
  }
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');
}

/**
 * The connection to the kubelet carries the API server's own certificate: until the kubelet has switched protocols nothing of the client goes
 * there but the one request that was authorized. A refusal goes to the client and ends both connections; otherwise what the client
 * sends next would be a request of its own, with the rights of the API server.
 */
function join(client: TLSSocket, kubelet: TLSSocket, request: Buffer, head: Buffer): void {
  client.setTimeout(0);
  client.setNoDelay(true);
  kubelet.setNoDelay(true);
  const close = (): void => {
    client.destroy();
    kubelet.destroy();
  };
  client.on('error', close);
  kubelet.on('error', close);
  client.on('close', () => kubelet.destroySoon());
  kubelet.on('close', () => client.destroySoon());
  kubelet.setTimeout(answerTimeoutMs, close);
  let answer = Buffer.alloc(0);
  const onData = (chunk: Buffer): void => {
    answer = Buffer.concat([answer, chunk]);
    if (!answer.includes(endOfHead)) {
      if (answer.length > answerHeadBytesMax) close();
      return;
    }
    kubelet.off('data', onData);
    client.write(answer);
    if (isSwitch(answer)) connectHalves(client, kubelet, head);
    else refuse(client, kubelet);
  };
  kubelet.on('data', onData);
  kubelet.write(request);
}

function isSwitch(answer: Buffer): boolean {
  return /^HTTP\/1\.[01] 101[ \r]/.test(answer.subarray(0, 16).toString('latin1'));
}

// Either side may close its half first (SPDY and WebSocket both do): the other half goes on until it ends too.
function connectHalves(client: TLSSocket, kubelet: TLSSocket, head: Buffer): void {
  kubelet.setTimeout(0);
  if (head.length > 0) kubelet.write(head);
  client.pipe(kubelet);
  kubelet.pipe(client);
}

// The kubelet is told that no more comes, so that its connection ends behind the answer; what the client still says is read by nobody.
function refuse(client: TLSSocket, kubelet: TLSSocket): void {
  client.resume();
  kubelet.end();
  kubelet.pipe(client);
}
