import { constants } from 'node:fs';
import { access, statfs } from 'node:fs/promises';
import { totalmem, cpus } from 'node:os';
import type { Command } from 'commander';
import { toPlatformError } from '@hypernetes/foundation/errors';
import { runText } from '@hypernetes/foundation/process';
import { proveAccelerator } from '@hypernetes/hypercontainer/hypervisor';
import { defaultSettings, loadSettings, type Installation, type Settings } from '../config/installation.ts';
import { daemonNames, findRunningDaemon } from '../daemons/daemon-records.ts';
import { probeDaemon } from '../daemons/probe-daemon.ts';
import { formatTable } from '../output/table.ts';
import { createProgress } from '../output/progress.ts';
import { findGuest } from '../setup/guest.ts';
import { missingPackages, runtimePackages } from '../setup/packages.ts';
import { waitUntilNodeReady } from './readiness.ts';
import { installationOf, requireRoot } from './options.ts';

interface Finding {
  readonly outcome: 'ok' | 'warn' | 'fail';
  readonly detail: string;
  /** What to do, when not ok. */
  readonly remedy?: string;
}

interface Check {
  readonly name: string;
  readonly examine: (installation: Installation, settings: Settings) => Promise<Finding>;
}

const ok = (detail: string): Finding => ({ outcome: 'ok', detail });
const warn = (detail: string, remedy: string): Finding => ({ outcome: 'warn', detail, remedy });
const fail = (detail: string, remedy: string): Finding => ({ outcome: 'fail', detail, remedy });

const gibibyte = 2 ** 30;

const checks: readonly Check[] = [
  {
    name: 'machine',
    examine: () => {
      const memory = totalmem() / gibibyte;
      const detail = `${cpus().length} cpus, ${memory.toFixed(1)} GiB memory`;
      return Promise.resolve(
        memory < 2 ? warn(detail, 'two GiB are the least for a handful of pods') : ok(detail),
      );
    },
  },
  {
    name: 'packages',
    examine: async () => {
      const missing = await missingPackages(runtimePackages);
      return missing.length === 0
        ? ok('all there')
        : fail(`missing: ${missing.join(', ')}`, 'sudo ./hypernetes up installs them');
    },
  },
  {
    name: 'disk',
    examine: async (installation) => {
      const { bavail, bsize } = await statfs(installation.dataDir);
      const free = (bavail * bsize) / gibibyte;
      const detail = `${free.toFixed(1)} GiB free at ${installation.dataDir}`;
      return free < 5
        ? warn(detail, 'images and volumes need room: free some, or choose another --data-dir')
        : ok(detail);
    },
  },
  {
    name: 'tun',
    examine: async () => {
      try {
        await access('/dev/net/tun', constants.R_OK | constants.W_OK);
        return ok('/dev/net/tun can be opened');
      } catch {
        return fail('/dev/net/tun cannot be opened', 'modprobe tun, or give this machine the device');
      }
    },
  },
  {
    name: 'firewall',
    examine: async () => {
      try {
        return ok((await runText('nft', ['--version'])).trim());
      } catch (error) {
        return fail(toPlatformError(error).message, "the kernel needs nf_tables and Debian's nftables");
      }
    },
  },
  {
    name: 'guest',
    examine: async (installation) => {
      const guest = await findGuest(installation);
      return guest === undefined
        ? fail('no guest kernel in the cache', 'sudo ./hypernetes up')
        : ok(`kernel ${guest.kernelRelease}`);
    },
  },
  {
    name: 'virtualisation',
    examine: async (installation) => {
      const proof = await proveAccelerator({ cacheDir: installation.cacheDir, again: true });
      if (proof.accelerator === 'kvm') return ok('kvm: a guest booted with it');
      return warn(
        `tcg: ${proof.reason}`,
        'pods run emulated: isolated all the same, several times slower. KVM needs a host that lets ordinary guests run',
      );
    },
  },
  ...daemonNames.map((name): Check => ({
    name,
    examine: async (installation, settings) => {
      const record = await findRunningDaemon(installation, name);
      if (record === undefined)
        return fail('does not run', `sudo ./hypernetes up; its log: ${installation.logsDir}/${name}.log`);
      return (await probeDaemon(installation, settings, name))
        ? ok(`answers, process ${record.pid}`)
        : fail(
            `process ${record.pid} does not answer`,
            `see ${installation.logsDir}/${name}.log; kill -9 ${record.pid} and sudo ./hypernetes up lose nothing`,
          );
    },
  })),
  {
    name: 'node',
    examine: async (installation, settings) => {
      await waitUntilNodeReady(installation, settings, 5_000);
      return ok('Ready');
    },
  },
];

export function addDoctor(program: Command): void {
  program
    .command('doctor')
    .description('what is wrong, and what to do about it')
    .option('--json', 'as JSON')
    .action(async (options: { json?: boolean }, command: Command) => {
      requireRoot('doctor');
      const installation = installationOf(command);
      const findings = await examineAll(installation, options.json === true);
      if (options.json === true) console.log(JSON.stringify({ checks: findings }, undefined, 2));
      else {
        const rows = findings.map((finding) => [finding.outcome, finding.name, finding.detail]);
        console.log(formatTable(['', 'CHECK', 'FINDING'], rows));
        for (const finding of findings)
          if (finding.remedy !== undefined) console.log(`\n${finding.name}: ${finding.remedy}`);
      }
      process.exitCode = findings.some((finding) => finding.outcome === 'fail') ? 1 : 0;
    });
}

async function examineAll(
  installation: Installation,
  quiet: boolean,
): Promise<readonly (Finding & { readonly name: string })[]> {
  const settings = (await loadSettings(installation)) ?? defaultSettings;
  const progress = createProgress();
  const findings: (Finding & { readonly name: string })[] = [];
  for (const check of checks) {
    const examine = async (): Promise<Finding> => {
      try {
        return await check.examine(installation, settings);
      } catch (error) {
        return fail(toPlatformError(error).message, 'see above');
      }
    };
    // Booting a guest takes seconds: say so.
    const slow = check.name === 'virtualisation' && !quiet;
    const finding = slow ? await progress.step('booting a guest to prove KVM', examine) : await examine();
    findings.push({ name: check.name, ...finding });
  }
  return findings;
}
