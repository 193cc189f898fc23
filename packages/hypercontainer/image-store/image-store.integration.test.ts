import { createHash } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { run, runText } from '@hypernetes/foundation/process';
import { waitFor } from '@hypernetes/foundation/lifecycle';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import {
  blobPath,
  buildImages,
  readTopDescriptor,
  writeOciLayout,
  type OciLayout,
} from '../../../tests/fixtures/images/index.ts';
import {
  pushLayout,
  startRegistry,
  startTestRegistry,
  type RunningRegistry,
} from '../../../tests/fixtures/registry/index.ts';
import { createImageStore, type ImageStoreOptions } from './index.ts';
import type { ImageStore } from './image-store.ts';
import type { TarEntry } from './tar-entry.ts';
import { encodeTarHeader, tarEnd, tarPadding } from './tar-writer.ts';

let folder: string;
let images: readonly OciLayout[];
let registry: RunningRegistry;
let count = 0;

const fresh = (): string => join(folder, `store-${count++}`);

async function openStore(options: Partial<ImageStoreOptions> = {}): Promise<ImageStore> {
  const registryMirrors = { 'docker.io': [registry.url] };
  return await createImageStore({ dataDir: fresh(), registryMirrors, attempts: 2, ...options });
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

/** A layer archive of the given members. */
function layerOf(...members: [Partial<TarEntry> & { name: string }, string?][]): Buffer {
  const parts = members.flatMap(([given, text = '']) => {
    const content = Buffer.from(text);
    const entry: TarEntry = {
      kind: given.name.endsWith('/') ? 'directory' : 'file',
      linkName: '',
      mode: given.name.endsWith('/') ? 0o755 : 0o644,
      uid: 0,
      gid: 0,
      modifiedAt: 0,
      deviceMajor: 0,
      deviceMinor: 0,
      xattrs: new Map(),
      ...given,
      sizeBytes: content.length,
    };
    return [encodeTarHeader(entry), content, tarPadding(content.length)];
  });
  return Buffer.concat([...parts, tarEnd]);
}

async function push(name: string, layers: readonly Buffer[], to = registry): Promise<OciLayout> {
  const layout = await writeOciLayout(name, join(folder, `layout-${count++}`), layers, {});
  await pushLayout({ url: to.url, repository: `library/${name}`, tag: 'latest' }, layout);
  return layout;
}

/** Extended attributes and types as the kernel sees them, read from a loop mount by python (Node has no call for them). */
async function inspect(
  imagePath: string,
): Promise<Record<string, { type: string; xattrs: Record<string, string>; links: number }>> {
  const mountPoint = await mkdtemp(join(folder, 'mount-'));
  await run('mount', ['-o', 'loop,ro', imagePath, mountPoint]);
  try {
    const script = `
import json, os, stat, sys
found = {}
for root, directories, files in os.walk(sys.argv[1]):
    for name in directories + files:
        path = os.path.join(root, name)
        status = os.lstat(path)
        xattrs = {key: os.getxattr(path, key, follow_symlinks=False).hex() for key in os.listxattr(path, follow_symlinks=False)}
        kind = stat.filemode(status.st_mode)
        if kind.startswith('c'): kind += ' %d/%d' % (os.major(status.st_rdev), os.minor(status.st_rdev))
        found[os.path.relpath(path, sys.argv[1])] = {'type': kind, 'xattrs': xattrs, 'links': status.st_nlink}
print(json.dumps(found))`;
    return JSON.parse(await runText('python3', ['-c', script, mountPoint])) as never;
  } finally {
    await run('umount', [mountPoint]);
  }
}

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

  test('survives being opened again; a digest that is here asks nobody', async () => {
    const dataDir = fresh();
    const first = await openStore({ dataDir });
    const { digests, id } = await first.pull('busybox');
    await first[Symbol.asyncDispose]();
    await writeFile(join(dataDir, 'layers', 'left-behind.squashfs.tmp'), 'half');
    await using second = await openStore({
      dataDir,
      registryMirrors: { 'docker.io': ['http://127.0.0.1:1'] },
    });
    expect(second.find('busybox')?.id).toBe(id);
    expect((await second.pull(digests[0]!)).id).toBe(id);
    expect(await readdir(join(dataDir, 'layers'))).not.toContain('left-behind.squashfs.tmp');
  });

  test('pulled by many at once, each layer is made once', async () => {
    await using store = await openStore();
    const downloaded: number[] = [];
    const pulls = Array.from({ length: 5 }, async () => {
      let bytes = 0;
      await store.pull('busybox', { onProgress: (at) => (bytes = at.downloadedBytes) });
      downloaded.push(bytes);
    });
    await Promise.all(pulls);
    expect(downloaded.filter((bytes) => bytes > 0)).toHaveLength(1);
    expect((await store.usage()).inodesUsed).toBe(1);
  });

  test('an image that does not exist', async () => {
    await using store = await openStore();
    await expect(store.pull(`${registry.host}/library/nope:v9`)).rejects.toMatchObject({
      reason: 'NotFound',
      message: expect.stringMatching(`^${registry.host}/library/nope:v9: not found`),
    });
  });

  test('a registry that is down', async () => {
    await using store = await openStore();
    await expect(store.pull('127.0.0.1:1/busybox')).rejects.toMatchObject({
      reason: 'Unavailable',
      message: expect.stringMatching(
        /^127\.0\.0\.1:1\/busybox:latest: registry 127\.0\.0\.1:1: connect ECONNREFUSED/,
      ),
    });
  });

  test('a mirror that is down is passed over', async () => {
    await using store = await openStore({
      registryMirrors: { 'docker.io': ['http://127.0.0.1:1', registry.url] },
    });
    expect((await store.pull('busybox')).references).toEqual(['docker.io/library/busybox:latest']);
  });
});

