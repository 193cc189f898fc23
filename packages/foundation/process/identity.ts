import { readFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { waitFor } from '../lifecycle/index.ts';

/** A process number alone may have been used again: the start time (clock ticks since boot, proc(5) stat field 22) tells. */
export interface ProcessIdentity {
  readonly pid: number;
  readonly startTime: string;
}

function parseStat(stat: string): { state: string; startTime: string } | undefined {
  // The command name, in parentheses, may hold spaces and parentheses: count from the last one.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const state = fields[0];
  const startTime = fields[19];
  return state === undefined || startTime === undefined ? undefined : { state, startTime };
}

/** The start time of a live process, undefined when there is none or it is a zombie. */
export async function startTimeOf(pid: number): Promise<string | undefined> {
  try {
    const parsed = parseStat(await readFile(`/proc/${pid}/stat`, 'utf8'));
    return parsed === undefined || parsed.state === 'Z' || parsed.state === 'X'
      ? undefined
      : parsed.startTime;
  } catch {
    return undefined;
  }
}

export function isAlive(identity: ProcessIdentity): boolean {
  try {
    const parsed = parseStat(readFileSync(`/proc/${identity.pid}/stat`, 'utf8'));
    return (
      parsed !== undefined &&
      parsed.state !== 'Z' &&
      parsed.state !== 'X' &&
      parsed.startTime === identity.startTime
    );
  } catch {
    return false;
  }
}

/** SIGTERM, then SIGKILL after the grace time; returns when the process is gone. Not there: success. */
export async function killProcess(identity: ProcessIdentity, graceMs = 0): Promise<void> {
  const send = (signal: NodeJS.Signals): void => {
    try {
      if (isAlive(identity)) process.kill(identity.pid, signal);
    } catch {
      // gone in between
    }
  };
  if (graceMs > 0) {
    send('SIGTERM');
    try {
      await waitFor(
        `end of process ${identity.pid}`,
        { timeoutMs: graceMs, intervalMs: 20 },
        () => !isAlive(identity),
      );
      return;
    } catch {
      // still there: below
    }
  }
  send('SIGKILL');
  await waitFor(
    `end of process ${identity.pid}`,
    { timeoutMs: 10_000, intervalMs: 5 },
    () => !isAlive(identity),
  );
}
