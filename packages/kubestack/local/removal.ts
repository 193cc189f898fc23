import { rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ip, nftDeleteTable } from '@hypernetes/foundation/linux';
import { runText } from '@hypernetes/foundation/process';
import { kubestackDirectory, StateDatabase } from '../state/index.ts';
import { killProxies } from './haproxy.ts';
import { listNamespaces, observeLinks, writeHostSetting } from './kernel.ts';
import { instanceNames } from './names.ts';
import { forwardingBefore } from './network-provider.ts';

export interface RemovalOptions {
  readonly dataDir: string;
  readonly instancePrefix: string;
}

/**
 * Removes every kernel object and process of an installation, found by its prefix, not by its records: load balancer processes, uplinks with
 * their routes, namespaces with what is in them, the host's table. State on disk stays, and the next start makes all of it again. Nothing
 * there: success. Call it when virtual machines and kubestackd have ended.
 */
export async function releaseKernelState(options: RemovalOptions): Promise<void> {
  const names = instanceNames(options.instancePrefix);
  await killProxies(options.dataDir);
  for (const link of (await observeLinks()).keys()) {
    if (names.isUplink(link)) await ip(['link', 'delete', 'dev', link]);
  }
  for (const namespace of await listNamespaces()) {
    if (names.isNamespace(namespace)) await ip(['netns', 'delete', namespace]);
  }
  await nftDeleteTable('ip', names.hostTable);
}

/** releaseKernelState, and the state on disk with all volumes. Precondition while a kubestackd runs with the data directory. */
export async function purgeLocalState(options: RemovalOptions): Promise<void> {
  const folder = kubestackDirectory(options.dataDir);
  const before = existsSync(join(folder, 'state.db')) ? forwardingOnRecord(options.dataDir) : undefined;
  await releaseKernelState(options);
  if (before !== undefined && !(await otherInstallationRuns()))
    await writeHostSetting('ipv4/ip_forward', before);
  await rm(folder, { recursive: true, force: true });
}

function forwardingOnRecord(dataDir: string): string | undefined {
  // Opening it takes the lock: nobody else has the directory now.
  using database = new StateDatabase(dataDir);
  return database.getMeta(forwardingBefore);
}

/** Another installation on this host, or anybody else's table that forwards, still needs forwarding. */
async function otherInstallationRuns(): Promise<boolean> {
  const tables = await runText('nft', ['list', 'tables']);
  return tables.split('\n').some((line) => line.trim() !== '');
}
