import { connect } from 'node:net';
import { PassThrough, Readable, Writable, type Duplex } from 'node:stream';
import { PlatformError } from '@hypernetes/foundation/errors';
import { spawnChild } from '@hypernetes/foundation/process';
import type {
  ContainerConfig,
  ContainerStatus,
  ExecOptions,
  ProcessSession,
  SandboxConfig,
  SandboxEvent,
  SandboxService,
  SandboxStats,
  SandboxStatus,
} from '../../sandbox/sandbox-service.ts';

function unsupported(): never {
  throw new PlatformError('Unimplemented', 'not in this double');
}

/** What a session did, for tests to look at. */
export interface SessionRecord {
  readonly command: readonly string[];
  readonly sizes: { rows: number; columns: number }[];
  closed: boolean;
}

/**
 * A SandboxService for tests of the front door: sandboxes and containers are entries in memory, processes are real ones of this machine, connections
 * go to this machine's loopback. Nothing of a virtual machine is imitated.
 */
export class ProcessSandboxes implements SandboxService {
  readonly sandboxes = new Map<string, SandboxStatus>();
  readonly containers = new Map<string, ContainerStatus>();
  readonly sessions: SessionRecord[] = [];
  readonly calls: string[] = [];
  #count = 0;
  readonly #listeners = new Set<(event: SandboxEvent) => void>();

  get openSessions(): number {
    return this.sessions.filter(({ closed }) => !closed).length;
  }

  recover(): Promise<void> {
    return Promise.resolve();
  }

  runSandbox(config: SandboxConfig): Promise<string> {
    const id = `sandbox${(++this.#count).toString().padStart(57, '0')}`;
    this.sandboxes.set(id, {
      id,
      config,
      state: 'ready',
      createdAtNs: BigInt(this.#count),
      addresses: ['10.244.0.2'],
      isolation: 'tcg',
      kernelRelease: '6.1.0',
      trace: { network: 1, clone: 60 },
      message: '',
    });
    this.#emit('containerCreated', id, id);
    return Promise.resolve(id);
  }

  stopSandbox(sandboxId: string): Promise<void> {
    const sandbox = this.sandboxes.get(sandboxId);
    if (sandbox !== undefined) this.sandboxes.set(sandboxId, { ...sandbox, state: 'notReady' });
    this.calls.push(`stopSandbox ${sandboxId}`);
    return Promise.resolve();
  }

  removeSandbox(sandboxId: string): Promise<void> {
    this.sandboxes.delete(sandboxId);
    return Promise.resolve();
  }

  getSandbox(sandboxId: string): SandboxStatus {
    const sandbox = this.sandboxes.get(sandboxId);
    if (sandbox === undefined) throw new PlatformError('NotFound', `pod sandbox ${sandboxId}: not found`);
    return sandbox;
  }

  listSandboxes(): readonly SandboxStatus[] {
    return [...this.sandboxes.values()];
  }

  createContainer(sandboxId: string, config: ContainerConfig): Promise<string> {
    const id = `container${(++this.#count).toString().padStart(55, '0')}`;
    this.containers.set(id, {
      id,
      sandboxId: this.getSandbox(sandboxId).id,
      config,
      state: 'created',
      createdAtNs: BigInt(this.#count),
      startedAtNs: 0n,
      finishedAtNs: 0n,
      exitCode: 0,
      reason: '',
      message: '',
      imageId: `sha256:${'0'.repeat(64)}`,
      imageRef: 'docker.io/library/x@sha256:0',
      logPath: `${this.getSandbox(sandboxId).config.logDirectory}/${config.logPath}`,
    });
    this.#emit('containerCreated', id, sandboxId);
    return Promise.resolve(id);
  }

  startContainer(containerId: string): Promise<void> {
    this.containers.set(containerId, {
      ...this.getContainer(containerId),
      state: 'running',
      startedAtNs: 5n,
    });
    this.#emit('containerStarted', containerId, this.getContainer(containerId).sandboxId);
    return Promise.resolve();
  }

  stopContainer(containerId: string, timeoutMs: number): Promise<void> {
    this.calls.push(`stopContainer ${containerId} ${timeoutMs}`);
    const container = this.getContainer(containerId);
    this.containers.set(containerId, { ...container, state: 'exited', exitCode: 143, reason: 'Error' });
    this.#emit('containerStopped', containerId, container.sandboxId);
    return Promise.resolve();
  }

  removeContainer(containerId: string): Promise<void> {
    this.containers.delete(containerId);
    return Promise.resolve();
  }

  getContainer(containerId: string): ContainerStatus {
    const container = this.containers.get(containerId);
    if (container === undefined) throw new PlatformError('NotFound', `container ${containerId}: not found`);
    return container;
  }

  listContainers(): readonly ContainerStatus[] {
    return [...this.containers.values()];
  }

  updateContainerResources(containerId: string, resources: object): Promise<void> {
    this.calls.push(`updateContainerResources ${containerId} ${JSON.stringify(resources)}`);
    return Promise.resolve();
  }

  reopenContainerLog(containerId: string): Promise<void> {
    this.calls.push(`reopenContainerLog ${containerId}`);
    return Promise.resolve();
  }

  /** Runs the command on this machine. */
  exec(containerId: string, options: ExecOptions): Promise<ProcessSession> {
    this.getContainer(containerId);
    const [program = '', ...args] = options.command;
    if (program === 'missing') throw new PlatformError('NotFound', 'exec missing: no such program');
    const record: SessionRecord = { command: options.command, sizes: [], closed: false };
    this.sessions.push(record);
    const child = spawnChild(program, args, { stdio: ['pipe', 'pipe', 'pipe'] });
    if (!options.stdin) child.stdin.end();
    child.stdin.on('error', () => undefined);
    const exit = new Promise<number>((resolve) => {
      child.on('close', (code, signal) => resolve(code ?? (signal === 'SIGKILL' ? 137 : 128)));
    });
    return Promise.resolve({
      stdin: options.stdin ? child.stdin : null,
      stdout: child.stdout,
      stderr: options.tty ? null : child.stderr,
      tty: options.tty,
      resize: (rows, columns) => {
        record.sizes.push({ rows, columns });
        return Promise.resolve();
      },
      exit,
      close: async () => {
        record.closed = true;
        child.kill('SIGKILL');
        await exit;
      },
    });
  }

  /** A process that greets and repeats what it is told. */
  attach(containerId: string, options: { readonly stdin: boolean }): Promise<ProcessSession> {
    this.getContainer(containerId);
    const record: SessionRecord = { command: ['attach'], sizes: [], closed: false };
    this.sessions.push(record);
    const stdout = new PassThrough();
    let ended: (code: number) => void = () => undefined;
    const exit = new Promise<number>((resolve) => (ended = resolve));
    stdout.write('hello\n');
    const stdin = new Writable({
      write: (chunk: Buffer, _encoding, callback) => void stdout.write(chunk, callback),
      final: (callback) => {
        stdout.end();
        ended(0);
        callback();
      },
    });
    return Promise.resolve({
      stdin: options.stdin ? stdin : null,
      stdout,
      stderr: Readable.from([]),
      tty: false,
      resize: () => Promise.resolve(),
      exit,
      close: () => {
        record.closed = true;
        stdout.destroy();
        return Promise.resolve();
      },
    });
  }

  async openConnection(_sandboxId: string, port: number): Promise<Duplex> {
    return await new Promise((resolve, reject) => {
      const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true }, () => resolve(socket));
      socket.once('error', (cause) =>
        reject(new PlatformError('Unavailable', `connection refused`, { cause })),
      );
    });
  }

