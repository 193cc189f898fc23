import { rm } from 'node:fs/promises';
import type { Command } from 'commander';
import { releaseSandboxes } from '@hypernetes/hypercontainer/sandbox';
import { purgeKubestack, releaseKernelState } from '@hypernetes/kubestack/server';
import { removeNodeProxy } from '@hypernetes/kubernetes/proxy';
import type { Installation } from '../config/installation.ts';
import { daemonNames, findRunningDaemon, stopDaemon, type DaemonName } from '../daemons/daemon-records.ts';
import { createProgress } from '../output/progress.ts';
import { installationOf, requireRoot } from './options.ts';

export function addDown(program: Command): void {
  program
    .command('down')
    .description('stop everything and keep state; with --purge leave nothing behind')
    .option(
      '--purge',
      'also delete all state: objects, volumes, images, certificates, logs (the cache stays)',
    )
    .action(async (options: { purge?: boolean }, command: Command) => {
      requireRoot('down');
      await down(installationOf(command), options.purge === true);
    });
}

/** Every step is safe on what is gone already, so that a `down` that was interrupted is finished by the next. */
async function down(installation: Installation, purge: boolean): Promise<void> {
  const progress = createProgress();
  const stop = async (name: DaemonName): Promise<void> => {
    const running = await findRunningDaemon(installation, name);
    if (running === undefined) await stopDaemon(installation, name);
    else await progress.step(`stop ${name}`, async () => await stopDaemon(installation, name));
  };
  // The kubelet goes first: it would take ended pods for crashed ones.
  for (const name of [...daemonNames].reverse()) {
    await stop(name);
    if (name === 'hyperd') {
      await progress.step('stop virtual machines', async () => {
        await releaseSandboxes({
          dataDir: installation.dataDir,
          runDir: installation.runDir,
          instancePrefix: installation.instancePrefix,
        });
      });
    }
  }
  await progress.step('remove networks from the host', async () => {
    await removeNodeProxy(installation.instancePrefix);
    const place = {
      dataDir: installation.dataDir,
      runDir: installation.runDir,
      instancePrefix: installation.instancePrefix,
    };
    await (purge ? purgeKubestack(place) : releaseKernelState(place));
  });
  if (purge) {
    await progress.step('delete all state', async () => {
      await rm(installation.runDir, { recursive: true, force: true });
      await rm(installation.dataDir, { recursive: true, force: true });
    });
  }
  console.log(
    purge
      ? 'Hypernetes is gone; downloads stay in the cache.'
      : 'Hypernetes is down; "up" goes on where it was.',
  );
}
