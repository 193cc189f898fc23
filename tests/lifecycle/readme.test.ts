import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import { run } from '@hypernetes/foundation/process';
import { freePort } from '../fixtures/installation.ts';

const root = join(import.meta.dirname, '..', '..');

/** The command blocks of a page in order; the test command itself is what continuous integration runs. */
function commandBlocks(page: string): readonly string[] {
  return [...page.matchAll(/(<!-- run by: continuous integration -->\n)?```sh\n([\s\S]*?)```/g)]
    .filter((match) => {
      if (match[1] === undefined) return true;
      expect(match[2]).toBe('sudo ./hypernetes test\n'); // nothing else may be left out
      return false;
    })
    .map((match) => match[2]!);
}

let dataDir = '';
let bin = '';

beforeAll(async () => {
  dataDir = await mkdtemp('/tmp/hn-readme.');
  bin = await mkdtemp('/tmp/hn-bin.');
  // Where the tests run there may be no sudo: they are root already.
  await writeFile(join(bin, 'sudo'), '#!/bin/sh\nexec "$@"\n');
  await chmod(join(bin, 'sudo'), 0o755);
  // What a reader with a registry mirror of their own would have given once: there is no internet here.
  await mkdir(dataDir, { recursive: true });
  await writeFile(
    join(dataDir, 'config.json'),
    JSON.stringify({
      registryMirrors: { 'docker.io': inject('registryUrl') },
      apiPort: await freePort(),
      kubeletPort: await freePort(),
    }),
  );
});

afterAll(async () => {
  await run(join(root, 'hypernetes'), ['--data-dir', dataDir, 'down', '--purge'], { timeoutMs: 120_000 });
  await rm(dataDir, { recursive: true, force: true });
  await rm(bin, { recursive: true, force: true });
});

it('every command block of the README runs, in order, and ends with what the page shows', async () => {
  const blocks = commandBlocks(await readFile(join(root, 'README.md'), 'utf8'));
  expect(blocks.length).toBeGreaterThan(4);
  const script = blocks.map((block, index) => `echo "@@ block ${index}"\n${block}`).join('\n');
  const result = await run('bash', ['-euo', 'pipefail', '-c', script], {
    cwd: root,
    timeoutMs: 600_000,
    env: { HYPERNETES_DATA_DIR: dataDir, PATH: `${bin}:${process.env['PATH'] ?? ''}` },
  });
  const output = result.stdout.toString();
  if (process.env['HYPERNETES_README_OUTPUT'] !== undefined)
    await writeFile(process.env['HYPERNETES_README_OUTPUT'], output);
  expect(output).toContain('Hypernetes is up');
  expect(output).toMatch(/net1 +192\.168\.0\.0\/24 +065f210a2ca9442aad898ab129426350 +Active/);
  expect(output).toMatch(/pod\/nginx +1\/1 +Running/);
  expect(output).toMatch(/service\/nginx +LoadBalancer +10\.96\.\d+\.\d+ +172\.30\.0\.10 +80/);
  expect(output).toMatch(/\/var\/lib\/nginx ext4/);
  expect(output).toContain('<title>');
  expect(output).toContain('kubestackd   running');
  expect(output).toContain('Hypernetes is gone');
}, 900_000);
