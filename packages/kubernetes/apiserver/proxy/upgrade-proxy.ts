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
// Headers that belong to the hop between the client and this server.
const notForwarded = new Set(['authorization', 'host', 'proxy-authorization', 'cookie']);

/**
 * exec, attach and port-forward: after authorization the bytes go through unread, so SPDY/3.1 and WebSocket work alike. The kubelet
 * answers the upgrade itself.
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
    join(call.socket, upstream, Buffer.concat([formatRequest(call.request, target), call.head]));
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

// Either side may close its half first (SPDY and WebSocket both do): the other half goes on until it ends too.
function join(client: TLSSocket, kubelet: TLSSocket, first: Buffer): void {
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
  kubelet.write(first);
  client.pipe(kubelet);
  kubelet.pipe(client);
}