describe('layers', () => {
  test('as the kernel sees them', async () => {
    const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex');
    const lower = layerOf([{ name: 'etc/' }], [{ name: 'etc/removed' }, 'x']);
    const upper = layerOf(
      [{ name: 'etc/' }],
      [{ name: 'etc/.wh.removed' }],
      [{ name: 'opaque/' }],
      [{ name: 'opaque/.wh..wh..opq' }],
      [{ name: 'ping', mode: 0o4755, xattrs: new Map([['security.capability', capability]]) }, 'binary'],
      [{ name: 'hard', kind: 'link', linkName: 'ping' }],
      [{ name: 'soft', kind: 'symlink', linkName: '/etc' }],
      [{ name: 'hardsoft', kind: 'link', linkName: 'soft' }],
      [{ name: 'pipe', kind: 'fifo' }],
      [{ name: 'null', kind: 'characterDevice', deviceMajor: 1, deviceMinor: 3, mode: 0o666 }],
      [{ name: 'bad\xff', xattrs: new Map([['trusted.overlay.redirect', Buffer.from('/etc')]]) }],
    );
    await push('layers', [lower, upper]);
    await using store = await openStore();
    const { layers } = await store.pull('layers');
    expect(layers).toHaveLength(2);
    const found = await inspect(layers[1]!.path);
    expect(found['etc/removed']).toMatchObject({ type: 'c--------- 0/0' });
    expect(found['opaque']).toMatchObject({ type: 'drwxr-xr-x', xattrs: { 'trusted.overlay.opaque': '79' } });
    expect(found['ping']).toMatchObject({
      type: '-rwsr-xr-x',
      links: 2,
      xattrs: { 'security.capability': capability.toString('hex') },
    });
    expect(found['hard']?.links).toBe(2);
    expect(found['soft']?.type).toBe('lrwxrwxrwx');
    expect(found['hardsoft']?.type).toBe('lrwxrwxrwx');
    expect(found['pipe']?.type).toMatch(/^p/);
    expect(found['null']?.type).toBe('crw-rw-rw- 1/3');
    expect(found['bad\udcff']).toMatchObject({ xattrs: {} });
  });

  test('without compression, with gzip, with zstd: the same layer', async () => {
    const layer = layerOf([{ name: 'f' }, 'text']);
    const zstd = (await run('zstd', ['-cq'], { input: layer })).stdout;
    for (const blob of [layer, gzipSync(layer), zstd]) {
      const { url, close } = await serve(imageFiles(layer, blob));
      await using store = await openStore({ registryMirrors: { 'docker.io': [url] } });
      const { layers } = await store.pull('served');
      expect((await inspect(layers[0]!.path))['f']).toMatchObject({ type: '-rw-r--r--' });
      await close();
    }
  });

  test('shared by two images; collected with the last one, unless something uses them', async () => {
    const base = layerOf([{ name: 'base' }, 'b']);
    await push('one', [base, layerOf([{ name: 'one' }, '1'])]);
    await push('two', [base, layerOf([{ name: 'two' }, '2'])]);
    await using store = await openStore();
    const one = await store.pull('one');
    const two = await store.pull('two');
    expect(one.layers[0]).toEqual(two.layers[0]);
    expect((await store.usage()).inodesUsed).toBe(3);
    store.retain(two.id, 'container:1');
    await store.remove('one');
    await store.remove(two.id);
    expect(store.list()).toEqual([]);
    expect((await store.usage()).inodesUsed).toBe(2);
    await stat(two.layers[1]!.path);
    store.release('container:1');
    await waitFor(
      'the layers to go',
      { timeoutMs: 5_000 },
      async () => (await store.usage()).inodesUsed === 0,
    );
    await expect(stat(two.layers[1]!.path)).rejects.toThrow();
    await store.remove('never-was');
  });

  test('a tag that moves leaves the old image its digest', async () => {
    await push('moving', [layerOf([{ name: 'old' }])]);
    await using store = await openStore();
    const old = await store.pull('moving');
    await push('moving', [layerOf([{ name: 'new' }])]);
    const now = await store.pull('moving');
    expect(now.id).not.toBe(old.id);
    expect(store.find(old.id)).toMatchObject({ references: [], digests: old.digests });
    expect(store.find('moving')?.id).toBe(now.id);
  });
});

