import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { PlatformError } from '@hypernetes/foundation/errors';
import { waitFor } from '@hypernetes/foundation/lifecycle';
import { isAlive, spawnDetached } from '@hypernetes/foundation/process';
import { repositoryRoot, type Installation, type Settings } from '../config/installation.ts';
import { probeDaemon } from './probe-daemon.ts';
import type { DaemonName } from './daemon-records.ts';

/** Long enough for a first start on a busy machine (hyperd may have to prove KVM by booting a guest). */
const startTimeoutMs = 120_000;

/** Starts a daemon in the background and waits until it answers; one that ends first is an error quoting its log. */
export async function startDaemon(
  installation: Installation,
  settings: Settings,
  name: DaemonName,
): Promise<void> {
  const logFile = join(installation.logsDir, `${name}.log`);
  const bundle = join(repositoryRoot(), 'build', 'hypernetes.mjs');
  const identity = await spawnDetached(
    process.execPath,
    ['--enable-source-maps', bundle, '--data-dir', installation.dataDir, name],
    { logFile, env: { HN_LOG: process.env['HYPERNETES_DAEMON_LOG'] ?? 'info' } },
  );
  try {
    const outcome = await waitFor(
      `${name} to answer`,
      { timeoutMs: startTimeoutMs, intervalMs: 50 },
      async () => {
        if (!isAlive(identity)) return 'ended';
        return (await probeDaemon(installation, settings, name)) ? 'answers' : undefined;
      },
    );
    if (outcome === 'ended') throw new PlatformError('Unavailable', `${name} ended at once`);
  } catch (error) {
    const tail = await lastLines(logFile, 10);
    throw new PlatformError('Unavailable', `${name} did not start; the end of ${logFile}:\n${tail}`, {
      cause: error,
    });
  }
}

async function lastLines(path: string, count: number): Promise<string> {
  const file = await open(path, 'r');
  try {
    const { size } = await file.stat();
    const length = Math.min(size, 16_384);
    const buffer = Buffer.alloc(length);
    await file.read(buffer, 0, length, size - length);
    return buffer.toString('utf8').trim().split('\n').slice(-count).join('\n');
  } finally {
    await file.close();
  }
}
