import type { Readable, Writable } from 'node:stream';
import type { GuestAgent, ReceiveStream } from '../guest-agent/index.ts';
import type { ProcessSession } from './sandbox-service.ts';

/** Output that no longer moves after the process has ended is held open by something it left behind. */
const orphanedOutputMs = 1_000;
const requestTimeoutMs = 10_000;
const sigkill = 9;

/** A process started by exec: its streams, and its exit code once its output was delivered. */
export class ExecSession implements ProcessSession {
  readonly stdin: Writable | null;
  readonly stdout: Readable;
  readonly stderr: Readable | null;
  readonly tty: boolean;
  readonly exit: Promise<number>;
  readonly #agent: GuestAgent;
  readonly #containerId: string;
  readonly #execId: string;
  readonly #receivers: readonly ReceiveStream[];
  #settle: (exitCode: number) => void = () => undefined;
  #exited = false;

  constructor(options: {
    readonly agent: GuestAgent;
    readonly containerId: string;
    readonly execId: string;
    readonly tty: boolean;
    readonly stdinStream: number;
    readonly stdoutStream: number;
    readonly stderrStream: number;
  }) {
    const { agent } = options;
    this.#agent = agent;
    this.#containerId = options.containerId;
    this.#execId = options.execId;
    this.tty = options.tty;
    this.stdin = options.stdinStream === 0 ? null : agent.sendStream(options.stdinStream);
    const stdout = agent.receiveReadable(options.stdoutStream);
    const stderr = options.stderrStream === 0 ? undefined : agent.receiveReadable(options.stderrStream);
    this.stdout = stdout.readable;
    this.stderr = stderr?.readable ?? null;
    // Readers may come later: an error before that must not end this process.
    for (const stream of [this.stdout, this.stderr]) stream?.on('error', () => undefined);
    this.#receivers = [stdout.receiver, ...(stderr === undefined ? [] : [stderr.receiver])];
    this.exit = new Promise((resolve) => {
      this.#settle = resolve;
    });
  }

  get execId(): string {
    return this.#execId;
  }

  /** The guest says the process has ended (or the machine has). */
  async finish(exitCode: number): Promise<void> {
    if (this.#exited) return;
    this.#exited = true;
    while (this.#receivers.some((receiver) => !receiver.over && !isOrphaned(receiver))) {
      await Promise.race([
        Promise.all(this.#receivers.map((receiver) => receiver.finished)),
        new Promise((resolve) => setTimeout(resolve, orphanedOutputMs / 4)),
      ]);
    }
    // What something left behind holds open ends here; reading the end gives the stream up.
    const streams = [this.stdout, ...(this.stderr === null ? [] : [this.stderr])];
    streams.forEach((stream, index) => {
      if (this.#receivers[index]?.over === false) stream.push(null);
    });
    this.stdin?.destroy();
    this.#settle(exitCode);
  }

  /** The process could not be started. */
  abandon(): void {
    this.#exited = true;
    this.stdin?.destroy();
    this.stdout.destroy();
    this.stderr?.destroy();
  }

  async resize(rows: number, columns: number): Promise<void> {
    await this.#agent.request(
      {
        $case: 'resizeTerminal',
        value: { containerId: this.#containerId, execId: this.#execId, rows, columns },
      },
      { timeoutMs: requestTimeoutMs },
    );
  }

  async close(): Promise<void> {
    this.#release();
    this.stdin?.destroy();
    if (this.#exited) return;
    await this.#agent
      .request(
        {
          $case: 'signalProcess',
          value: { containerId: this.#containerId, execId: this.#execId, signal: sigkill, all: false },
        },
        { timeoutMs: requestTimeoutMs },
      )
      .catch(() => undefined); // ended in between, or the machine has
  }

  #release(): void {
    this.stdout.destroy();
    this.stderr?.destroy();
  }
}

function isOrphaned(receiver: ReceiveStream): boolean {
  return receiver.pendingBytes === 0 && receiver.idleMs > orphanedOutputMs;
}
