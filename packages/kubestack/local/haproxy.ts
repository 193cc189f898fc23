import { mkdir, readFile, readdir, rm, stat } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { PlatformError } from '@hypernetes/foundation/errors';
import { writeFileAtomic } from '@hypernetes/foundation/files';
import { waitFor } from '@hypernetes/foundation/lifecycle';
import { createLogger } from '@hypernetes/foundation/logging';
import {
  isAlive,
  killProcess,
  run,
  spawnDetached,
  startTimeOf,
  type ProcessIdentity,
} from '@hypernetes/foundation/process';
import { kubestackDirectory, type StateDatabase } from '../state/index.ts';
import {
  parseServersState,
  planServers,
  proxyConfig,
  type ProxyConfig,
  type ProxyConfigInput,
} from './haproxy-config.ts';
import { namespacePath, shortName } from './names.ts';

const log = createLogger('kubestack:load-balancer');
const commandTimeoutMs = 5_000;
const replyBytesMax = 16 << 20;
const startTimeoutMs = 15_000;
const stopGraceMs = 2_000;

/** One command of HAProxy's runtime API. */
async function command(socketPath: string, text: string): Promise<string> {
  return await new Promise<string>((resolve, reject) => {
    const socket = connect(socketPath);
    const chunks: Buffer[] = [];
    let size = 0;
    const fail = (why: string): void => {
      socket.destroy();
      reject(new PlatformError('Unavailable', `load balancer process: ${why}`));
    };
    socket.setTimeout(commandTimeoutMs, () => fail('does not answer'));
    socket.on('error', (error) => fail(error.message));
    socket.on('data', (chunk) => {
      chunks.push(chunk);
      size += chunk.length;
      if (size > replyBytesMax) fail('answers too much');
    });
    socket.on('end', () => resolve(Buffer.concat(chunks).toString('utf8').trim()));
    socket.end(`${text}\n`);
  });
}

/** Answers that mean success: nothing, or these. HAProxy has no status codes here. */
function isSuccess(reply: string): boolean {
  return reply === '' || /^(New server registered|Server deleted)\.?$/.test(reply);
}

/** All processes whose command line names the configuration file: master and workers. */
async function processesOf(configPath: string): Promise<readonly ProcessIdentity[]> {
  const found: ProcessIdentity[] = [];
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const commandLine = await readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => '');
    if (!commandLine.split('\0').includes(configPath)) continue;
    const startTime = await startTimeOf(Number(entry));
    if (startTime !== undefined) found.push({ pid: Number(entry), startTime });
  }
  return found;
}

async function killAll(processes: readonly ProcessIdentity[]): Promise<void> {
  await Promise.all(processes.map((process) => killProcess(process, stopGraceMs)));
}

/** Ends every load balancer process whose configuration is in the folder of this data directory; used when everything is taken down. */
export async function killProxies(dataDir: string): Promise<void> {
  const folder = join(kubestackDirectory(dataDir), 'load-balancers');
  const files = await readdir(folder).catch(() => []);
  for (const file of files.filter((name) => name.endsWith('.cfg'))) {
    await killAll(await processesOf(join(folder, file)));
  }
}

/**
 * The HAProxy of each network that has load balancers, in the network's namespace. Master and worker: the master's process id stays the
 * same over reloads, and it outlives this process.
 */
export class Proxies {
  readonly #database: StateDatabase;
  readonly #folder: string;
  readonly #runDir: string;

  constructor(options: {
    readonly database: StateDatabase;
    readonly dataDir: string;
    readonly runDir: string;
  }) {
    this.#database = options.database;
    this.#folder = join(kubestackDirectory(options.dataDir), 'load-balancers');
    this.#runDir = options.runDir;
  }

  /** Networks that have, or had at the last word, a process. */
  networks(): readonly string[] {
    return this.#database.all('SELECT network_uid FROM proxies').map((row) => row['network_uid'] as string);
  }

  isRunning(networkUid: string): boolean {
    const identity = this.#identity(networkUid);
    return identity !== undefined && isAlive(identity);
  }