describe('credentials', () => {
  let closed: RunningRegistry;

  beforeAll(async () => {
    // htpasswd -Bbn user secret
    const htpasswd = await runText('python3', [
      '-c',
      'import crypt; print("user:" + crypt.crypt("secret", "$2b$05$abcdefghijklmnopqrstuu"))',
    ]);
    closed = await startRegistry(join(folder, 'closed-registry'), { htpasswd });
    const [busybox] = images;
    const target = { url: closed.url, repository: 'private/busybox', tag: '1' };
    await pushLayout({ ...target, username: 'user', password: 'secret' }, busybox!);
  });

  afterAll(async () => {
    await closed[Symbol.asyncDispose]();
  });

  test('basic', async () => {
    await using store = await openStore();
    const name = `${closed.host}/private/busybox:1`;
    await expect(store.pull(name)).rejects.toMatchObject({ reason: 'Unauthenticated' });
    const wrong = store.pull(name, { auth: { username: 'user', password: 'wrong' } });
    await expect(wrong).rejects.toMatchObject({
      reason: 'Unauthenticated',
      message: expect.not.stringContaining('wrong-password'),
    });
    const image = await store.pull(name, { auth: { username: 'user', password: 'secret' } });
    expect(image.references).toEqual([name]);
  });
});

type Answer = (request: IncomingMessage, response: ServerResponse) => void;
const servers: (() => Promise<void>)[] = [];

afterEach(async () => {
  for (const close of servers.splice(0)) await close();
});

/** A registry that answers what it is told: path to answer. */
async function serve(
  answers: Record<string, Answer | Buffer>,
): Promise<{ url: string; requests: IncomingMessage[]; close: () => Promise<void> }> {
  const requests: IncomingMessage[] = [];
  const server = createServer((request, response) => {
    requests.push(request);
    const answer = answers[(request.url ?? '').split('?')[0] ?? ''];
    if (answer === undefined) response.writeHead(404).end();
    else if (Buffer.isBuffer(answer)) response.end(answer);
    else answer(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  servers.push(close);
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests, close };
}

const digest = (bytes: Buffer): string => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

/** The answers for an image `served` of one layer. */
function imageFiles(
  layer: Buffer,
  blob: Buffer,
  change: { config?: object; manifest?: object; diffId?: string } = {},
): Record<string, Buffer> & { readonly layerPath: never } {
  const config = Buffer.from(
    JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      config: {},
      rootfs: { type: 'layers', diff_ids: [change.diffId ?? digest(layer)] },
      ...change.config,
    }),
  );
  const descriptor = (bytes: Buffer): object => ({
    mediaType: 'x',
    digest: digest(bytes),
    size: bytes.length,
  });
  const manifest = {
    schemaVersion: 2,
    config: descriptor(config),
    layers: [descriptor(blob)],
    ...change.manifest,
  };
  return {
    '/v2/library/served/manifests/latest': Buffer.from(JSON.stringify(manifest)),
    [`/v2/library/served/blobs/${digest(config)}`]: config,
    [`/v2/library/served/blobs/${digest(blob)}`]: blob,
  } as never;
}

