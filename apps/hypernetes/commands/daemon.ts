import type { Command } from 'commander';
import { onShutdown } from '@hypernetes/foundation/lifecycle';
import { PlatformError } from '@hypernetes/foundation/errors';
import { loadSettings, makeDirectories, type Installation, type Settings } from '../config/installation.ts';
import { daemonNames, recordThisDaemon, type DaemonName } from '../daemons/daemon-records.ts';
import { runHyperd } from '../daemons/hyperd.ts';
import { runKubestackd } from '../daemons/kubestackd.ts';
import { runNode } from '../daemons/node.ts';
import { runServer } from '../daemons/server.ts';
import { installationOf, requireRoot } from './options.ts';

const runners: Readonly<
  Record<DaemonName, (installation: Installation, settings: Settings) => Promise<AsyncDisposable>>
> = {
  kubestackd: runKubestackd,
  hyperd: runHyperd,
  server: runServer,
  node: runNode,
};

const descriptions: Readonly<Record<DaemonName, string>> = {
  kubestackd: 'run the tenant infrastructure service in the foreground',
  hyperd: 'run the container runtime in the foreground',
  server: 'run API server, controllers and scheduler in the foreground',
  node: 'run kubelet and node proxy in the foreground',
};

/** The daemons, as `up` starts them in the background; by hand they run in the foreground. */
export function addDaemons(program: Command): void {
  for (const name of daemonNames) {
    program
      .command(name)
      .description(descriptions[name])
      .action(async (_options: object, command: Command) => {
        requireRoot(name);
        await runDaemon(installationOf(command), name);
      });
  }
}

async function runDaemon(installation: Installation, name: DaemonName): Promise<void> {
  const settings = await loadSettings(installation);
  if (settings === undefined) {
    throw new PlatformError(
      'Precondition',
      `${installation.dataDir} is not set up: run "sudo ./hypernetes up" first`,
    );
  }
  makeDirectories(installation);
  await recordThisDaemon(installation, name);
  const daemon = await runners[name](installation, settings);
  onShutdown(async () => {
    await daemon[Symbol.asyncDispose]();
  });
}
