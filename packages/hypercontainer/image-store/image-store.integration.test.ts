import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runText } from '@hypernetes/foundation/process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildImages, type OciLayout } from '../../../tests/fixtures/images/index.ts';
import { startTestRegistry, type RunningRegistry } from '../../../tests/fixtures/registry/index.ts';
import { createImageStore } from './index.ts';
import type { ImageStore } from './image-store.ts';

let folder: string;
let images: readonly OciLayout[];
let registry: RunningRegistry;
let stores = 0;

async function openStore(
  dataDir = join(folder, `store-${stores++}`),
  url = registry.url,
): Promise<ImageStore> {
  return await createImageStore({ dataDir, registryMirrors: { 'docker.io': [url] }, attempts: 2 });
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'image-store-'));
  images = await buildImages();
  registry = await startTestRegistry(images);
});

afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

describe('images of a real docker-registry', () => {
  test('nginx through a mirror of docker.io', async () => {
    await using store = await openStore();
    const progress: number[] = [];
    const image = await store.pull('nginx', { onProgress: (at) => progress.push(at.downloadedBytes) });
    expect(image.references).toEqual(['docker.io/library/nginx:latest']);
    expect(image.digests[0]).toMatch(/^docker.io\/library\/nginx@sha256:[0-9a-f]{64}$/);
    expect(image.config.entrypoint).toEqual(['/usr/sbin/nginx']);
    expect(progress.at(-1)).toBeGreaterThan(1_000_000);
    const [layer] = image.layers;
    expect((await stat(layer!.path)).mode & 0o777).toBe(0o644);
    const listing = await runText('unsquashfs', ['-lln', layer!.path]);
    expect(listing).toMatch(/^-rwxr-xr-x 0\/0 .*squashfs-root\/usr\/sbin\/nginx$/m);
    expect(listing).toMatch(/^drwxrwxrwt 0\/0 .*squashfs-root\/tmp$/m);
    expect(store.find('nginx')?.id).toBe(image.id);
    expect(store.find(image.id.slice(0, 19))?.id).toBe(image.id);
    expect(store.find(image.digests[0]!)?.id).toBe(image.id);
  });
});
