import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { stat, readFile } from 'node:fs/promises';
import { connect, isIP, isIPv6 } from 'node:net';
import { PlatformError } from '@hypernetes/foundation/errors';

/** Queries under way for all networks and for one: a flood costs its sender answers, not us memory. */
const inFlightMax = 1_024;
const inFlightPerNetworkMax = 256;
const serverTimeoutMsDefault = 2_000;
/** As resolv.conf(5): more are not read. */
const serversMax = 3;
const resolvConfAgeMsMax = 5_000;
const headerBytes = 12;
const messageBytesMax = 65_535;

/** `nameserver` lines of resolv.conf(5). */
export function parseResolvConf(text: string): readonly string[] {
  return text
    .split('\n')
    .flatMap((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? [])
    .filter((address) => isIP(address.split('%')[0] ?? '') !== 0)
    .slice(0, serversMax);
}

/** The question section's bytes, which a response must repeat: an answer to something else is somebody's forgery. */
function questionOf(message: Buffer): Buffer | undefined {
  let position = headerBytes;
  while (position < message.length) {
    const length = message[position] ?? 0;
    if (length > 63) return undefined;
    position += length + 1;
    if (length === 0)
      return position + 4 <= message.length ? message.subarray(headerBytes, position + 4) : undefined;
  }
  return undefined;
}

function isAnswerTo(query: Buffer, response: Buffer): boolean {
  if (response.length < headerBytes || response.readUInt16BE(0) !== query.readUInt16BE(0)) return false;
  if ((response.readUInt16BE(2) & 0x8000) === 0) return false;
  // A server that could not parse the question may leave it out of its error.
  if (response.readUInt16BE(4) === 0) return (response.readUInt16BE(2) & 15) !== 0;
  const asked = questionOf(query)?.toString('latin1').toLowerCase();
  return asked !== undefined && questionOf(response)?.toString('latin1').toLowerCase() === asked;
}

/** Asks the host's resolvers what the cluster does not know. */
export class Forwarder {
  readonly #resolvConfPath: string;
  readonly #port: number;
  readonly #timeoutMs: number;
  readonly #inFlight = new Map<string, number>();
  #total = 0;
  #servers: readonly string[] = [];
  #readAtMs = 0;
  #modifiedMs = 0;

  constructor(
    options: { readonly resolvConfPath?: string; readonly port?: number; readonly timeoutMs?: number } = {},
  ) {
    this.#resolvConfPath = options.resolvConfPath ?? '/etc/resolv.conf';
    this.#port = options.port ?? 53;
    this.#timeoutMs = options.timeoutMs ?? serverTimeoutMsDefault;
  }

  /** The first answer of the host's resolvers, in order. Unavailable: none answered; Exhausted: too many queries under way. */
  async ask(
    networkUid: string,
    query: Buffer,
    protocol: 'udp' | 'tcp',
    signal: AbortSignal,
  ): Promise<Buffer> {
    const own = this.#inFlight.get(networkUid) ?? 0;
    if (this.#total >= inFlightMax || own >= inFlightPerNetworkMax) {
      throw new PlatformError('Exhausted', `network ${networkUid}: too many name queries under way`);
    }
    this.#total++;
    this.#inFlight.set(networkUid, own + 1);
    try {
      return await this.#askEach(query, protocol, signal);
    } finally {
      this.#total--;
      const left = (this.#inFlight.get(networkUid) ?? 1) - 1;
      if (left === 0) this.#inFlight.delete(networkUid);
      else this.#inFlight.set(networkUid, left);
    }
  }

  async #askEach(query: Buffer, protocol: 'udp' | 'tcp', signal: AbortSignal): Promise<Buffer> {
    const mine = Buffer.from(query);
    mine.writeUInt16BE(randomInt(0x10000), 0);
    for (const address of await this.#currentServers()) {
      if (signal.aborted) break;
      const server = { address, port: this.#port, timeoutMs: this.#timeoutMs };
      const answer = await (protocol === 'udp'
        ? askByUdp(mine, server, signal)
        : askByTcp(mine, server, signal));
      if (answer !== undefined) return answer;
    }
    throw new PlatformError('Unavailable', "the host's resolvers do not answer");
  }

  async #currentServers(): Promise<readonly string[]> {
    const now = Date.now();
    if (now - this.#readAtMs < resolvConfAgeMsMax) return this.#servers;
    this.#readAtMs = now;
    try {
      const { mtimeMs } = await stat(this.#resolvConfPath);
      if (mtimeMs !== this.#modifiedMs) {
        this.#servers = parseResolvConf(await readFile(this.#resolvConfPath, 'utf8'));
        this.#modifiedMs = mtimeMs;
      }
    } catch {
      this.#servers = [];
    }
    return this.#servers;
  }
}

interface Server {
  readonly address: string;
  readonly port: number;
  readonly timeoutMs: number;
}

/** Undefined when this server does not answer in time. Each query has a socket, hence a source port, of its own. */
async function askByUdp(query: Buffer, server: Server, signal: AbortSignal): Promise<Buffer | undefined> {
  return await new Promise<Buffer | undefined>((resolve) => {
    const socket = createSocket(isIPv6(server.address) ? 'udp6' : 'udp4');
    const finish = (answer: Buffer | undefined): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      socket.removeAllListeners('message');
      socket.close();
      resolve(answer);
    };
    let done = false;
    const once = (answer: Buffer | undefined): void => {
      if (done) return;
      done = true;
      finish(answer);
    };
    const onAbort = (): void => once(undefined);
    const timer = setTimeout(() => once(undefined), server.timeoutMs);
    signal.addEventListener('abort', onAbort);
    socket.on('error', () => once(undefined));
    socket.on('message', (message) => {
      if (isAnswerTo(query, message)) once(message);
    });
    // Connected: the kernel drops what comes from anybody else.
    socket.connect(server.port, server.address, () => {
      socket.send(query, (error) => {
        if (error !== null) once(undefined);
      });
    });
  });
}

async function askByTcp(query: Buffer, server: Server, signal: AbortSignal): Promise<Buffer | undefined> {
  return await new Promise<Buffer | undefined>((resolve) => {
    const socket = connect({ host: server.address, port: server.port });
    const chunks: Buffer[] = [];
    let size = 0;
    const finish = (answer: Buffer | undefined): void => {
      signal.removeEventListener('abort', onAbort);
      socket.destroy();
      resolve(answer);
    };
    const onAbort = (): void => finish(undefined);
    signal.addEventListener('abort', onAbort);
    socket.setTimeout(server.timeoutMs, () => finish(undefined));
    socket.on('error', () => finish(undefined));
    socket.on('close', () => finish(undefined));
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk);
      size += chunk.length;
      if (size < 2) return;
      const all = Buffer.concat(chunks);
      const length = all.readUInt16BE(0);
      if (all.length < length + 2) return;
      const answer = all.subarray(2, length + 2);
      finish(isAnswerTo(query, answer) ? answer : undefined);
    });
    socket.write(frame(query));
  });
}

/** A message as it goes over TCP: with its length before it (RFC 1035 4.2.2). */
export function frame(message: Buffer): Buffer {
  if (message.length > messageBytesMax) throw new PlatformError('Internal', 'DNS message too long');
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length);
  return Buffer.concat([length, message]);
}
