import { createHash } from 'node:crypto';
import { chmodSync, mkdirSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { networkInterfaces, hostname } from 'node:os';
import { fileURLToPath } from 'node:url';
import { PlatformError } from '@hypernetes/foundation/errors';
import { readFileIfExists, writeFileAtomic } from '@hypernetes/foundation/files';

export const defaultDataDir = '/var/lib/hypernetes';
export const cacheDir = '/var/cache/hypernetes';

/** ClusterIPs come from here; no Network may overlap it. */
export const serviceCidr = '10.96.0.0/16';

export type Accelerator = 'auto' | 'kvm' | 'tcg';

/** What the user chose at the first `up`; kept in `<data dir>/config.json`, changed by giving the flag again. */
export interface Settings {
  readonly accel: Accelerator;
  /** Registry host to mirror URL, `docker.io` to `http://127.0.0.1:5000`. */
  readonly registryMirrors: Readonly<Record<string, string>>;
  readonly apiPort: number;
  readonly kubeletPort: number;
}

export const defaultSettings: Settings = {
  accel: 'auto',
  registryMirrors: {},
  apiPort: 6443,
  kubeletPort: 10250,
};

/** Where one installation keeps everything (docs/architecture.md, "Places"). */
export interface Installation {
  readonly dataDir: string;
  readonly runDir: string;
  readonly logsDir: string;
  readonly podLogsDir: string;
  readonly pkiDir: string;
  readonly cacheDir: string;
  readonly instancePrefix: string;
  readonly kubeconfigPath: string;
  readonly hyperdSocket: string;
  readonly kubestackSocket: string;
  readonly settingsPath: string;
  /** Virtual machine monitors run as this user id plus their slot: a range of 10000 per installation, so that an escaped one is nobody in another. */
  readonly monitorUidBase: number;
}

export function installationAt(dataDirOption: string | undefined): Installation {
  const dataDir = resolve(dataDirOption ?? process.env['HYPERNETES_DATA_DIR'] ?? defaultDataDir);
  const isDefault = dataDir === defaultDataDir;
  const mark = createHash('sha256').update(dataDir).digest('hex').slice(0, 4);
  const runDir = isDefault ? '/run/hypernetes' : join(dataDir, 'run');
  // sun_path is 108 bytes (unix(7)); the longest socket name below the run folder has about 60.
  if (runDir.length > 48) {
    throw new PlatformError(
      'Invalid',
      `data directory ${dataDir}: the path is too long for unix sockets; use one of at most 44 characters`,
    );
  }
  return {
    dataDir,
    runDir,
    logsDir: join(dataDir, 'logs'),
    podLogsDir: join(dataDir, 'pods-logs'),
    pkiDir: join(dataDir, 'pki'),
    cacheDir,
    instancePrefix: isDefault ? 'hn' : `hn${mark}`,
    kubeconfigPath: join(dataDir, 'admin.kubeconfig'),
    hyperdSocket: join(runDir, 'hyperd.sock'),
    kubestackSocket: join(runDir, 'kubestack.sock'),
    settingsPath: join(dataDir, 'config.json'),
    monitorUidBase: isDefault ? 200_000 : 1_000_000 + Number.parseInt(mark, 16) * 10_000,
  };
}

export async function loadSettings(installation: Installation): Promise<Settings | undefined> {
  const text = await readFileIfExists(installation.settingsPath);
  return text === undefined ? undefined : { ...defaultSettings, ...(JSON.parse(text) as Partial<Settings>) };
}

export async function saveSettings(installation: Installation, settings: Settings): Promise<void> {
  await writeFileAtomic(installation.settingsPath, JSON.stringify(settings, undefined, 2) + '\n');
}

export function makeDirectories(installation: Installation): void {
  // Virtual machine monitors run unprivileged and open their own images below these two: search permission, not reading.
  for (const directory of [installation.dataDir, installation.runDir]) makeDirectory(directory, 0o711);
  for (const directory of [installation.logsDir, installation.pkiDir]) makeDirectory(directory, 0o700);
  makeDirectory(installation.cacheDir, 0o755);
}

function makeDirectory(path: string, mode: number): void {
  mkdirSync(path, { recursive: true });
  chmodSync(path, mode);
}

/** The node's name: the host's, as a DNS label. */
export function nodeName(): string {
  const name = hostname()
    .toLowerCase()
    .replace(/[^a-z0-9.-]/g, '-')
    .replace(/^[-.]+|[-.]+$/g, '');
  return name === '' ? 'node' : name;
}

/** The address pods and peers reach this node at: the first non-loopback IPv4 address, 127.0.0.1 on a machine without network. */
export function nodeAddress(): string {
  for (const [name, addresses] of Object.entries(networkInterfaces())) {
    // Our own uplinks are not the node's address.
    if (/^hn[0-9a-f]{0,4}u/.test(name)) continue;
    const found = addresses?.find(
      (address) => address.family === 'IPv4' && !address.internal && !address.address.startsWith('169.254.'),
    );
    if (found !== undefined) return found.address;
  }
  return '127.0.0.1';
}

/** The repository's root: the bundle is build/hypernetes.mjs. */
export function repositoryRoot(): string {
  return resolve(fileURLToPath(import.meta.url), '..', '..');
}

/** Identifies the code that runs: daemons of another build are restarted by `up`. */
export function buildId(): string {
  return readFileSync(join(repositoryRoot(), 'build', 'build-id'), 'utf8').trim();
}
