import { rm, rmdir } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ip, nftDeleteTable } from '@hypernetes/foundation/linux';
import { run, runText } from '@hypernetes/foundation/process';
import { kubestackDirectory, StateDatabase } from '../state/index.ts';
import { killProxies } from './haproxy.ts';
import { listNamespaces, observeLinks, writeHostSetting } from './kernel.ts';
import { instanceNames } from './names.ts';
import { forwardingBefore, namespaceFolderBefore } from './network-provider.ts';

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
  const record = existsSync(join(folder, 'state.db')) ? hostBefore(options.dataDir) : undefined;
  const before = record?.forwarding;
  await releaseKernelState(options);
  if (before !== undefined && !(await otherInstallationRuns()))
    await writeHostSetting('ipv4/ip_forward', before);
  await rm(folder, { recursive: true, force: true });
  if (record?.namespaceFolderIsOurs === true) await unmountNamespaceFolder();
}

/** `ip netns add` mounts its folder onto itself the first time; nobody else has a namespace there now. */
async function unmountNamespaceFolder(): Promise<void> {
  if ((await listNamespaces()).length > 0) return;
  await run('umount', ['/run/netns'], { allowExitCodes: [1, 32] });
  await rmdir('/run/netns').catch(() => undefined);
}

/** What the host was like before this installation changed it. */
function hostBefore(dataDir: string): {
  readonly forwarding: string | undefined;
  readonly namespaceFolderIsOurs: boolean;
} {
  // Opening it takes the lock: nobody else has the directory now.
  using database = new StateDatabase(dataDir);
  return {
    forwarding: database.getMeta(forwardingBefore),
    namespaceFolderIsOurs: database.getMeta(namespaceFolderBefore) === 'absent',
  };
}

/** Another installation on this host, or anybody else's table that forwards, still needs forwarding. */
async function otherInstallationRuns(): Promise<boolean> {
  const tables = await runText('nft', ['list', 'tables']);
  return tables.split('\n').some((line) => line.trim() !== '');
}
