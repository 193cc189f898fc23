import { readdir, stat } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest';
import { run } from '@hypernetes/foundation/process';
import { installationAt } from '../../apps/hypernetes/config/installation.ts';
import { TestInstallation } from '../fixtures/installation.ts';
import { busyboxPod } from '../e2e/_cluster.ts';

/** What an installation could leave on a host; objects of other installations (their prefix says so) come and go by themselves. */
async function inventory(prefix: string): Promise<Readonly<Record<string, readonly string[]>>> {
  const lines = async (command: string, args: readonly string[]): Promise<readonly string[]> =>
    (await run(command, args)).stdout
      .toString()
      .split('\n')
      .map((line) => line.replace(/^\d+: /, '').trim())
      .filter((line) => line !== '' && !isOfAnother(line, prefix))
      .sort();
  return {
    namespaces: await lines('ip', ['netns', 'list']),
    links: (await lines('ip', ['-o', 'link', 'show'])).map((line) => line.split(':')[0]!),
    routes: await lines('ip', ['route', 'show', 'table', 'all']),
    tables: await lines('nft', ['list', 'tables']),
    mounts: await lines('cat', ['/proc/self/mounts']),
    run: (await readdir('/run')).sort(),
    memory: (await readdir('/dev/shm')).filter((name) => name.startsWith(`${prefix}-`)),
  };
}

function isOfAnother(line: string, prefix: string): boolean {
  const named = /\b(hn[0-9a-f]{0,4})(?:-|u)[0-9a-z]+/.exec(line);
  return named !== null && named[1] !== prefix;
}

async function processesNaming(text: string): Promise<readonly string[]> {
  const all = (await run('ps', ['-eo', 'pid,args'])).stdout.toString().split('\n');
  return all.filter((line) => line.includes(text) && !line.includes(' ps -eo'));
}

describe('up, status, doctor, down, down --purge', () => {
  let installation: TestInstallation;
  let prefix = '';
  let before: Awaited<ReturnType<typeof inventory>>;

  beforeAll(async () => {
    installation = await TestInstallation.create(['--registry-mirror', `docker.io=${inject('registryUrl')}`]);
    prefix = installationAt(installation.dataDir).instancePrefix;
    before = await inventory(prefix);
  });

  afterAll(async () => {
    await installation.try(['down', '--purge']);
  });

  it('up ends with the node Ready and the next commands', async () => {
    const said = await installation.up();
    expect(said).toContain('export KUBECONFIG=');
    expect(await installation.kubectl().run(['get', 'nodes'])).toMatch(/ Ready /);
  });

  it('a second up is a no-op, meant to take less than 2 seconds', async () => {
    const records = async (): Promise<string> =>
      (await run('sh', ['-c', `cat ${installation.dataDir}/run/*.json`])).stdout.toString();
    const before = await records();
    const begin = Date.now();
    expect(await installation.run(['up'])).toContain('already up');
    console.log(`second up: ${Date.now() - begin} ms`);
    expect(await records()).toBe(before);
  });

  it('status and doctor tell what runs', async () => {
    const status = JSON.parse(await installation.run(['status', '--json'])) as {
      daemons: { name: string; state: string }[];
    };
    expect(status.daemons.map((daemon) => `${daemon.name} ${daemon.state}`)).toEqual([
      'kubestackd running',
      'hyperd running',
      'server running',
      'node running',
    ]);
    const doctor = JSON.parse(await installation.run(['doctor', '--json'])) as {
      checks: { name: string; outcome: string; detail: string }[];
    };
    expect(doctor.checks.filter((check) => check.outcome === 'fail')).toEqual([]);
    expect(doctor.checks.find((check) => check.name === 'virtualisation')!.detail).toMatch(/kvm|tcg/i);
  });

  it('down keeps state: after the next up the objects are there and pods run again', async () => {
    const kubectl = installation.kubectl();
    await kubectl.apply(busyboxPod('keeper'));
    await kubectl.waitReady('default', 'keeper');
    await installation.run([
      'volume',
      'create',
      '--id',
      'c0ffee00-0000-4000-8000-000000000001',
      '--size',
      '16Mi',
    ]);
    await installation.run(['down']);
    expect(await processesNaming(installation.dataDir)).toEqual([]);
    const status = await installation.try(['status', '--json']);
    expect(status.exitCode).toBe(1);
    await installation.run(['up']);
    await kubectl.waitReady('default', 'keeper', 120);
    expect(await installation.run(['volume', 'list'])).toContain('c0ffee00-0000-4000-8000-000000000001');
  });

  it('down --purge leaves nothing behind', async () => {
    await installation.run(['down', '--purge']);
    expect(await processesNaming(installation.dataDir)).toEqual([]);
    expect(await inventory(prefix)).toEqual(before);
    await expect(stat(installation.dataDir)).rejects.toThrow('ENOENT');
  });
});
