import { constants } from 'node:os';
import { PlatformError } from '@hypernetes/foundation/errors';
import { Process, User, type Resources } from '@hypernetes/proto/hyperstart';
import type { ImageConfig } from '../image-store/image-store.ts';
import type { ContainerConfig, ContainerSecurity, LinuxResources } from './sandbox-service.ts';

// What container runtimes agree on for an unprivileged container (the default list of the OCI runtime configurations in use).
const defaultCapabilities = [
  'CAP_AUDIT_WRITE',
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_MKNOD',
  'CAP_NET_BIND_SERVICE',
  'CAP_NET_RAW',
  'CAP_SETFCAP',
  'CAP_SETGID',
  'CAP_SETPCAP',
  'CAP_SETUID',
  'CAP_SYS_CHROOT',
];

/** Every capability of Linux 6.1, in the kernel's order (capability.h). */
const allCapabilities = [
  ...['CHOWN', 'DAC_OVERRIDE', 'DAC_READ_SEARCH', 'FOWNER', 'FSETID', 'KILL', 'SETGID', 'SETUID', 'SETPCAP'],
  ...[
    'LINUX_IMMUTABLE',
    'NET_BIND_SERVICE',
    'NET_BROADCAST',
    'NET_ADMIN',
    'NET_RAW',
    'IPC_LOCK',
    'IPC_OWNER',
  ],
  ...[
    'SYS_MODULE',
    'SYS_RAWIO',
    'SYS_CHROOT',
    'SYS_PTRACE',
    'SYS_PACCT',
    'SYS_ADMIN',
    'SYS_BOOT',
    'SYS_NICE',
  ],
  ...[
    'SYS_RESOURCE',
    'SYS_TIME',
    'SYS_TTY_CONFIG',
    'MKNOD',
    'LEASE',
    'AUDIT_WRITE',
    'AUDIT_CONTROL',
    'SETFCAP',
  ],
  ...['MAC_OVERRIDE', 'MAC_ADMIN', 'SYSLOG', 'WAKE_ALARM', 'BLOCK_SUSPEND', 'AUDIT_READ', 'PERFMON', 'BPF'],
  'CHECKPOINT_RESTORE',
].map((name) => `CAP_${name}`);

const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Hidden from unprivileged containers unless the caller names its own list. */
export const defaultMaskedPaths: readonly string[] = [
  '/proc/acpi',
  '/proc/asound',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/sys/firmware',
];

export const defaultReadOnlyPaths: readonly string[] = [
  '/proc/bus',
  '/proc/fs',
  '/proc/irq',
  '/proc/sys',
  '/proc/sysrq-trigger',
];

/** The process of a container out of its image's configuration and its own (CRI: command replaces entrypoint, args replace cmd). Pure. */
export function containerProcess(config: ContainerConfig, image: ImageConfig, hostname: string): Process {
  const args = commandLine(config, image);
  if (args.length === 0)
    throw new PlatformError(
      'Invalid',
      `container ${config.metadata.name}: no command: neither the container nor image ${config.image} names one`,
    );
  const capabilities = capabilitiesOf(config.security);
  return Process.fromPartial({
    args,
    env: environment(config, image, hostname),
    cwd: config.workingDir !== '' ? config.workingDir : image.workingDir,
    terminal: config.tty,
    user: userOf(config.security, image.user),
    capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
    noNewPrivileges: config.security.noNewPrivileges,
    oomScoreAdj: config.resources.oomScoreAdj ?? 0,
  });
}

/** Arguments of the process; empty when neither side names any. Pure. */
export function commandLine(
  config: Pick<ContainerConfig, 'command' | 'args'>,
  image: Pick<ImageConfig, 'entrypoint' | 'command'>,
): string[] {
  if (config.command.length > 0) return [...config.command, ...config.args];
  return [...image.entrypoint, ...(config.args.length > 0 ? config.args : image.command)];
}

