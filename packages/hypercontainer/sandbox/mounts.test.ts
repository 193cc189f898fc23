import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseVolumePath, resolveMount } from './mounts.ts';

const podUid = 'u1';
let folder: string;
let pod: string;
let registry: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hn-mounts-'));
  pod = join(folder, 'pods', podUid);
  registry = join(folder, 'direct-volumes');
  await mkdir(registry, { recursive: true });
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

const resolve = (hostPath: string) =>
  resolveMount({ containerPath: '/x', hostPath, readOnly: false, propagation: 'private' }, podUid, registry);

const volume = (plugin: string, name: string) => join(pod, 'volumes', `kubernetes.io~${plugin}`, name);

describe('parseVolumePath', () => {
  it('knows volume folders and paths in them', () => {
    expect(parseVolumePath('/p/volumes/kubernetes.io~empty-dir/a/b/c')).toMatchObject({
      plugin: 'empty-dir',
      volumeName: 'a',
      subPath: 'b/c',
    });
    expect(parseVolumePath('/etc')).toBeUndefined();
    expect(parseVolumePath('/p/volumes/kubernetes.io~empty-dir/a/../../x')).toBeUndefined();
  });
});

describe('resolveMount', () => {
  it('finds a direct volume, also under a path in it', async () => {
    const path = volume('cinder', 'data');
    const name = createHash('sha256').update(path).digest('hex');
    await writeFile(
      join(registry, `${name}.json`),
      JSON.stringify({ volumeId: 'v', fsType: '', tenantId: 't' }),
    );
    expect(await resolve(path)).toEqual({
      kind: 'directVolume',
      volume: { volumeId: 'v', fsType: 'ext4', readOnly: false, tenantId: 't' },
      subPath: '',
    });
    expect(await resolve(join(path, 'sub/dir'))).toMatchObject({ kind: 'directVolume', subPath: 'sub/dir' });
  });

  it('tells emptyDirs on disk from those in memory', async () => {
    await mkdir(volume('empty-dir', 'disk'), { recursive: true });
    await mkdir(volume('empty-dir', 'memory'), { recursive: true });
    await writeFile(join(volume('empty-dir', 'memory'), '.medium-memory'), '');
    expect(await resolve(volume('empty-dir', 'disk'))).toMatchObject({ kind: 'emptyDir', inMemory: false });
    expect(await resolve(volume('empty-dir', 'memory'))).toMatchObject({ id: 'memory', inMemory: true });
  });

  it('pushes volume folders and files of the pod', async () => {
    expect(await resolve(volume('secret', 's'))).toMatchObject({ kind: 'folder', inMemory: true });
    expect(await resolve(volume('configmap', 'c'))).toMatchObject({ kind: 'folder', inMemory: false });
    const hosts = join(pod, 'etc-hosts');
    const termination = join(pod, 'containers', 'app', '0');
    for (const path of [hosts, termination]) {
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, '');
    }
    expect(await resolve(hosts)).toEqual({ kind: 'file', hostPath: hosts, writeBack: false });
    expect(await resolve(termination)).toEqual({ kind: 'file', hostPath: termination, writeBack: true });
  });

  it('refuses the volumes of another pod, which a hostPath can name', async () => {
    for (const plugin of ['secret', 'configmap', 'projected', 'empty-dir']) {
      const other = join(folder, 'pods', 'u2', 'volumes', `kubernetes.io~${plugin}`, 'v');
      await mkdir(other, { recursive: true });
      await writeFile(join(other, 'token'), 'of another');
      // Also through a path that holds this pod's identifier somewhere.
      const disguised = join(pod, 'x', other);
      await mkdir(disguised, { recursive: true });
      for (const path of [other, join(other, 'token'), disguised])
        await expect(resolve(path), path).rejects.toMatchObject({ reason: 'Invalid' });
    }
  });

  it('refuses everything else of the host', async () => {
    await mkdir(pod, { recursive: true });
    await symlink('/etc/passwd', join(pod, 'link'));
    await writeFile(join(pod, 'big'), Buffer.alloc((1 << 20) + 1));
    await writeFile(join(folder, 'outside'), '');
    for (const path of [
      '/etc',
      '/var/run/docker.sock',
      join(pod, 'link'),
      join(pod, 'big'),
      join(pod, '..', '..', 'outside'),
      join(folder, 'outside'),
    ])
      await expect(resolve(path), path).rejects.toMatchObject({ reason: 'Invalid' });
  });
});