  sandboxStats(sandboxId: string): Promise<SandboxStats> {
    const containers = this.listContainers().filter((container) => container.sandboxId === sandboxId);
    return Promise.resolve({
      sandboxId,
      timestampNs: 1_000n,
      containers: containers.map(({ id }) => ({
        containerId: id,
        cpuUsageNs: 7_000_000_000n,
        memoryUsageBytes: 100n,
        memoryWorkingSetBytes: 90n,
        memoryRssBytes: 80n,
        memoryPageFaults: 1n,
        memoryMajorPageFaults: 0n,
        writableUsedBytes: 4096n,
        writableInodesUsed: 3n,
        pids: 2n,
      })),
      interfaces: [{ name: 'eth0', rxBytes: 10n, rxErrors: 0n, txBytes: 20n, txErrors: 1n }],
      cpuUsageNs: 9_000_000_000n,
      memoryTotalBytes: 1000n,
      memoryAvailableBytes: 400n,
      processCount: 12n,
    });
  }

  async *events(signal: AbortSignal): AsyncGenerator<SandboxEvent> {
    const queue: SandboxEvent[] = [];
    let wake: () => void = () => undefined;
    const listener = (event: SandboxEvent): void => {
      queue.push(event);
      wake();
    };
    this.#listeners.add(listener);
    signal.addEventListener('abort', () => wake(), { once: true });
    try {
      while (!signal.aborted) {
        const next = queue.shift();
        if (next === undefined) await new Promise<void>((resolve) => (wake = resolve));
        else yield next;
      }
    } finally {
      this.#listeners.delete(listener);
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return unsupported();
  }

  #emit(kind: SandboxEvent['kind'], containerId: string, sandboxId: string): void {
    for (const listener of this.#listeners) listener({ kind, containerId, sandboxId, atNs: 1n });
  }
}

/** A container that runs, in a sandbox that is ready. */
export async function runningContainer(
  sandboxes: ProcessSandboxes,
): Promise<{ readonly sandboxId: string; readonly containerId: string }> {
  const sandboxId = await sandboxes.runSandbox({
    metadata: { name: 'p', namespace: 'default', uid: 'u', attempt: 0 },
    hostname: 'p',
    logDirectory: '/tmp',
    labels: { app: 'x' },
    annotations: {},
    dns: { servers: [], searches: [], options: [] },
    runtimeHandler: '',
    sysctls: {},
    sharedPidNamespace: false,
    resources: {},
    networkUid: 'default',
    tenantId: '',
  });
  const containerId = await sandboxes.createContainer(sandboxId, {
    metadata: { name: 'c', attempt: 0 },
    image: 'x',
    command: [],
    args: [],
    workingDir: '',
    env: [],
    mounts: [],
    labels: { app: 'x' },
    annotations: {},
    logPath: 'c/0.log',
    stdin: false,
    stdinOnce: false,
    tty: false,
    resources: {},
    security: {
      privileged: false,
      supplementalGroups: [],
      strictGroups: false,
      readOnlyRootfs: false,
      noNewPrivileges: false,
      addCapabilities: [],
      dropCapabilities: [],
      maskedPaths: [],
      readOnlyPaths: [],
      seccomp: { type: 'Unconfined' },
      privatePidNamespace: true,
    },
  });
  await sandboxes.startContainer(containerId);
  return { sandboxId, containerId };
}
