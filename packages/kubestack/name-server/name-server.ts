import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { createServer, type Server, type Socket } from 'node:net';
import dnsPacket, { type Answer } from 'dns-packet';
import { PlatformError } from '@hypernetes/foundation/errors';
import { createLogger } from '@hypernetes/foundation/logging';
import { resolveName, soaRecord, type ClusterView } from './cluster-names.ts';
import { Forwarder, frame } from './forwarder.ts';
import {
  fitResponse,
  formatError,
  formatReply,
  parseQuery,
  responseCodes,
  udpLimit,
  type Query,
  type Reply,
} from './messages.ts';

const log = createLogger('kubestack:name-server');
const tcpConnectionsPerNetworkMax = 64;
const tcpIdleMsMax = 10_000;
/** Queries one TCP connection may have under way. */
const tcpPipelineMax = 16;
const tcpBytesMax = 65_535;
/** Aliases of aliases inside the cluster that are followed. */
const aliasDepthMax = 8;

interface Listening {
  readonly address: string;
  readonly udp: UdpSocket;
  readonly tcp: Server;
  readonly connections: Set<Socket>;
}

export interface NameServerOptions {
  /** The view of a network's names as of now. */
  readonly view: (networkUid: string) => ClusterView;
  readonly forwarder?: Forwarder;
  readonly port?: number;
}

/**
 * The one name server: listens for each network on an address of its own, which tells whose names are asked for. Clients are hostile: what
 * they send is parsed within bounds, and nothing they do costs more than one answer.
 */
export class NameServer implements AsyncDisposable {
  readonly #view: NameServerOptions['view'];
  readonly #forwarder: Forwarder;
  readonly #port: number;
  readonly #listening = new Map<string, Listening>();
  readonly #abort = new AbortController();

  constructor(options: NameServerOptions) {
    this.#view = options.view;
    this.#forwarder = options.forwarder ?? new Forwarder();
    this.#port = options.port ?? 53;
  }

  /** Starts answering for a network at an address of the host. Unavailable when the address cannot be listened on. */
  async listen(networkUid: string, address: string): Promise<void> {
    const before = this.#listening.get(networkUid);
    if (before?.address === address) return;
    if (before !== undefined) await this.close(networkUid);
    const udp = createSocket('udp4');
    const connections = new Set<Socket>();
    const tcp = createServer((socket) => this.#serveConnection(networkUid, socket, connections));
    try {
      await Promise.all([this.#bindUdp(udp, address), this.#bindTcp(tcp, address)]);
    } catch (error) {
      udp.close();
      tcp.close();
      throw new PlatformError(
        'Unavailable',
        `name server at ${address}:${this.#port}: ${(error as Error).message}; does another name server listen on all addresses?`,
        { cause: error },
      );
    }
    udp.on('error', (error) => log.warn({ err: error, networkUid }, 'name server socket'));
    tcp.on('error', (error) => log.warn({ err: error, networkUid }, 'name server socket'));
    udp.on('message', (message, peer) => {
      void this.#answer(networkUid, message, 'udp').then((answer) => {
        if (answer !== undefined && this.#listening.get(networkUid)?.udp === udp) {
          udp.send(answer, peer.port, peer.address, () => undefined);
        }
      });
    });
    this.#listening.set(networkUid, { address, udp, tcp, connections });
  }

  /** Stops answering for a network; one that is not served: success. */
  async close(networkUid: string): Promise<void> {
    const listening = this.#listening.get(networkUid);
    if (listening === undefined) return;
    this.#listening.delete(networkUid);
    for (const connection of listening.connections) connection.destroy();
    await Promise.all([
      new Promise<void>((resolve) => listening.udp.close(resolve)),
      new Promise<void>((resolve) => listening.tcp.close(() => resolve())),
    ]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    await Promise.all([...this.#listening.keys()].map((uid) => this.close(uid)));
  }

  async #bindUdp(socket: UdpSocket, address: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject);
      socket.bind(this.#port, address, () => {
        socket.off('error', reject);
        resolve();
      });
    });
  }

