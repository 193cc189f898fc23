import { existsSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { PlatformError } from '@hypernetes/foundation/errors';
import { run } from '@hypernetes/foundation/process';

interface DebianPackage {
  readonly name: string;
  /** Why it is there. */
  readonly purpose: string;
  /** A program that, when on the PATH, stands in for the package. */
  readonly providedBy?: string;
}

/** What `up` needs; docs/development/dependencies.md says more. */
export const runtimePackages: readonly DebianPackage[] = [
  { name: 'qemu-system-x86', purpose: 'virtual machine monitor' },
  { name: 'iproute2', purpose: 'interfaces, namespaces, taps' },
  { name: 'nftables', purpose: 'filters, NAT' },
  { name: 'haproxy', purpose: 'load balancers of tenant networks' },
  { name: 'util-linux', purpose: 'nsenter, setpriv' },
  { name: 'procps', purpose: 'sysctl' },
  { name: 'squashfs-tools', purpose: 'image layers' },
  { name: 'e2fsprogs', purpose: 'file systems of scratch disks and volumes' },
  { name: 'xfsprogs', purpose: 'xfs on volumes' },
  { name: 'zstd', purpose: 'zstd image layers' },
  { name: 'cpio', purpose: 'guest initramfs' },
  { name: 'kmod', purpose: 'guest module dependencies' },
  { name: 'build-essential', purpose: 'hyperstart (C), native npm modules' },
  { name: 'protobuf-c-compiler', purpose: 'hyperstart.v1 in C' },
  { name: 'libprotobuf-c-dev', purpose: 'hyperstart.v1 in C' },
  { name: 'kubernetes-client', purpose: 'kubectl', providedBy: 'kubectl' },
];

/** What `test` needs besides. */
export const testPackages: readonly DebianPackage[] = [
  { name: 'docker-registry', purpose: 'a real OCI registry for the tests' },
  { name: 'protobuf-compiler', purpose: 'regenerating proto/generated' },
  { name: 'git', purpose: 'style checks read the tracked files' },
  { name: 'curl', purpose: 'requests from outside the cluster' },
  { name: 'iputils-ping', purpose: 'reachability in network tests' },
  { name: 'python3', purpose: 'small servers in network tests' },
];

function onPath(program: string): boolean {
  return (process.env['PATH'] ?? '').split(':').some((folder) => existsSync(join(folder, program)));
}

export async function missingPackages(wanted: readonly DebianPackage[]): Promise<readonly string[]> {
  const candidates = wanted
    .filter((entry) => entry.providedBy === undefined || !onPath(entry.providedBy))
    .map((entry) => entry.name);
  const answer = await run('dpkg-query', ['-W', '-f', '${Package} ${db:Status-Status}\\n', ...candidates], {
    allowExitCodes: [1],
  });
  const installed = new Set(
    answer.stdout
      .toString('utf8')
      .split('\n')
      .filter((line) => line.endsWith(' installed'))
      .map((line) => line.split(' ')[0]),
  );
  return candidates.filter((name) => !installed.has(name));
}

/**
 * Installs Debian packages without starting the services some of them bring (haproxy, docker-registry): Debian's own way is a
 * policy-rc.d that says no, in place only meanwhile and only if the machine has none.
 */
export async function installPackages(names: readonly string[], logFile: string): Promise<void> {
  if (names.length === 0) return;
  const policy = '/usr/sbin/policy-rc.d';
  const ownPolicy = !existsSync(policy);
  await mkdir(dirname(logFile), { recursive: true });
  if (ownPolicy) await writeFile(policy, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  const environment = { DEBIAN_FRONTEND: 'noninteractive' };
  try {
    const update = await run('apt-get', ['update'], {
      timeoutMs: 300_000,
      env: environment,
      allowExitCodes: [100],
    });
    const install = await run('apt-get', ['install', '-y', '--no-install-recommends', ...names], {
      timeoutMs: 1_200_000,
      env: environment,
      allowExitCodes: [100],
    });
    await writeFile(
      logFile,
      Buffer.concat([update.stdout, Buffer.from(update.stderr), install.stdout, Buffer.from(install.stderr)]),
    );
    if (install.exitCode !== 0) {
      throw new PlatformError(
        'Precondition',
        `apt-get install ${names.join(' ')} failed: ${install.stderr.trim().split('\n').slice(-3).join(' ')}; whole log: ${logFile}`,
      );
    }
  } finally {
    if (ownPolicy) await rm(policy, { force: true });
  }
}
