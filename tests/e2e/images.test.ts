import { mkdtemp, readFile, rm, writeFile, cp } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '@hypernetes/foundation/process';
import { buildImages } from '../fixtures/images/index.ts';
import { busyboxPod, createNamespace, sharedInstallation, uniqueName } from './_cluster.ts';

describe('image load', () => {
  const installation = sharedInstallation();
  const kubectl = installation.kubectl();
  const namespace = uniqueName('images');
  const reference = `example.test/${uniqueName('loaded')}:v1`;
  let folder = '';

  beforeAll(async () => {
    folder = await mkdtemp('/tmp/hn-image.');
    await createNamespace(kubectl, namespace);
  });

  afterAll(async () => {
    await kubectl.try(['delete', 'namespace', namespace, '--timeout=60s']);
    await installation.try(['image', 'rm', reference]);
    await rm(folder, { recursive: true, force: true });
  });

  it('an OCI layout in a tar file becomes an image pods use without any registry', async () => {
    const busybox = (await buildImages()).find((layout) => layout.name === 'busybox')!;
    await cp(busybox.folder, join(folder, 'layout'), { recursive: true });
    const index = join(folder, 'layout', 'index.json');
    await writeFile(
      index,
      (await readFile(index, 'utf8')).replaceAll('docker.io/library/busybox:latest', reference),
    );
    await run('tar', ['-C', join(folder, 'layout'), '-cf', join(folder, 'image.tar'), '.']);
    await installation.run(['image', 'load', join(folder, 'image.tar')]);
    expect(await installation.run(['image', 'ls'])).toContain(reference);
    const pod = busyboxPod('loaded').replace(
      'image: busybox',
      `image: ${reference}\n    imagePullPolicy: Never`,
    );
    await kubectl.run(['apply', '-n', namespace, '-f', '-'], { input: pod });
    await kubectl.waitReady(namespace, 'loaded');
  });

  it('a file that is none and one that is not there are refused', async () => {
    await writeFile(join(folder, 'nonsense.tar'), 'this is no archive');
    const nonsense = await installation.try(['image', 'load', join(folder, 'nonsense.tar')]);
    expect(nonsense.exitCode).not.toBe(0);
    expect(nonsense.stderr).toMatch(/nonsense\.tar/);
    const missing = await installation.try(['image', 'load', join(folder, 'missing.tar')]);
    expect(missing.stderr).toMatch(/no such file/);
  });
});