  /** Makes the running proxy match: members by the runtime API, anything else by a reload that drops no connection. */
  async ensure(
    networkUid: string,
    namespace: string,
    loadBalancers: ProxyConfigInput['loadBalancers'],
  ): Promise<void> {
    const config = proxyConfig({ socketPath: this.#socketPath(networkUid), loadBalancers });
    if (config.backends.size === 0) {
      await this.stop(networkUid);
      return;
    }
    const identity = await this.#runningIn(networkUid, namespace);
    const structure =
      identity === undefined ? undefined : await this.#structure(networkUid).catch(() => undefined);
    const path = this.#configPath(networkUid);
    const changed = structure !== config.structure;
    await mkdir(this.#folder, { recursive: true, mode: 0o700 });
    await writeFileAtomic(path, config.text);
    if (!changed) await this.#syncServers(networkUid, config);
    else if (identity === undefined) await this.#start(networkUid, namespace, config);
    else await this.#reload(networkUid, identity, config);
  }

  /** Ends the process of a network and forgets it; none: success. */
  async stop(networkUid: string): Promise<void> {
    if (this.#database.get('SELECT 1 FROM proxies WHERE network_uid = ?', networkUid) === undefined) return;
    const identity = this.#identity(networkUid);
    if (identity !== undefined) await killProcess(identity, stopGraceMs);
    // Workers of a master that was killed hard, and whatever a crash kept from being written down.
    await killAll(await processesOf(this.#configPath(networkUid)));
    await rm(this.#configPath(networkUid), { force: true });
    await rm(this.#socketPath(networkUid), { force: true });
    this.#database.run('DELETE FROM proxies WHERE network_uid = ?', networkUid);
  }

  #configPath(networkUid: string): string {
    return join(this.#folder, `${shortName(networkUid)}.cfg`);
  }

  #socketPath(networkUid: string): string {
    return join(this.#runDir, `lb-${shortName(networkUid)}.sock`);
  }

  #identity(networkUid: string): ProcessIdentity | undefined {
    const identity = this.#database.document<Partial<ProcessIdentity>>(
      'SELECT document FROM proxies WHERE network_uid = ?',
      networkUid,
    );
    return identity?.pid === undefined || identity.startTime === undefined
      ? undefined
      : { pid: identity.pid, startTime: identity.startTime };
  }

  #record(networkUid: string, identity: Partial<ProcessIdentity>): void {
    this.#database.run(
      'INSERT INTO proxies VALUES (?, ?) ON CONFLICT DO UPDATE SET document = excluded.document',
      networkUid,
      JSON.stringify(identity),
    );
  }

  /** The live process of a network, if it is in the namespace that now has the name (it may have been made again). */
  async #runningIn(networkUid: string, namespace: string): Promise<ProcessIdentity | undefined> {
    const identity = this.#identity(networkUid);
    if (identity === undefined || !isAlive(identity)) return undefined;
    try {
      const [own, wanted] = await Promise.all([
        stat(`/proc/${identity.pid}/ns/net`),
        stat(namespacePath(namespace)),
      ]);
      return own.ino === wanted.ino ? identity : undefined;
    } catch {
      return undefined;
    }
  }

  async #structure(networkUid: string): Promise<string | undefined> {
    const information = await command(this.#socketPath(networkUid), 'show info');
    return /^description: (\S+)$/m.exec(information)?.[1];
  }

  async #start(networkUid: string, namespace: string, config: ProxyConfig): Promise<void> {
    const path = this.#configPath(networkUid);
    // On record before it starts, so that a crash in between leaves something to look for.
    this.#record(networkUid, {});
    await killAll(await processesOf(path));
    await this.#check(path);
    await mkdir(this.#runDir, { recursive: true });
    const logFile = join(this.#folder, `${shortName(networkUid)}.log`);
    await rm(logFile, { force: true });
    const identity = await spawnDetached(
      'nsenter',
      [`--net=${namespacePath(namespace)}`, 'haproxy', '-W', '-f', path],
      { logFile },
    );
    this.#record(networkUid, identity);
    await this.#waitForStructure(networkUid, identity, config, logFile);
    log.info({ networkUid, pid: identity.pid }, 'load balancer process started');
  }

  async #reload(networkUid: string, identity: ProcessIdentity, config: ProxyConfig): Promise<void> {
    await this.#check(this.#configPath(networkUid));
    // The master starts a new worker, which takes over the listening sockets from the old one.
    process.kill(identity.pid, 'SIGUSR2');
    await this.#waitForStructure(
      networkUid,
      identity,
      config,
      join(this.#folder, `${shortName(networkUid)}.log`),
    );
  }

  async #check(path: string): Promise<void> {
    await run('haproxy', ['-c', '-q', '-f', path], { timeoutMs: 10_000 });
  }

  async #waitForStructure(
    networkUid: string,
    identity: ProcessIdentity,
    config: ProxyConfig,
    logFile: string,
  ): Promise<void> {
    try {
      await waitFor('configuration', { timeoutMs: startTimeoutMs, intervalMs: 10 }, async () => {
        if (!isAlive(identity)) return 'ended';
        return (await this.#structure(networkUid)) === config.structure ? 'ready' : undefined;
      }).then((outcome) => {
        if (outcome === 'ended') throw new PlatformError('Unavailable', 'ended at start');
      });
    } catch (cause) {
      const said = (await readFile(logFile, 'utf8').catch(() => '')).trim().slice(-500);
      throw new PlatformError(
        'Unavailable',
        `load balancer process of network ${networkUid}: not ready: ${said}`,
        {
          cause,
        },
      );
    }
  }

  async #syncServers(networkUid: string, config: ProxyConfig): Promise<void> {
    const socketPath = this.#socketPath(networkUid);
    const running = parseServersState(await command(socketPath, 'show servers state'));
    for (const { command: text, mayFail } of planServers(config.backends, running)) {
      const reply = await command(socketPath, text);
      if (isSuccess(reply)) continue;
      if (!mayFail) throw new PlatformError('Unavailable', `load balancer process: "${text}": ${reply}`);
      log.debug({ networkUid, command: text, reply }, 'load balancer command put off');
    }
  }
}