describe('registries that err or lie', () => {
  const layer = layerOf([{ name: 'f' }, 'x'.repeat(100_000)]);
  const blob = gzipSync(layer, { level: 0 });
  const blobUrl = `/v2/library/served/blobs/${digest(blob)}`;

  async function pullFrom(
    answers: Record<string, Answer | Buffer>,
    options: Partial<ImageStoreOptions> = {},
  ): Promise<{ store: ImageStore; dataDir: string; requests: IncomingMessage[]; pull: Promise<unknown> }> {
    const { url, requests } = await serve(answers);
    const dataDir = fresh();
    const store = await openStore({ dataDir, ...options });
    return { store, dataDir, requests, pull: store.pull(`${url.slice('http://'.length)}/library/served`) };
  }

  async function leavesNothing(dataDir: string): Promise<void> {
    expect((await readdir(join(dataDir, 'layers'))).filter((name) => name !== 'downloads')).toEqual([]);
  }

  test.each<[string, Record<string, Answer | Buffer>, RegExp]>([
    ['corrupt blob', { ...imageFiles(layer, blob), [blobUrl]: Buffer.alloc(blob.length) }, /is corrupt/],
    [
      'blob longer than said',
      { ...imageFiles(layer, blob), [blobUrl]: Buffer.concat([blob, blob]) },
      /is corrupt/,
    ],
    [
      'wrong diffID',
      imageFiles(layer, blob, { diffId: digest(Buffer.from('other')) }),
      /the image says its content is/,
    ],
    ['broken gzip', imageFiles(layer, blob.subarray(0, 5_000)), /gzip/],
    [
      'layer that leaves its root',
      imageFiles(layerOf([{ name: '../x' }]), layerOf([{ name: '../x' }])),
      /leaves the layer/,
    ],
    [
      'layers that do not match',
      imageFiles(layer, blob, { manifest: { layers: [] } }),
      /names 1 layers, the manifest 0/,
    ],
    [
      'malformed manifest',
      { '/v2/library/served/manifests/latest': Buffer.from('{"schemaVersion":2') },
      /not JSON/,
    ],
    [
      'manifest that is two things',
      imageFiles(layer, blob, { manifest: { manifests: [] } }),
      /or both at once/,
    ],
    ['schema 1', { '/v2/library/served/manifests/latest': Buffer.from('{"schemaVersion":1}') }, /schema 1/],
    [
      'manifest without end',
      { '/v2/library/served/manifests/latest': Buffer.alloc(5 << 20, ' ') },
      /larger than/,
    ],
  ])('%s', async (_title, answers, message) => {
    const { store, dataDir, pull } = await pullFrom(answers);
    await expect(pull).rejects.toMatchObject({ reason: 'Invalid', message: expect.stringMatching(message) });
    await leavesNothing(dataDir);
    expect(store.list()).toEqual([]);
    await store[Symbol.asyncDispose]();
  });

  test('another platform', async () => {
    const { store, pull } = await pullFrom(imageFiles(layer, blob, { config: { architecture: 's390x' } }));
    await expect(pull).rejects.toMatchObject({ reason: 'NotFound', message: expect.stringMatching(/s390x/) });
    await store[Symbol.asyncDispose]();
  });

  test('a layer larger than allowed when uncompressed', async () => {
    const bomb = layerOf([{ name: 'zeros' }, '\0'.repeat(3 << 20)]);
    const { store, pull } = await pullFrom(imageFiles(bomb, gzipSync(bomb)), {
      uncompressedBytesMax: 1 << 20,
    });
    await expect(pull).rejects.toMatchObject({
      reason: 'Invalid',
      message: expect.stringMatching(/uncompressed/),
    });
    await store[Symbol.asyncDispose]();
  });

  test('a download that breaks goes on where it was', async () => {
    let tries = 0;
    const { store, requests, pull } = await pullFrom(
      {
        ...imageFiles(layer, blob),
        [blobUrl]: (request, response) => {
          tries++;
          if (tries === 1) {
            response.writeHead(200, { 'content-length': blob.length });
            response.write(blob.subarray(0, 40_000));
            setTimeout(() => response.destroy(), 100); // once it has been read
            return;
          }
          const start = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1]);
          response.writeHead(206, { 'content-range': `bytes ${start}-${blob.length - 1}/${blob.length}` });
          response.end(blob.subarray(start));
        },
      },
      { attempts: 3 },
    );
    await pull;
    expect(requests.at(-1)?.headers.range).toMatch(/^bytes=[1-9]/);
    await store[Symbol.asyncDispose]();
  });

  test('a registry that gives nothing holds up only its own image, whatever layers it claims to bring', async () => {
    const silent: Answer = (_request, response) => {
      response.writeHead(200, { 'content-length': blob.length });
      response.write(blob.subarray(0, 100));
    };
    const stuck = await pullFrom({ ...imageFiles(layer, blob), [blobUrl]: silent }, { layersAtOnce: 1 });
    await waitFor('the silent download', { timeoutMs: 5_000, intervalMs: 5 }, () =>
      stuck.requests.some(({ url }) => url === blobUrl),
    );
    const { url } = await serve(imageFiles(layer, blob));
    const image = await stuck.store.pull(`${url.slice('http://'.length)}/library/served`);
    expect(image.layers).toHaveLength(1);
    await stuck.store[Symbol.asyncDispose]();
    await expect(stuck.pull).rejects.toMatchObject({ reason: 'Canceled' });
  });

  test('a layer that claims to be larger than any may be is not begun', async () => {
    const { store, requests, pull } = await pullFrom(imageFiles(layer, blob), {
      uncompressedBytesMax: 50_000,
    });
    await expect(pull).rejects.toMatchObject({
      reason: 'Invalid',
      message: expect.stringMatching(/larger than 50000/),
    });
    expect(requests.some(({ url }) => url === blobUrl)).toBe(false);
    await store[Symbol.asyncDispose]();
  });

  test('a server error is tried again', async () => {
    let tries = 0;
    const files = imageFiles(layer, blob);
    const manifest = (files as Record<string, Buffer>)['/v2/library/served/manifests/latest']!;
    const { store, pull } = await pullFrom(
      {
        ...files,
        '/v2/library/served/manifests/latest': (_request, response) => {
          if (++tries < 3) response.writeHead(503).end();
          else response.end(manifest);
        },
      },
      { attempts: 3 },
    );
    await pull;
    expect(tries).toBe(3);
    await store[Symbol.asyncDispose]();
  });

  test('an index: the entry for this platform', async () => {
    const files: Record<string, Buffer> = imageFiles(layer, blob);
    const manifest = files['/v2/library/served/manifests/latest']!;
    const index = {
      schemaVersion: 2,
      manifests: [
        {
          mediaType: 'x',
          digest: digest(Buffer.from('arm')),
          size: 3,
          platform: { os: 'linux', architecture: 'arm64' },
        },
        {
          mediaType: 'x',
          digest: digest(manifest),
          size: manifest.length,
          platform: { os: 'linux', architecture: 'amd64' },
        },
      ],
    };
    const { store, pull } = await pullFrom({
      ...files,
      '/v2/library/served/manifests/latest': Buffer.from(JSON.stringify(index)),
      [`/v2/library/served/manifests/${digest(manifest)}`]: manifest,
    });
    expect(await pull).toMatchObject({
      digests: [expect.stringMatching(digest(Buffer.from(JSON.stringify(index))))],
    });
    await store[Symbol.asyncDispose]();
  });

  test('a token service: realm, service and scope; the token goes to the registry only', async () => {
    const files: Record<string, Buffer> = imageFiles(layer, blob);
    const elsewhere = await serve({ '/blob': blob });
    const tokens = await serve({
      '/token': (request, response) => {
        const query = new URL(request.url ?? '', 'http://x').searchParams;
        const basic = Buffer.from(request.headers.authorization?.slice(6) ?? '', 'base64').toString();
        const isRight =
          query.get('service') === 'reg' && query.get('scope') === 'repository:library/served:pull';
        if (!isRight || basic !== 'u:p') response.writeHead(401).end();
        else response.end('{"token":"t0k"}');
      },
    });
    const guarded = Object.fromEntries(
      Object.entries(files).map(([path, content]): [string, Answer] => [
        path,
        (request, response) => {
          if (request.headers.authorization !== 'Bearer t0k') {
            const realm = `Bearer realm="${tokens.url}/token",service="reg"`;
            response.writeHead(401, { 'www-authenticate': realm }).end();
          } else if (path === blobUrl) response.writeHead(307, { location: `${elsewhere.url}/blob` }).end();
          else response.end(content);
        },
      ]),
    );
    const { url } = await serve(guarded);
    await using store = await openStore();
    const name = `${url.slice('http://'.length)}/library/served`;
    await expect(store.pull(name)).rejects.toMatchObject({ reason: 'Unauthenticated' });
    await store.pull(name, { auth: { username: 'u', password: 'p' } });
    expect(elsewhere.requests.map((request) => request.headers.authorization)).toEqual([undefined]);
  });

  test('a mirror sees no credentials', async () => {
    const mirror = await serve(imageFiles(layer, blob));
    await using store = await openStore({ registryMirrors: { 'docker.io': [mirror.url] } });
    await store.pull('served', { auth: { username: 'u', password: 'p' } });
    expect(mirror.requests.every((request) => request.headers.authorization === undefined)).toBe(true);
  });

  test('a pull that is given up ends', async () => {
    const { url } = await serve({ '/v2/library/served/manifests/latest': () => undefined });
    await using store = await openStore();
    const abort = new AbortController();
    setTimeout(() => abort.abort(), 50);
    const pull = store.pull(`${url.slice('http://'.length)}/library/served`, { signal: abort.signal });
    await expect(pull).rejects.toMatchObject({ reason: 'Canceled' });
  });
});