/** KEY=value, the container's over the image's over the defaults, each key once. Pure. */
export function environment(
  config: Pick<ContainerConfig, 'env' | 'tty'>,
  image: Pick<ImageConfig, 'env'>,
  hostname: string,
): string[] {
  const values = new Map<string, string>([
    ['PATH', defaultPath],
    ['HOSTNAME', hostname],
  ]);
  if (config.tty) values.set('TERM', 'xterm');
  for (const entry of image.env) {
    const equals = entry.indexOf('=');
    if (equals > 0) values.set(entry.slice(0, equals), entry.slice(equals + 1));
  }
  for (const { key, value } of config.env) values.set(key, value);
  return [...values].map(([key, value]) => `${key}=${value}`);
}

/** Pure. `ALL` stands for every capability; names are taken with and without CAP_. */
export function capabilitiesOf(
  security: Pick<ContainerSecurity, 'privileged' | 'addCapabilities' | 'dropCapabilities'>,
): string[] {
  if (security.privileged) return allCapabilities;
  const full = (name: string): string => {
    const upper = name.toUpperCase();
    return upper.startsWith('CAP_') ? upper : `CAP_${upper}`;
  };
  const added = security.addCapabilities.map(full);
  const dropped = new Set(security.dropCapabilities.map(full));
  const base = added.includes('CAP_ALL')
    ? allCapabilities
    : dropped.has('CAP_ALL')
      ? []
      : defaultCapabilities;
  // What is named on its own wins over ALL, on either side.
  const wanted = new Set([...base, ...added.filter((name) => name !== 'CAP_ALL')]);
  for (const name of dropped) if (name !== 'CAP_ALL' || !added.includes('CAP_ALL')) wanted.delete(name);
  const unknown = [...wanted].find((name) => !allCapabilities.includes(name));
  if (unknown !== undefined) throw new PlatformError('Invalid', `capability ${unknown} does not exist`);
  return allCapabilities.filter((name) => wanted.has(name));
}

function userOf(security: ContainerSecurity, imageUser: string): User {
  const name =
    security.runAsUser !== undefined
      ? String(security.runAsUser)
      : (security.runAsUserName ?? '') !== ''
        ? (security.runAsUserName ?? '')
        : imageUser;
  return User.fromPartial({
    // A number as a name has the guest look up its primary group, as for any user.
    name: name === '' ? '0' : name,
    gid: security.runAsGroup ?? 0,
    gidSet: security.runAsGroup !== undefined,
    supplementalGroups: [...security.supplementalGroups],
    strictGroups: security.strictGroups,
  });
}

/** Pure. Absent stays zero: not set. */
export function guestResources(resources: LinuxResources): Resources {
  return {
    cpuPeriodUs: BigInt(resources.cpuPeriodUs ?? 0),
    cpuQuotaUs: BigInt(resources.cpuQuotaUs ?? 0),
    cpuShares: BigInt(resources.cpuShares ?? 0),
    memoryLimitBytes: BigInt(resources.memoryLimitBytes ?? 0),
    pidsLimit: BigInt(resources.pidsLimit ?? 0),
    cpusetCpus: resources.cpusetCpus ?? '',
    memorySwapLimitBytes: BigInt(resources.memorySwapLimitBytes ?? 0),
  };
}

const firstRealTimeSignal = 34;
const lastRealTimeSignal = 64;

/** A signal by number or name, with or without SIG, SIGRTMIN+n too. Invalid when there is no such one. Pure. */
export function signalNumber(text: string): number {
  const name = text.trim().toUpperCase();
  if (/^\d+$/.test(name) && Number(name) >= 1 && Number(name) <= lastRealTimeSignal) return Number(name);
  const full = name.startsWith('SIG') ? name : `SIG${name}`;
  const known = (constants.signals as Readonly<Record<string, number>>)[full];
  if (known !== undefined) return known;
  const realTime = /^SIGRTM(IN|AX)(?:([+-])(\d+))?$/.exec(full);
  if (realTime !== null) {
    const base = realTime[1] === 'IN' ? firstRealTimeSignal : lastRealTimeSignal;
    const number = base + (realTime[2] === '-' ? -1 : 1) * Number(realTime[3] ?? 0);
    if (number >= firstRealTimeSignal && number <= lastRealTimeSignal) return number;
  }
  throw new PlatformError('Invalid', `signal ${JSON.stringify(text)} does not exist`);
}
