import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { build } from 'esbuild';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { sleep, waitFor } from '@hypernetes/foundation/lifecycle';
import { runText, spawnChild, type ChildProcess } from '@hypernetes/foundation/process';
import { SandboxFixture } from './testing/sandbox-fixture.ts';

let fixture: SandboxFixture;
let daemonPath: string;

beforeAll(async () => {
  fixture = await SandboxFixture.create();
  daemonPath = join(fixture.folder, 'daemon.mjs');
  await build({
    entryPoints: [join(import.meta.dirname, 'testing', 'crash-child.ts')],
    outfile: daemonPath,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'error',
    external: ['esbuild'],
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
  });
  // The template is made here, so that the daemons die in the steps after it.
  await using service = await fixture.open();
  await service.removeSandbox(await service.runSandbox(fixture.sandboxConfig('warm')));
});

afterAll(async () => {
  await fixture.remove();
});

function startDaemon(command: string): ChildProcess {
  return spawnChild(process.execPath, [daemonPath, fixture.folder, fixture.prefix, command], {
    stdio: 'ignore',
  });
}

async function kill(daemon: ChildProcess): Promise<void> {
  expect(daemon.exitCode, 'the daemon ended by itself').toBeNull();
  const gone = new Promise((resolve) => daemon.once('exit', resolve));
  daemon.kill('SIGKILL');
  await gone;
}

async function monitors(): Promise<number> {
  const all = await runText('pgrep', ['-f', `guest=${fixture.prefix}-`]).catch(() => '');
  return all.split('\n').filter((line) => line !== '').length;
}

test('a killed daemon loses and doubles no line of a log, and stops nothing', async () => {
  const daemon = startDaemon('i=0; while :; do i=$((i+1)); echo $i; done');
  const log = join(
    fixture.folder,
    'logs',
    `crash-${String(daemon.pid)}`,
    `crash-${String(daemon.pid)}`,
    '0.log',
  );
  const lines = async () => (await readFile(log, 'utf8').catch(() => '')).split('\n').slice(0, -1);
  await waitFor('output', { timeoutMs: 30_000, intervalMs: 10 }, async () => (await lines()).length > 500);
  await kill(daemon);
  const before = (await lines()).length;
  await using service = await fixture.open();
  const [container] = service.listContainers();
  expect(container?.state).toBe('running');
  await waitFor(
    'more output',
    { timeoutMs: 30_000, intervalMs: 10 },
    async () => (await lines()).length > before + 500,
  );
  await service.stopContainer(container!.id, 0);
  const numbers = (await lines()).map((line) => Number(line.split(' ').at(-1)));
  expect(numbers.findIndex((number, index) => number !== index + 1)).toBe(-1);
  await service.removeSandbox(container!.sandboxId);
  expect(await monitors()).toBe(0);
});

test('a daemon killed while it starts a sandbox leaves a whole one or none', async () => {
  for (const delayMs of [700, 850, 1_000, 1_200]) {
    const daemon = startDaemon('sleep 100000');
    await sleep(delayMs);
    await kill(daemon);
    await using service = await fixture.open();
    const found = await waitFor(
      `an end of the half made after ${delayMs} ms`,
      { timeoutMs: 20_000, intervalMs: 50 },
      async () => {
        const sandboxes = service.listSandboxes();
        return (await monitors()) === sandboxes.length ? sandboxes : undefined;
      },
      () => service.listSandboxes().length,
    );
    for (const sandbox of found) {
      expect(sandbox.state).toBe('ready');
      await service.removeSandbox(sandbox.id);
    }
    expect(await monitors()).toBe(0);
    const folders = [join(fixture.folder, 'data', 'hyperd', 'sandboxes'), join(fixture.folder, 'run', 'vm')];
    await waitFor('nothing left', { timeoutMs: 10_000, intervalMs: 50 }, async () => {
      const left = (await runText('ls', folders)).split('\n');
      return left.every((line) => !/^[0-9a-f]{12,}/.test(line));
    });
  }
});