  async #bindTcp(server: Server, address: string): Promise<void> {
    server.maxConnections = tcpConnectionsPerNetworkMax;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.#port, address, () => {
        server.off('error', reject);
        resolve();
      });
    });
  }

  #serveConnection(networkUid: string, socket: Socket, connections: Set<Socket>): void {
    connections.add(socket);
    let pending = Buffer.alloc(0);
    let underWay = 0;
    const next = (): void => {
      while (underWay < tcpPipelineMax && pending.length >= 2) {
        const length = pending.readUInt16BE(0);
        if (pending.length < length + 2) break;
        const message = pending.subarray(2, length + 2);
        pending = pending.subarray(length + 2);
        underWay++;
        void this.#answer(networkUid, message, 'tcp').then((answer) => {
          underWay--;
          if (answer === undefined) socket.destroy();
          else if (!socket.destroyed) socket.write(frame(answer));
          next();
        });
      }
      if (underWay >= tcpPipelineMax || pending.length > tcpBytesMax + 2) socket.pause();
      else socket.resume();
    };
    socket.setTimeout(tcpIdleMsMax, () => socket.destroy());
    socket.on('error', () => socket.destroy());
    socket.on('close', () => connections.delete(socket));
    socket.on('data', (chunk: Buffer) => {
      pending = Buffer.concat([pending, chunk]);
      next();
    });
  }

  /** The answer's bytes; undefined: none is given. Never throws. */
  async #answer(networkUid: string, message: Buffer, protocol: 'udp' | 'tcp'): Promise<Buffer | undefined> {
    try {
      const query = parseQuery(message);
      if (query === undefined) return undefined;
      if ('code' in query) return formatError(query);
      const limit = protocol === 'udp' ? udpLimit(query) : tcpBytesMax;
      const view = this.#view(networkUid);
      const reply = await this.#resolve(networkUid, view, query, protocol);
      if (reply !== 'forward') return formatReply(query, reply, limit);
      return await this.#forward(networkUid, query, message, protocol, limit);
    } catch (error) {
      log.debug({ err: error, networkUid }, 'name query not answered');
      return undefined;
    }
  }

  async #resolve(
    networkUid: string,
    view: ClusterView,
    query: Query,
    protocol: 'udp' | 'tcp',
  ): Promise<Reply | 'forward'> {
    const aliases: Answer[] = [];
    let name = query.name;
    for (let depth = 0; depth < aliasDepthMax; depth++) {
      const resolution = resolveName(view, name, query.type);
      switch (resolution.kind) {
        case 'forward':
          if (aliases.length === 0) return 'forward';
          return reply(responseCodes.noError, [
            ...aliases,
            ...(await this.#resolveForeign(networkUid, name, query.type, protocol)),
          ]);
        case 'alias':
          aliases.push(resolution.answer);
          if (query.type === 'CNAME') return reply(responseCodes.noError, aliases);
          name = resolution.target;
          break;
        case 'records':
          return reply(
            responseCodes.noError,
            [...aliases, ...resolution.answers],
            [],
            resolution.additionals,
          );
        case 'no-data':
          return reply(responseCodes.noError, aliases, [soaRecord(view)]);
        case 'no-name':
          return reply(responseCodes.noName, aliases, [soaRecord(view)]);
      }
    }
    return reply(responseCodes.serverFailure, aliases);
  }

  /** Records of a name outside the cluster that an alias points to; none when the resolvers do not answer: the alias still helps. */
  async #resolveForeign(
    networkUid: string,
    name: string,
    type: string,
    protocol: 'udp' | 'tcp',
  ): Promise<readonly Answer[]> {
    try {
      const query = dnsPacket.encode({
        type: 'query',
        id: 0,
        flags: dnsPacket.RECURSION_DESIRED,
        questions: [{ name, type: type as 'A', class: 'IN' }],
      });
      const answer = await this.#forwarder.ask(networkUid, query, protocol, this.#abort.signal);
      return dnsPacket.decode(answer).answers ?? [];
    } catch {
      return [];
    }
  }

  async #forward(
    networkUid: string,
    query: Query,
    message: Buffer,
    protocol: 'udp' | 'tcp',
    limit: number,
  ): Promise<Buffer> {
    try {
      const answer = await this.#forwarder.ask(networkUid, message, protocol, this.#abort.signal);
      return fitResponse(query, answer, limit);
    } catch (error) {
      log.debug({ err: error, networkUid }, 'name query not forwarded');
      return formatReply(query, reply(responseCodes.serverFailure, []), limit);
    }
  }
}

function reply(
  code: number,
  answers: readonly Answer[],
  authorities: readonly Answer[] = [],
  additionals: readonly Answer[] = [],
): Reply {
  return { code, authoritative: code !== responseCodes.serverFailure, answers, authorities, additionals };
}
