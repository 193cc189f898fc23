import { randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, open, rm, stat } from 'node:fs/promises';
import { join, posix } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { PlatformError } from '@hypernetes/foundation/errors';
import type { NewImage } from './image-index.ts';
import { decompress, detectCompression } from './layer-archive.ts';
import type { LayerFolder } from './layer-folder.ts';
import { splitMemberName } from './layer-plan.ts';
import { parseImageConfig, parseManifest, selectPlatform, type Descriptor } from './manifest.ts';
import { formatReference, isDigest, parseReference } from './reference.ts';
import { digestOf } from './registry-client.ts';
import { checkImage } from './registry-pull.ts';
import { TarReader } from './tar-reader.ts';

const metadataBytesMax = 8 << 20;
const membersMax = 100_000;
const imagesMax = 1_000;

export interface LoadOptions {
  readonly archivePath: string;
  readonly temporaryFolder: string;
  readonly layers: LayerFolder;
  readonly architecture: string;
  readonly commit: (image: NewImage) => Promise<void>;
}

interface Member {
  readonly offset: number;
  readonly sizeBytes: number;
}

/** An archive file whose members can be read in any order. */
class ImageArchive {
  readonly #path: string;
  readonly #members: ReadonlyMap<string, Member>;
  readonly #links: ReadonlyMap<string, string>;

  private constructor(
    path: string,
    members: ReadonlyMap<string, Member>,
    links: ReadonlyMap<string, string>,
  ) {
    this.#path = path;
    this.#members = members;
    this.#links = links;
  }

  static async open(path: string): Promise<ImageArchive> {
    const members = new Map<string, Member>();
    const links = new Map<string, string>();
    const reader = new TarReader(createReadStream(path, { highWaterMark: 1 << 20 }) as AsyncIterable<Buffer>);
    for (let entry = await reader.next(); entry !== undefined; entry = await reader.next()) {
      const name = splitMemberName(entry.name).join('/');
      if (entry.kind === 'file') members.set(name, { offset: reader.position, sizeBytes: entry.sizeBytes });
      // Old `docker save` writes a layer that several images share once, and links to it.
      if (entry.kind === 'symlink') links.set(name, posix.join(posix.dirname(name), entry.linkName));
      if (entry.kind === 'link') links.set(name, splitMemberName(entry.linkName).join('/'));
      if (members.size + links.size > membersMax) throw invalid(path, `more than ${membersMax} members`);
    }
    return new ImageArchive(path, members, links);
  }

  get path(): string {
    return this.#path;
  }

  has(name: string): boolean {
    return this.#find(name) !== undefined;
  }

