import { spawn } from 'node:child_process';
import { PlatformError } from '../errors/index.ts';

export interface RunOptions {
  readonly input?: string | Uint8Array;
  readonly timeoutMs?: number;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** Exit codes that are not an error, besides 0. */
  readonly allowExitCodes?: readonly number[];
  /** More standard output than this is an error; default 64 MiB. */
  readonly maxOutputBytes?: number;
}

export interface RunResult {
  readonly exitCode: number;
  readonly stdout: Buffer;
  readonly stderr: string;
}

/**
 * Runs a program to its end, without a shell. A failure quotes the last of its standard error. The argument list must hold no secret
 * (every user of the host can read it): give secrets by input.
 */
export async function run(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<RunResult> {
  return await new Promise<RunResult>((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: options.env === undefined ? process.env : { ...process.env, ...options.env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const stdout: Buffer[] = [];
    let stdoutBytes = 0;
    let stderr = '';
    let failure: PlatformError | undefined;
    const stop = (error: PlatformError): void => {
      failure ??= error;
      child.kill('SIGKILL');
      // A grandchild may hold the pipes open: without our ends of them the child's own end is enough.
      child.stdout.destroy();
      child.stderr.destroy();
    };
    const timer = setTimeout(
      () =>
        stop(
          new PlatformError(
            'DeadlineExceeded',
            `${command} ${args.join(' ')}: not done after ${options.timeoutMs ?? 60_000} ms`,
          ),
        ),
      options.timeoutMs ?? 60_000,
    );
    const abort = (): void => stop(new PlatformError('Canceled', `${command}: canceled`));
    options.signal?.addEventListener('abort', abort, { once: true });
    child.stdout.on('data', (chunk: Buffer) => {
      stdoutBytes += chunk.length;
      if (stdoutBytes > (options.maxOutputBytes ?? 64 << 20)) {
        stop(new PlatformError('Exhausted', `${command}: too much output`));
        return;
      }
      stdout.push(chunk);
    });
    child.stderr.on('data', (chunk: Buffer) => {
      stderr = (stderr + chunk.toString('utf8')).slice(-16_384);
    });
    child.stdin.on('error', () => undefined); // the program may end without reading all of it; its exit code tells
    const done = (): void => {
      clearTimeout(timer);
      options.signal?.removeEventListener('abort', abort);
    };
    child.on('error', (cause: NodeJS.ErrnoException) => {
      done();
      const missing = cause.code === 'ENOENT';
      reject(
        new PlatformError(
          missing ? 'Precondition' : 'Internal',
          `${command}: ${missing ? 'program not found' : cause.message}`,
          { cause },
        ),
      );
    });
    child.on('close', (code, signalName) => {
      done();
      const exitCode = code ?? 128;
      if (failure !== undefined) reject(failure);
      else if (code === null)
        reject(
          new PlatformError('Internal', `${command}: ended by ${signalName ?? 'a signal'}: ${stderr.trim()}`),
        );
      else if (exitCode !== 0 && options.allowExitCodes?.includes(exitCode) !== true) {
        reject(
          new PlatformError(
            'Internal',
            `${command} ${args.join(' ')}: exit code ${exitCode}: ${stderr.trim()}`,
            {
              details: { exitCode, stderr },
            },
          ),
        );
      } else resolve({ exitCode, stdout: Buffer.concat(stdout), stderr });
    });
    child.stdin.end(options.input ?? '');
  });
}

/** run, answering standard output as text. */
export async function runText(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  return (await run(command, args, options)).stdout.toString('utf8');
}
