import { writeFile } from 'node:fs/promises';
import { randomBytes } from 'node:crypto';
import { Writable } from 'node:stream';
import { isPlatformError, PlatformError, toPlatformError } from '@hypernetes/foundation/errors';
import { Process, type ProcessExited } from '@hypernetes/proto/hyperstart';
import { commandExitCode, expectResult, type GuestAgent, type SendStream } from '../guest-agent/index.ts';
import { signalNumber, guestResources } from './container-process.ts';
import { ContainerOutput } from './container-output.ts';
import { FileSetSync } from './file-sets.ts';
import { ExecSession } from './process-session.ts';
import { nowNs, type ContainerRecord } from './records.ts';
import type { SandboxContext } from './sandbox-context.ts';
import { guestTimeNs } from './stats.ts';
import type { AttachOptions, ExecOptions, LinuxResources, ProcessSession } from './sandbox-service.ts';

const requestTimeoutMs = 20_000;
const startTimeoutMs = 60_000;
const outputEndMs = 2_000;
const killTimeoutMs = 15_000;
/** CRI and Kubernetes: at most this much of a termination log is kept. */
const terminationLogBytesMax = 4_096;
const startErrorExitCode = 128;
const killedExitCode = 137;
const sigkill = 9;

/** What a container needs of the sandbox it is in. */
export interface ContainerHost {
  readonly context: SandboxContext;
  readonly sandboxId: string;
  readonly agent: GuestAgent;
  readonly save: () => Promise<void>;
  readonly allocateStreams: (count: number) => Promise<number>;
  /** Where the guest stands in a stream to it. */
  readonly sentOffset: (stream: number) => number;
}

/** One container at run time: its record, output, pushed files and the sessions in it. */
export class PodContainer {
  readonly record: ContainerRecord;
  readonly files: FileSetSync;
  readonly #host: ContainerHost;
  readonly #execs = new Map<string, ExecSession>();
  readonly #exitWaiters = new Set<() => void>();
  #output: ContainerOutput | undefined;
  #stdin: SendStream | undefined;

  constructor(record: ContainerRecord, host: ContainerHost) {
    this.record = record;
    this.#host = host;
    this.files = new FileSetSync(host.agent, host.context.log);
  }