describe('load', () => {
  test('an OCI layout, also compressed', async () => {
    const [busybox] = images;
    for (const flags of ['-cf', '-czf']) {
      const archive = join(folder, `layout-${count++}.tar`);
      await run('tar', [flags, archive, '-C', busybox!.folder, '.']);
      await using store = await openStore();
      const [image] = await store.load(archive);
      expect(image?.references).toEqual(['docker.io/library/busybox:latest']);
      expect(store.find('busybox')?.layers).toHaveLength(1);
    }
  });

  test('a docker archive', async () => {
    const layer = layerOf([{ name: 'f' }, 'x']);
    const config = Buffer.from(
      JSON.stringify({
        architecture: 'amd64',
        os: 'linux',
        config: { Cmd: ['/f'] },
        rootfs: { diff_ids: [digest(layer)] },
      }),
    );
    const manifest = JSON.stringify([{ Config: 'c.json', RepoTags: ['mine:2'], Layers: ['a/layer.tar'] }]);
    const archive = join(folder, 'docker.tar');
    const members = layerOf(
      [{ name: 'c.json' }, config.toString()],
      [{ name: 'real/layer.tar' }, layer.toString('latin1')],
      [{ name: 'a/layer.tar', kind: 'symlink', linkName: '../real/layer.tar' }],
      [{ name: 'manifest.json' }, manifest],
    );
    await writeFile(archive, members);
    await using store = await openStore();
    const [image] = await store.load(archive);
    expect(image).toMatchObject({ references: ['docker.io/library/mine:2'], config: { command: ['/f'] } });
  });

  test.each([
    ['no archive', Buffer.from('hello'.repeat(1_000))],
    ['an archive of something else', layerOf([{ name: 'README' }, 'x'])],
  ])('%s', async (_title, content) => {
    const archive = join(folder, `bad-${count++}.tar`);
    await writeFile(archive, content);
    await using store = await openStore();
    await expect(store.load(archive)).rejects.toMatchObject({ reason: 'Invalid' });
  });

  test('a layout whose blob was changed', async () => {
    const [busybox] = images;
    const copy = join(folder, `copy-${count++}`);
    await run('cp', ['-r', busybox!.folder, copy]);
    const top = await readTopDescriptor({ name: 'busybox', folder: copy });
    const path = blobPath(copy, top.digest);
    await writeFile(path, (await readFile(path, 'utf8')).replace('oci', 'OCI'));
    const archive = `${copy}.tar`;
    await run('tar', ['-cf', archive, '-C', copy, '.']);
    await using store = await openStore();
    await expect(store.load(archive)).rejects.toMatchObject({
      reason: 'Invalid',
      message: expect.stringMatching(/corrupt/),
    });
  });
});
