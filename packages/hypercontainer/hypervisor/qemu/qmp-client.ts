import { connect, type Socket } from 'node:net';
import { PlatformError } from '@hypernetes/foundation/errors';
import { backoffDelayMs, sleep } from '@hypernetes/foundation/lifecycle';

const commandTimeoutMs = 10_000;
/** More without a line end is not QMP. */
const lineBytesMax = 4 << 20;
const retryMaxMs = 20;

/** An asynchronous message of the monitor, such as DEVICE_DELETED. */
export interface QmpEvent {
  readonly name: string;
  readonly data: Readonly<Record<string, unknown>>;
}

interface PendingCommand {
  readonly command: string;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** QEMU Machine Protocol over a unix socket (QEMU docs/interop/qmp-spec). One client at a time can be connected to a monitor. */
export class QmpClient implements Disposable {
  readonly #socket: Socket;
  readonly #pending = new Map<number, PendingCommand>();
  readonly #eventListeners = new Set<(event: QmpEvent) => void>();
  readonly #closeListeners = new Set<() => void>();
  #input = '';
  #lastId = 0;
  #closed = false;
  #greeted: () => void = () => undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('utf8');
    socket.on('data', (text) => this.#onData(String(text)));
    socket.on('error', () => undefined);
    socket.on('close', () => this.#onClose());
  }

  /** Connects, waiting for the socket to appear, and negotiates. DeadlineExceeded when the monitor does not answer. */
  static async connect(
    path: string,
    options: { readonly timeoutMs: number; readonly signal?: AbortSignal; readonly isAlive?: () => boolean },
  ): Promise<QmpClient> {
    const end = Date.now() + options.timeoutMs;
    for (let attempt = 0; ; attempt++) {
      const socket = await tryConnect(path);
      if (socket !== undefined) return await QmpClient.#negotiate(socket, path, end - Date.now());
      if (options.isAlive?.() === false)
        throw new PlatformError('Unavailable', `monitor at ${path}: the machine has ended`);
      if (Date.now() >= end)
        throw new PlatformError(
          'DeadlineExceeded',
          `monitor at ${path}: no answer after ${options.timeoutMs} ms`,
        );
      await sleep(backoffDelayMs(attempt, 2, retryMaxMs), options.signal);
    }
  }

  static async #negotiate(socket: Socket, path: string, timeoutMs: number): Promise<QmpClient> {
    const client = new QmpClient(socket);
    try {
      await client.#greeting(path, timeoutMs);
      await client.execute('qmp_capabilities', {}, timeoutMs);
      return client;
    } catch (error) {
      client[Symbol.dispose]();
      throw error;
    }
  }

  get closed(): boolean {
    return this.#closed;
  }

  onEvent(listener: (event: QmpEvent) => void): void {
    this.#eventListeners.add(listener);
  }

  /** The monitor went away (or we left). */
  onClose(listener: () => void): void {
    if (this.#closed) listener();
    else this.#closeListeners.add(listener);
  }

  /** Resolves with the first matching event from now on. */
  async waitForEvent(matches: (event: QmpEvent) => boolean, what: string, timeoutMs: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const listener = (event: QmpEvent): void => {
        if (!matches(event)) return;
        done();
        resolve();
      };
      const timer = setTimeout(() => {
        done();
        reject(new PlatformError('DeadlineExceeded', `${what}: not after ${timeoutMs} ms`));
      }, timeoutMs);
      const done = (): void => {
        clearTimeout(timer);
        this.#eventListeners.delete(listener);
      };
      this.#eventListeners.add(listener);
    });
  }

  /** One command. A refusal of QEMU is Internal with its class in details.qmpClass; a lost monitor is Unavailable. */
  async execute(
    command: string,
    argumentsOf: Readonly<Record<string, unknown>> = {},
    timeoutMs = commandTimeoutMs,
  ): Promise<unknown> {
    if (this.#closed)
      throw new PlatformError('Unavailable', `monitor command ${command}: the monitor is gone`);
    const id = ++this.#lastId;
    return await new Promise<unknown>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(id);
        reject(
          new PlatformError('DeadlineExceeded', `monitor command ${command}: not done after ${timeoutMs} ms`),
        );
      }, timeoutMs);
      this.#pending.set(id, {
        command,
        resolve: (value) => {
          clearTimeout(timer);
          resolve(value);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      });
      this.#socket.write(`${JSON.stringify({ execute: command, arguments: argumentsOf, id })}\n`);
    });
  }

  [Symbol.dispose](): void {
    this.#socket.destroy();
  }

  async #greeting(path: string, timeoutMs: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new PlatformError('DeadlineExceeded', `monitor at ${path}: no greeting`)),
        Math.max(timeoutMs, 1),
      );
      this.#greeted = () => {
        clearTimeout(timer);
        resolve();
      };
      this.onClose(() => {
        clearTimeout(timer);
        reject(new PlatformError('Unavailable', `monitor at ${path}: closed before its greeting`));
      });
    });
  }

  #onData(text: string): void {
    this.#input += text;
    if (this.#input.length > lineBytesMax) {
      this.#socket.destroy();
      return;
    }
    const lines = this.#input.split('\n');
    this.#input = lines.pop() ?? '';
    for (const line of lines) if (line.trim() !== '') this.#onLine(line);
  }

  #onLine(line: string): void {
    const message = parseMessage(line);
    if (message === undefined) {
      this.#socket.destroy();
      return;
    }
    if ('QMP' in message) this.#greeted();
    else if (typeof message['event'] === 'string') {
      const event = { name: message['event'], data: asRecord(message['data']) };
      for (const listener of [...this.#eventListeners]) listener(event);
    } else this.#onReply(message);
  }

  #onReply(message: Readonly<Record<string, unknown>>): void {
    const pending = this.#pending.get(Number(message['id']));
    if (pending === undefined) return;
    this.#pending.delete(Number(message['id']));
    if ('return' in message) {
      pending.resolve(message['return']);
      return;
    }
    const error = asRecord(message['error']);
    pending.reject(
      new PlatformError('Internal', `monitor command ${pending.command}: ${String(error['desc'])}`, {
        details: { qmpClass: String(error['class']), description: String(error['desc']) },
      }),
    );
  }

  #onClose(): void {
    this.#closed = true;
    for (const [id, pending] of this.#pending) {
      this.#pending.delete(id);
      pending.reject(
        new PlatformError('Unavailable', `monitor command ${pending.command}: the monitor is gone`),
      );
    }
    for (const listener of [...this.#closeListeners]) listener();
  }
}

async function tryConnect(path: string): Promise<Socket | undefined> {
  return await new Promise((resolve) => {
    const socket = connect(path);
    socket.once('error', () => resolve(undefined));
    socket.once('connect', () => resolve(socket));
  });
}

function parseMessage(line: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? asRecord(value) : undefined;
  } catch {
    return undefined;
  }
}

function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}
