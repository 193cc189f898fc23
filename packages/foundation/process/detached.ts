import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { PlatformError } from '../errors/index.ts';
import { startTimeOf, type ProcessIdentity } from './identity.ts';

export interface DetachedOptions {
  /** Standard output and error are appended here (mode 0600). */
  readonly logFile: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
  readonly onExit?: (exitCode: number | null, signal: NodeJS.Signals | null) => void;
}

/** Starts a process that outlives this one: own session, no inherited pipe. */
export async function spawnDetached(
  command: string,
  args: readonly string[],
  options: DetachedOptions,
): Promise<ProcessIdentity> {
  const log = openSync(options.logFile, 'a', 0o600);
  try {
    const child = spawn(command, args, {
      detached: true,
      stdio: ['ignore', log, log],
      cwd: options.cwd ?? '/',
      env: { ...process.env, ...options.env },
    });
    if (options.onExit !== undefined) child.on('exit', options.onExit);
    await new Promise<void>((resolve, reject) => {
      child.once('spawn', resolve);
      child.once('error', (cause) =>
        reject(new PlatformError('Precondition', `start ${command}: ${cause.message}`, { cause })),
      );
    });
    child.unref();
    const pid = child.pid ?? 0;
    return { pid, startTime: (await startTimeOf(pid)) ?? 'gone' };
  } finally {
    closeSync(log);
  }
}