  locate(name: string): Member {
    const member = this.#find(name);
    if (member === undefined) throw invalid(this.#path, `${name.slice(0, 200)} is missing`);
    return member;
  }

  async read(name: string): Promise<Buffer> {
    const { offset, sizeBytes } = this.locate(name);
    if (sizeBytes > metadataBytesMax)
      throw invalid(this.#path, `${name} is larger than ${metadataBytesMax} bytes`);
    const file = await open(this.#path, 'r');
    try {
      const buffer = Buffer.alloc(sizeBytes);
      await file.read(buffer, 0, sizeBytes, offset);
      return buffer;
    } finally {
      await file.close();
    }
  }

  async readJson(name: string): Promise<unknown> {
    try {
      return JSON.parse((await this.read(name)).toString('utf8'));
    } catch (cause) {
      if (cause instanceof PlatformError) throw cause;
      throw invalid(this.#path, `${name} is not JSON`);
    }
  }

  #find(name: string): Member | undefined {
    const plain = posix.normalize(name);
    return this.#members.get(plain) ?? this.#members.get(this.#links.get(plain) ?? '');
  }
}

function invalid(path: string, why: string): PlatformError {
  return new PlatformError('Invalid', `image archive ${path}: ${why}`);
}

interface FoundImage {
  readonly configBytes: Buffer;
  readonly references: readonly string[];
  readonly digests: readonly string[];
  readonly layers: readonly Member[];
}

function blobName(digest: string): string {
  return `blobs/sha256/${digest.slice('sha256:'.length)}`;
}

/** The names an OCI layout gives to an image; a bare tag says nothing about where it belongs and is left out. */
function layoutReferences(annotations: Readonly<Record<string, string>>): readonly string[] {
  const full = annotations['io.containerd.image.name'] ?? annotations['org.opencontainers.image.ref.name'];
  if (full === undefined || !/[/:]/.test(full)) return [];
  const reference = parseReference(full);
  return reference.digest === undefined ? [formatReference(reference)] : [];
}

async function readVerified(archive: ImageArchive, digest: string): Promise<Buffer> {
  const bytes = await archive.read(blobName(digest));
  if (digestOf(bytes) !== digest) throw invalid(archive.path, `the content of ${digest} is corrupt`);
  return bytes;
}

async function layoutImage(
  archive: ImageArchive,
  descriptor: Descriptor,
  references: readonly string[],
  architecture: string,
): Promise<FoundImage> {
  let manifest = parseManifest(
    await readVerified(archive, descriptor.digest),
    `${archive.path} ${descriptor.digest}`,
  );
  for (let depth = 0; manifest.kind === 'index'; depth++) {
    if (depth === 3) throw invalid(archive.path, 'indexes nested too deep');
    const chosen = selectPlatform(manifest.manifests, architecture, archive.path);
    manifest = parseManifest(await readVerified(archive, chosen.digest), `${archive.path} ${chosen.digest}`);
  }
  return {
    configBytes: await readVerified(archive, manifest.config.digest),
    references,
    digests: references.map((name) => `${name.slice(0, name.lastIndexOf(':'))}@${descriptor.digest}`),
    layers: manifest.layers.map((layer) => archive.locate(blobName(layer.digest))),
  };
}

async function fromLayout(archive: ImageArchive, architecture: string): Promise<FoundImage[]> {
  const index = parseManifest(await archive.read('index.json'), `${archive.path} index.json`);
  if (index.kind !== 'index') throw invalid(archive.path, 'index.json is no index');
  const usable = index.manifests.filter(
    (entry) => entry.os === '' || (entry.os === 'linux' && entry.architecture === architecture),
  );
  if (usable.length === 0) selectPlatform(index.manifests, architecture, archive.path);
  const images: FoundImage[] = [];
  for (const entry of usable) {
    images.push(await layoutImage(archive, entry, layoutReferences(entry.annotations), architecture));
  }
  return images;
}

interface DockerEntry {
  readonly config: string;
  readonly tags: readonly string[];
  readonly layers: readonly string[];
}

function parseDockerEntry(value: unknown, path: string): DockerEntry {
  const entry = (typeof value === 'object' && value !== null ? value : {}) as Record<string, unknown>;
  const { Config: config, RepoTags: tags = [], Layers: layers } = entry;
  const isStrings = (list: unknown): list is string[] =>
    Array.isArray(list) && list.length <= imagesMax && list.every((item) => typeof item === 'string');
  if (typeof config !== 'string' || !isStrings(tags ?? []) || !isStrings(layers)) {
    throw invalid(path, 'manifest.json is malformed');
  }
  return { config, tags: (tags ?? []) as string[], layers };
}

async function fromDocker(archive: ImageArchive): Promise<FoundImage[]> {
  const list = await archive.readJson('manifest.json');
  if (!Array.isArray(list) || list.length > imagesMax)
    throw invalid(archive.path, 'manifest.json is no list');
  const images: FoundImage[] = [];
  for (const value of list) {
    const entry = parseDockerEntry(value, archive.path);
    images.push({
      configBytes: await archive.read(entry.config),
      references: entry.tags.map((tag) => formatReference(parseReference(tag))),
      digests: [],
      layers: entry.layers.map((name) => archive.locate(name)),
    });
  }
  return images;
}

async function loadImage(archive: ImageArchive, image: FoundImage, options: LoadOptions): Promise<string> {
  const id = digestOf(image.configBytes);
  if (!isDigest(id)) throw invalid(archive.path, 'a configuration has no digest');
  const parsed = parseImageConfig(image.configBytes, `${archive.path} configuration`);
  checkImage(archive.path, image.layers, parsed, options.architecture);
  await options.layers.holding(parsed.diffIds, async () => {
    for (const [index, member] of image.layers.entries()) {
      const what = `image archive ${archive.path} layer ${index}`;
      await options.layers.ensure(parsed.diffIds[index] ?? '', `${archive.path} ${member.offset}`, () =>
        Promise.resolve({ what, path: archive.path, ...member }),
      );
    }
    await options.commit({
      id,
      references: image.references,
      digests: image.digests,
      sizeBytes: image.layers.reduce((sum, member) => sum + member.sizeBytes, image.configBytes.length),
      config: parsed.config,
      diffIds: parsed.diffIds,
    });
  });
  return id;
}

async function withPlainArchive<T>(options: LoadOptions, work: (path: string) => Promise<T>): Promise<T> {
  const { archivePath, temporaryFolder } = options;
  const file = await open(archivePath, 'r').catch((cause: unknown) => {
    throw new PlatformError('NotFound', `image archive ${archivePath}: ${String(cause)}`, { cause });
  });
  const start = new Uint8Array(4);
  await file.read(start, 0, 4, 0).finally(() => file.close());
  if (detectCompression(start) === 'none') return await work(archivePath);
  await mkdir(temporaryFolder, { recursive: true, mode: 0o700 });
  const plain = join(temporaryFolder, `${randomBytes(6).toString('hex')}.tar`);
  try {
    const { size } = await stat(archivePath);
    const source = { what: `image archive ${archivePath}`, path: archivePath, offset: 0, sizeBytes: size };
    await pipeline(decompress(source), createWriteStream(plain, { mode: 0o600 }));
    return await work(plain);
  } finally {
    await rm(plain, { force: true });
  }
}

/** Loads the images of a tar file, OCI layout (image-spec image-layout.md) or `docker save`, compressed or not. Answers their identifiers. */
export async function loadArchive(options: LoadOptions): Promise<readonly string[]> {
  return await withPlainArchive(options, async (path) => {
    const archive = await ImageArchive.open(path);
    // An archive that is both carries full names only in Docker's manifest.
    const isDocker = archive.has('manifest.json');
    if (!isDocker && !archive.has('index.json')) {
      throw invalid(
        options.archivePath,
        'neither an OCI layout (index.json) nor a docker archive (manifest.json)',
      );
    }
    const images = await (isDocker ? fromDocker(archive) : fromLayout(archive, options.architecture));
    const ids: string[] = [];
    for (const image of images) ids.push(await loadImage(archive, image, options));
    return ids;
  });
}