  /** Takes the output over from where the log ends. Before the agent says Hello, or before the container exists in the guest. */
  async openOutput(): Promise<void> {
    const { context, agent, sandboxId } = this.#host;
    this.#output = await ContainerOutput.open({
      agent,
      logPath: this.record.logPath,
      cursorPath: context.folders.logCursor(sandboxId, this.record.id),
      stdoutStream: this.record.stdoutStream,
      stderrStream: this.record.stderrStream,
      log: context.log,
    });
  }

  /** A command that cannot be executed leaves the container exited (StartError) and throws. */
  async start(): Promise<void> {
    const { record } = this;
    if (record.state !== 'created')
      throw new PlatformError('Precondition', `container ${record.id} is ${record.state}, not created`);
    try {
      const result = await this.#host.agent.request(
        { $case: 'startContainer', value: { containerId: record.id } },
        { timeoutMs: startTimeoutMs },
      );
      const { startedAtNs } = expectResult(result, 'startContainer');
      record.startedAtNs = guestTimeNs(startedAtNs, nowNs()).toString();
    } catch (error) {
      await this.#startFailed(error);
      throw error;
    }
    // A very short process may have told its end already.
    if ((record.state as ContainerRecord['state']) === 'created') record.state = 'running';
    await this.#host.save();
    this.#emit('containerStarted');
  }

  async stop(timeoutMs: number): Promise<void> {
    if (this.record.state !== 'running') return;
    if (timeoutMs > 0) {
      await this.#signal(signalNumber(this.record.stopSignal), false);
      if (await this.#waitForExit(timeoutMs)) return;
    }
    await this.#signal(sigkill, true);
    if (!(await this.#waitForExit(killTimeoutMs)))
      throw new PlatformError('DeadlineExceeded', `container ${this.record.id}: still there after SIGKILL`);
  }

  /** Takes it out of the guest; the caller forgets the record. */
  async removeFromGuest(): Promise<void> {
    await this.#host.agent.request(
      { $case: 'removeContainer', value: { containerId: this.record.id } },
      { timeoutMs: requestTimeoutMs },
    );
    for (const set of this.record.files) await this.files.remove(set);
  }

  /** An event of the guest about this container or a process executed in it; durable when it resolves. */
  async onExit(event: ProcessExited): Promise<void> {
    if (event.execId !== '') {
      const session = this.#execs.get(event.execId);
      this.#execs.delete(event.execId);
      // Not waited for: a reader of this session must not hold up other events.
      void session?.finish(event.exitCode & 0xff);
      return;
    }
    if (this.record.state === 'exited') {
      // Told again, perhaps because it could not be written the first time.
      await this.#host.save();
      return;
    }
    await this.#output?.waitForEnd(outputEndMs);
    await this.#writeBackFiles();
    const exitCode = event.exitCode & 0xff;
    await this.#exited({
      exitCode,
      reason: event.oomKilled ? 'OOMKilled' : exitCode === 0 ? 'Completed' : 'Error',
      message: '',
      finishedAtNs: guestTimeNs(event.exitedAtNs, nowNs()),
    });
  }

  /** The machine is gone: what ran in it was killed. */
  async onMachineGone(message: string): Promise<void> {
    for (const session of this.#execs.values()) void session.finish(killedExitCode);
    this.#execs.clear();
    if (this.record.state === 'exited' || this.record.state === 'creating') return;
    const ran = this.record.state === 'running';
    await this.#exited({
      exitCode: killedExitCode,
      reason: 'Error',
      message: ran ? message : `never started: ${message}`,
      finishedAtNs: nowNs(),
    });
  }

  async exec(options: ExecOptions): Promise<ProcessSession> {
    const { agent, allocateStreams } = this.#host;
    if (this.record.state !== 'running')
      throw new PlatformError('Precondition', `container ${this.record.id} is not running`);
    if (options.command.length === 0) throw new PlatformError('Invalid', 'exec: no command');
    const first = await allocateStreams(3);
    const streams = {
      stdinStream: options.stdin ? first : 0,
      stdoutStream: first + 1,
      stderrStream: options.tty ? 0 : first + 2,
    };
    const identity = { containerId: this.record.id, execId: randomBytes(8).toString('hex') };
    const session = new ExecSession({ agent, ...identity, tty: options.tty, ...streams });
    this.#execs.set(identity.execId, session);
    const env = options.tty
      ? [...this.record.env.filter((entry) => !entry.startsWith('TERM=')), 'TERM=xterm']
      : [];
    const process = Process.fromPartial({
      args: [...options.command],
      env: [...env],
      cwd: this.record.workingDir,
      terminal: options.tty,
    });
    process.user = undefined;
    process.capabilities = undefined;
    try {
      await agent.request(
        { $case: 'exec', value: { ...identity, process, ...streams } },
        {
          timeoutMs: startTimeoutMs,
          ...(options.signal === undefined ? {} : { signal: options.signal }),
        },
      );
    } catch (error) {
      this.#execs.delete(identity.execId);
      // Only a refusal says that nothing runs: given up by the caller, the command may have begun, and nobody would end it.
      if (isPlatformError(error, 'Canceled') || isPlatformError(error, 'DeadlineExceeded'))
        void session.close();
      session.abandon();
      throw error;
    }
    return session;
  }

  attach(options: AttachOptions): ProcessSession {
    const output = this.#output;
    if (output === undefined || this.record.state !== 'running')
      throw new PlatformError('Precondition', `container ${this.record.id} is not running`);
    const subscription = output.subscribe();
    return {
      stdin: options.stdin && this.record.stdinStream !== 0 ? this.#sharedStdin() : null,
      stdout: subscription.stdout,
      stderr: subscription.stderr,
      tty: this.record.config.tty,
      resize: async (rows, columns) => {
        await this.#host.agent.request(
          { $case: 'resizeTerminal', value: { containerId: this.record.id, execId: '', rows, columns } },
          { timeoutMs: requestTimeoutMs },
        );
      },
      exit: this.waitForExit().then(() => this.record.exitCode),
      close: () => {
        subscription.close();
        return Promise.resolve();
      },
    };
  }

  /** Resolves when the container has ended. */
  async waitForExit(): Promise<void> {
    if (this.record.state === 'exited') return;
    await new Promise<void>((resolve) => {
      this.#exitWaiters.add(resolve);
    });
  }

  async updateResources(resources: LinuxResources): Promise<void> {
    await this.#host.agent.request(
      {
        $case: 'updateResources',
        value: { containerId: this.record.id, resources: guestResources(resources) },
      },
      { timeoutMs: requestTimeoutMs },
    );
  }

  async reopenLog(): Promise<void> {
    if (this.#output === undefined)
      throw new PlatformError('Precondition', `container ${this.record.id} has no open log`);
    await this.#output.reopenLog();
  }

  /** Lets go of files and watchers; the container goes on. */
  async close(): Promise<void> {
    this.files[Symbol.dispose]();
    await this.#output?.[Symbol.asyncDispose]();
    this.#output = undefined;
  }

  async #startFailed(error: unknown): Promise<void> {
    const failure = toPlatformError(error);
    // Only a refusal is an outcome; a lost connection or a deadline says nothing about the process.
    if (failure.reason === 'Canceled' || failure.reason === 'DeadlineExceeded') return;
    this.record.startedAtNs = '0';
    const finishedAtNs = nowNs();
    const exitCode = commandExitCode(failure) ?? startErrorExitCode;
    await this.#exited({ exitCode, reason: 'StartError', message: failure.message, finishedAtNs });
  }

  async #exited(outcome: {
    readonly exitCode: number;
    readonly reason: ContainerRecord['reason'];
    readonly message: string;
    readonly finishedAtNs: bigint;
  }): Promise<void> {
    const { record } = this;
    record.state = 'exited';
    record.exitCode = outcome.exitCode;
    record.reason = outcome.reason;
    record.message = outcome.message;
    record.finishedAtNs = outcome.finishedAtNs.toString();
    try {
      await this.#host.save();
    } finally {
      this.#stdin?.destroy();
      this.files[Symbol.dispose]();
      for (const wake of [...this.#exitWaiters]) wake();
      this.#exitWaiters.clear();
      this.#emit('containerStopped');
    }
  }

  async #writeBackFiles(): Promise<void> {
    for (const set of this.record.files.filter(({ writeBack }) => writeBack)) {
      try {
        const result = await this.#host.agent.request(
          {
            $case: 'getFile',
            value: {
              setId: set.setId,
              path: set.hostPath.slice(set.hostPath.lastIndexOf('/') + 1),
              maxBytes: terminationLogBytesMax,
            },
          },
          { timeoutMs: requestTimeoutMs },
        );
        const { data } = expectResult(result, 'getFile');
        if (data.length > 0) await writeFile(set.hostPath, data.subarray(0, terminationLogBytesMax));
      } catch (error) {
        if (!isPlatformError(error, 'NotFound'))
          this.#host.context.log.warn(
            { containerId: this.record.id, message: toPlatformError(error).message },
            'termination log could not be read',
          );
      }
    }
  }

  async #waitForExit(timeoutMs: number): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<false>((resolve) => {
      timer = setTimeout(() => resolve(false), timeoutMs);
    });
    try {
      return await Promise.race([this.waitForExit().then(() => true), late]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #signal(signal: number, all: boolean): Promise<void> {
    try {
      await this.#host.agent.request(
        { $case: 'signalProcess', value: { containerId: this.record.id, execId: '', signal, all } },
        { timeoutMs: requestTimeoutMs },
      );
    } catch (error) {
      // Gone in between: its exit event is on the way.
      if (!isPlatformError(error, 'NotFound') && !isPlatformError(error, 'Precondition')) throw error;
    }
  }

  /** Each attached client writes into the one stdin; its end is the container's only with stdinOnce. */
  #sharedStdin(): Writable {
    const { stdinStream, config } = this.record;
    if (this.#stdin === undefined || this.#stdin.destroyed)
      this.#stdin = this.#host.agent.sendStream(stdinStream, this.#host.sentOffset(stdinStream));
    const target = this.#stdin;
    return new Writable({
      write: (chunk: Buffer, _encoding, callback) => {
        target.write(chunk, callback);
      },
      final: (callback) => {
        if (config.stdinOnce) target.end(callback);
        else callback();
      },
    });
  }

  #emit(kind: 'containerStarted' | 'containerStopped'): void {
    this.#host.context.emit(kind, this.#host.sandboxId, this.record.id);
  }
}
