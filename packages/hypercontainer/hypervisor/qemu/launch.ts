import { chmod, stat } from 'node:fs/promises';
import { spawnDetached, type ProcessIdentity } from '@hypernetes/foundation/process';

export const qemuProgram = 'qemu-system-x86_64';

export interface LaunchOptions {
  readonly args: readonly string[];
  readonly uid: number;
  /** Supplementary groups: what lets the monitor open the accelerator or its template, and nothing else. */
  readonly groups: readonly number[];
  /** undefined: a network namespace of its own, with the tap made in it, which ends with the process. */
  readonly networkNamespace: string | undefined;
  readonly tapName: string;
  readonly logFile: string;
  readonly onExit?: () => void;
}

/**
 * Starts QEMU as an unprivileged user without capabilities, in the network namespace of its tap. It outlives this process. The programs before it
 * replace one another (exec), so the process number is QEMU's.
 */
export async function launchQemu(options: LaunchOptions): Promise<ProcessIdentity> {
  const [command, ...args] = launchCommand(options);
  return await spawnDetached(command, args, {
    logFile: options.logFile,
    ...(options.onExit === undefined ? {} : { onExit: options.onExit }),
  });
}

/** The whole command. Pure. */
export function launchCommand(options: LaunchOptions): readonly [string, ...string[]] {
  const groups = options.groups.length === 0 ? ['--clear-groups'] : [`--groups=${options.groups.join(',')}`];
  const unprivileged = [
    'setpriv',
    `--reuid=${options.uid}`,
    `--regid=${options.uid}`,
    ...groups,
    '--inh-caps=-all',
    '--bounding-set=-all',
    '--no-new-privs',
    '--',
    qemuProgram,
    ...options.args,
  ];
  if (options.networkNamespace !== undefined)
    return ['nsenter', `--net=${options.networkNamespace}`, '--', ...unprivileged];
  const script = 'ip tuntap add dev "$1" mode tap user "$2" && shift 2 && exec "$@"';
  return [
    'unshare',
    '--net',
    '--',
    'sh',
    '-c',
    script,
    'sh',
    options.tapName,
    `${options.uid}`,
    ...unprivileged,
  ];
}

/** Lets unprivileged monitors open taps, as udev's default rules do; on machines without udev the node is root's alone. */
export async function openTunDevice(): Promise<void> {
  const node = await stat('/dev/net/tun');
  if ((node.mode & 0o006) !== 0o006) await chmod('/dev/net/tun', 0o666);
}

/** Makes sure an unprivileged monitor can open /dev/kvm; answers the groups it needs for that. */
export async function openKvmDevice(): Promise<readonly number[]> {
  const node = await stat('/dev/kvm');
  if ((node.mode & 0o006) === 0o006) return [];
  if (node.gid === 0) {
    // The group root would open much more than this device.
    await chmod('/dev/kvm', 0o666);
    return [];
  }
  if ((node.mode & 0o060) !== 0o060) await chmod('/dev/kvm', 0o660);
  return [node.gid];
}
