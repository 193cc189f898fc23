import { join } from 'node:path';
import { rm } from 'node:fs/promises';
import { readFileIfExists, writeFileAtomic } from '@hypernetes/foundation/files';
import { isAlive, killProcess, startTimeOf, type ProcessIdentity } from '@hypernetes/foundation/process';
import { PlatformError } from '@hypernetes/foundation/errors';
import { buildId, type Installation } from '../config/installation.ts';

/** In the order they are started; stopped in the reverse order. */
export const daemonNames = ['kubestackd', 'hyperd', 'server', 'node'] as const;
export type DaemonName = (typeof daemonNames)[number];

export interface DaemonRecord extends ProcessIdentity {
  readonly buildId: string;
  readonly startedAt: string;
}

function recordPath(installation: Installation, name: DaemonName): string {
  return join(installation.runDir, `${name}.json`);
}

export async function readDaemonRecord(
  installation: Installation,
  name: DaemonName,
): Promise<DaemonRecord | undefined> {
  const text = await readFileIfExists(recordPath(installation, name));
  return text === undefined ? undefined : (JSON.parse(text) as DaemonRecord);
}

/** The record of a daemon that runs, undefined when it does not. */
export async function findRunningDaemon(
  installation: Installation,
  name: DaemonName,
): Promise<DaemonRecord | undefined> {
  const record = await readDaemonRecord(installation, name);
  return record !== undefined && isAlive(record) ? record : undefined;
}

/** A daemon records itself first thing, so that no start-up, however interrupted, leaves one nobody knows of. */
export async function recordThisDaemon(installation: Installation, name: DaemonName): Promise<void> {
  const other = await findRunningDaemon(installation, name);
  if (other !== undefined && other.pid !== process.pid) {
    throw new PlatformError(
      'AlreadyExists',
      `${name} already runs for ${installation.dataDir} as process ${other.pid}`,
    );
  }
  const record: DaemonRecord = {
    pid: process.pid,
    startTime: (await startTimeOf(process.pid)) ?? '',
    buildId: buildId(),
    startedAt: new Date().toISOString(),
  };
  await writeFileAtomic(recordPath(installation, name), JSON.stringify(record) + '\n');
}

/** SIGTERM, at most graceMs to end, then SIGKILL. Not running: success. */
export async function stopDaemon(
  installation: Installation,
  name: DaemonName,
  graceMs = 12_000,
): Promise<void> {
  const record = await findRunningDaemon(installation, name);
  if (record !== undefined) await killProcess(record, graceMs);
  await rm(recordPath(installation, name), { force: true });
}
