import { PassThrough, type Readable } from 'node:stream';
import type { Logger } from '@hypernetes/foundation/logging';
import type { GuestAgent, ReceiveStream, StreamConsumer } from '../guest-agent/index.ts';
import { ContainerLog, type OutputName } from './container-log.ts';

/** One who watches a container's output from now on. A reader that does not read holds the container back. */
export interface OutputSubscription {
  readonly stdout: Readable;
  readonly stderr: Readable | null;
  close(): void;
}

interface Subscriber {
  readonly streams: Readonly<Record<OutputName, PassThrough | undefined>>;
  /** Next byte it has not seen, per stream. */
  readonly next: Record<OutputName, number>;
}

/** A container's standard output and error: into its log for good, and to whoever is attached. */
export class ContainerOutput implements AsyncDisposable {
  readonly #log: ContainerLog;
  readonly #receivers: readonly ReceiveStream[];
  readonly #subscribers = new Set<Subscriber>();
  /** End of what was shown to subscribers so far. */
  readonly #seen: Record<OutputName, number>;
  readonly #terminal: boolean;

  private constructor(log: ContainerLog, agent: GuestAgent, streams: readonly [OutputName, number][]) {
    this.#log = log;
    this.#terminal = streams.length === 1;
    this.#seen = { stdout: log.taken('stdout'), stderr: log.taken('stderr') };
    this.#receivers = streams.map(([name, id]) => agent.receive(id, log.taken(name), this.#consumer(name)));
  }

  /** Registers the streams with the agent, resuming after what the log holds. */
  static async open(options: {
    readonly agent: GuestAgent;
    readonly logPath: string;
    readonly cursorPath: string;
    readonly stdoutStream: number;
    /** 0 with a terminal. */
    readonly stderrStream: number;
    readonly log: Logger;
  }): Promise<ContainerOutput> {
    const log = await ContainerLog.open(options.logPath, options.cursorPath, options.log);
    const streams: [OutputName, number][] = [['stdout', options.stdoutStream]];
    if (options.stderrStream !== 0) streams.push(['stderr', options.stderrStream]);
    return new ContainerOutput(log, options.agent, streams);
  }

  /** True once all output is in the log; false after the time. */
  async waitForEnd(timeoutMs: number): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<false>((resolve) => {
      timer = setTimeout(() => resolve(false), timeoutMs);
    });
    const ended = Promise.all(this.#receivers.map((receiver) => receiver.finished)).then(() => true);
    try {
      return await Promise.race([ended, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  async reopenLog(): Promise<void> {
    await this.#log.reopen();
  }

  subscribe(): OutputSubscription {
    const stdout = new PassThrough();
    const stderr = this.#terminal ? undefined : new PassThrough();
    const subscriber: Subscriber = { streams: { stdout, stderr }, next: { ...this.#seen } };
    if (this.#receivers.every((receiver) => receiver.over)) {
      stdout.end();
      stderr?.end();
    } else this.#subscribers.add(subscriber);
    return {
      stdout,
      stderr: stderr ?? null,
      close: () => {
        this.#subscribers.delete(subscriber);
        stdout.destroy();
        stderr?.destroy();
      },
    };
  }

  /** Stops listening and ends subscribers; the guest keeps what was not acknowledged. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (const receiver of this.#receivers) receiver.onReset();
    for (const { streams } of this.#subscribers) {
      streams.stdout?.end();
      streams.stderr?.end();
    }
    this.#subscribers.clear();
    await this.#log[Symbol.asyncDispose]();
  }

  #consumer(name: OutputName): StreamConsumer {
    return async (data, offset, eof) => {
      await Promise.all([...this.#subscribers].map((subscriber) => show(subscriber, name, data, offset)));
      this.#seen[name] = Math.max(this.#seen[name], offset + data.length);
      const consumed = await this.#log.append(name, data, offset, eof);
      if (eof) for (const { streams } of this.#subscribers) streams[name]?.end();
      return consumed;
    };
  }
}

/** Writes what the subscriber has not seen and waits until it has room again, or has gone. */
async function show(subscriber: Subscriber, name: OutputName, data: Buffer, offset: number): Promise<void> {
  const target = subscriber.streams[name];
  const from = Math.max(0, subscriber.next[name] - offset);
  if (target === undefined || target.destroyed || from >= data.length) return;
  subscriber.next[name] = offset + data.length;
  // A copy: the buffer belongs to the stream, which may cut it.
  if (target.write(Buffer.from(data.subarray(from)))) return;
  await new Promise<void>((resolve) => {
    target.once('drain', resolve);
    target.once('close', resolve);
  });
}
