import { join } from 'node:path';
import { Option, type Command } from 'commander';
import { PlatformError } from '@hypernetes/foundation/errors';
import {
  buildId,
  defaultSettings,
  loadSettings,
  makeDirectories,
  repositoryRoot,
  saveSettings,
  type Accelerator,
  type Installation,
  type Settings,
} from '../config/installation.ts';
import { daemonNames, findRunningDaemon, stopDaemon } from '../daemons/daemon-records.ts';
import { startDaemon } from '../daemons/start-daemon.ts';
import { createProgress, type Progress } from '../output/progress.ts';
import { assembleGuest, ensureGuestIsCurrent } from '../setup/guest.ts';
import { installPackages, missingPackages, runtimePackages } from '../setup/packages.ts';
import { preparePki } from '../setup/pki.ts';
import { installationOf, requireRoot } from './options.ts';
import { waitUntilNodeReady } from './readiness.ts';

interface UpOptions {
  readonly accel?: Accelerator;
  readonly registryMirror?: readonly string[];
  readonly apiPort?: string;
  readonly kubeletPort?: string;
}

export function addUp(program: Command): void {
  program
    .command('up')
    .description('set up what is missing, start everything, wait until the node is Ready (idempotent)')
    .addOption(new Option('--accel <kind>', 'how virtual machines run').choices(['auto', 'kvm', 'tcg']))
    .option('--registry-mirror <host=url>', 'pull images of a registry from a mirror (repeatable)', collect)
    .option('--api-port <port>', 'port of the Kubernetes API on 127.0.0.1 (default 6443)')
    .option('--kubelet-port <port>', 'port of the kubelet (default 10250)')
    .addHelpText(
      'after',
      '\nExample:\n  sudo ./hypernetes up --registry-mirror docker.io=http://127.0.0.1:5000\n',
    )
    .action(async (options: UpOptions, command: Command) => {
      requireRoot('up');
      await up(installationOf(command), options);
    });
}

function collect(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value];
}

/** The settings kept so far, with what was given now on top. Bad values: Invalid. */
export function mergeSettings(kept: Settings, options: UpOptions): Settings {
  return {
    ...kept,
    ...(options.accel === undefined ? {} : { accel: options.accel }),
    ...(options.registryMirror === undefined
      ? {}
      : { registryMirrors: Object.fromEntries(options.registryMirror.map(parseMirror)) }),
    ...(options.apiPort === undefined ? {} : { apiPort: parsePort('--api-port', options.apiPort) }),
    ...(options.kubeletPort === undefined
      ? {}
      : { kubeletPort: parsePort('--kubelet-port', options.kubeletPort) }),
  };
}

function parseMirror(text: string): readonly [string, string] {
  const match = /^([^=\s]+)=(https?:\/\/\S+)$/.exec(text);
  if (match?.[1] === undefined || match[2] === undefined) {
    throw new PlatformError(
      'Invalid',
      `--registry-mirror "${text}": must be HOST=URL, e.g. docker.io=http://127.0.0.1:5000`,
    );
  }
  return [match[1], match[2]];
}

function parsePort(flag: string, text: string): number {
  const port = Number(text);
  if (!Number.isInteger(port) || port < 1 || port > 65535) {
    throw new PlatformError('Invalid', `${flag} "${text}": must be a port number from 1 to 65535`);
  }
  return port;
}

async function up(installation: Installation, options: UpOptions): Promise<void> {
  const kept = await loadSettings(installation);
  const settings = mergeSettings(kept ?? defaultSettings, options);
  const changed = JSON.stringify(settings) !== JSON.stringify(kept);
  if (!changed && (await everythingRuns(installation))) {
    await waitUntilNodeReady(installation, settings, 60_000);
    printNext(installation, 'already up');
    return;
  }
  const progress = createProgress();
  await prepare(installation, progress);
  await saveSettings(installation, settings);
  await progress.step('certificates', async () => await preparePki(installation, settings));
  await startAll(installation, settings, changed && kept !== undefined, progress);
  await progress.step(
    'node Ready',
    async (note) => await waitUntilNodeReady(installation, settings, 180_000, note),
  );
  printNext(installation, 'up');
}

async function everythingRuns(installation: Installation): Promise<boolean> {
  const records = await Promise.all(
    daemonNames.map(async (name) => await findRunningDaemon(installation, name)),
  );
  return (
    records.every((record) => record?.buildId === buildId()) && (await ensureGuestIsCurrent(installation))
  );
}

async function prepare(installation: Installation, progress: Progress): Promise<void> {
  const missing = await missingPackages(runtimePackages);
  if (missing.length > 0) {
    await progress.step(`Debian packages: ${missing.join(' ')}`, async () => {
      await installPackages(missing, join(installation.cacheDir, 'apt.log'));
    });
  }
  makeDirectories(installation);
  await progress.step('guest kernel and hyperstart', async (note) => await assembleGuest(installation, note));
}

async function startAll(
  installation: Installation,
  settings: Settings,
  settingsChanged: boolean,
  progress: Progress,
): Promise<void> {
  for (const name of daemonNames) {
    const running = await findRunningDaemon(installation, name);
    if (running?.buildId === buildId() && !settingsChanged) continue;
    await progress.step(
      running === undefined ? `start ${name}` : `restart ${name} (pods go on)`,
      async () => {
        await stopDaemon(installation, name);
        await startDaemon(installation, settings, name);
      },
    );
  }
}

function printNext(installation: Installation, what: string): void {
  const self = process.cwd() === repositoryRoot() ? './hypernetes' : join(repositoryRoot(), 'hypernetes');
  console.log(`Hypernetes is ${what}. Next:

  export KUBECONFIG=${installation.kubeconfigPath}
  kubectl get nodes
  sudo ${self} tenant create demo
  sudo ${self} status
`);
}
