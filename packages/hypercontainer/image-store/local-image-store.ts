import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { PlatformError, toPlatformError } from '@hypernetes/foundation/errors';
import { KeyedMutex } from '@hypernetes/foundation/lifecycle';
import { createLogger } from '@hypernetes/foundation/logging';
import { loadArchive } from './archive-load.ts';
import { ImageIndex, withImage, withoutImage, type StoredImage } from './image-index.ts';
import type { ImageLayer, ImageRecord, ImageStore, PullOptions } from './image-store.ts';
import { LayerFolder } from './layer-folder.ts';
import { formatReference, parseReference, type ImageReference } from './reference.ts';
import { endpointsFor } from './registry-endpoints.ts';
import { RegistryHttp } from './registry-http.ts';
import { pullImage } from './registry-pull.ts';

const log = createLogger('hypercontainer:image-store');
const layersAtOnceDefault = 3;
const temporaryFolderName = 'tmp';

export interface ImageStoreOptions {
  /** The store's own folder. */
  readonly dataDir: string;
  /** Registry host to base URLs asked before it: { 'docker.io': ['http://127.0.0.1:5000'] }. */
  readonly registryMirrors?: Readonly<Record<string, readonly string[]>>;
  /** Hosts (with port) whose certificate is not verified, and that are also tried over plain http. */
  readonly insecureRegistries?: readonly string[];
  /** As in images: amd64 (default), arm64. */
  readonly architecture?: string;
  /** Layers downloaded at the same time per pull, and built at the same time over all pulls; default 3. */
  readonly layersAtOnce?: number;
  /** A layer larger than this when uncompressed is refused; default 32 GiB. */
  readonly uncompressedBytesMax?: number;
  /** Tries per request to a registry; default 4. */
  readonly attempts?: number;
  /** A pull that takes longer is ended; default 2 hours. */
  readonly pullTimeoutMs?: number;
}

class LocalImageStore implements ImageStore {
  readonly #options: ImageStoreOptions;
  readonly #index: ImageIndex;
  readonly #layers: LayerFolder;
  readonly #transport = new RegistryHttp();
  readonly #pulls = new KeyedMutex();
  /** Holder to the images it uses. */
  readonly #holders = new Map<string, Set<string>>();
  readonly #abort = new AbortController();
  #collecting: Promise<void> = Promise.resolve();

  constructor(options: ImageStoreOptions, index: ImageIndex, layers: LayerFolder) {
    this.#options = options;
    this.#index = index;
    this.#layers = layers;
  }

  async pull(reference: string, options: PullOptions = {}): Promise<ImageRecord> {
    const parsed = parseReference(reference);
    const name = formatReference(parsed);
    return await this.#pulls.run(name, async () => {
      // A digest names content: once it is here, nobody has to be asked.
      const complete = parsed.digest === undefined ? undefined : this.#findStored(name);
      if (complete === undefined) await this.#pullFrom(parsed, name, options);
      const image = this.find(name);
      if (image === undefined)
        throw new PlatformError('Internal', `${name}: was removed while it was pulled`);
      return image;
    });
  }

  find(referenceOrId: string): ImageRecord | undefined {
    const stored = this.#findStored(referenceOrId);
    return stored === undefined ? undefined : this.#toRecord(stored);
  }

  list(): readonly ImageRecord[] {
    return [...this.#index.images.values()].flatMap((stored) => {
      const record = stored.removed ? undefined : this.#toRecord(stored);
      return record === undefined ? [] : [record];
    });
  }

  async remove(referenceOrId: string): Promise<void> {
    const stored = this.#findStored(referenceOrId);
    if (stored !== undefined) {
      const name = normalName(referenceOrId);
      const isName = name !== undefined && [...stored.references, ...stored.digests].includes(name);
      await this.#index.update((images) => {
        const now = images.get(stored.id);
        if (now === undefined || now.removed) return images;
        return withoutImage(images, now, isName ? name : undefined, this.#isRetained(stored.id));
      });
      log.info({ image: referenceOrId, imageId: stored.id }, 'image removed');
    }
    await this.#collect();
  }

  async load(archivePath: string): Promise<readonly ImageRecord[]> {
    const ids = await loadArchive({
      archivePath,
      temporaryFolder: join(this.#options.dataDir, temporaryFolderName),
      layers: this.#layers,
      architecture: this.#architecture,
      commit: async (image) => await this.#index.update((images) => withImage(images, image)),
    });
    const records = ids.flatMap((id) => this.find(id) ?? []);
    log.info({ archivePath, imageIds: ids }, 'images loaded');
    return records;
  }

  usage(): Promise<{ readonly path: string; readonly usedBytes: number; readonly inodesUsed: number }> {
    return Promise.resolve({ path: this.#options.dataDir, ...this.#layers.usage() });
  }

  retain(imageId: string, holder: string): void {
    const held = this.#holders.get(holder) ?? new Set();
    held.add(imageId);
    this.#holders.set(holder, held);
  }

  release(holder: string): void {
    if (!this.#holders.delete(holder)) return;
    this.#collect().catch((error: unknown) => log.error({ err: error }, 'collecting unused layers failed'));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    await this.#collecting.catch(() => undefined);
    this.#transport[Symbol.dispose]();
  }

  get #architecture(): string {
    return this.#options.architecture ?? 'amd64';
  }

  async #pullFrom(reference: ImageReference, name: string, options: PullOptions): Promise<void> {
    const started = Date.now();
    const deadline = AbortSignal.timeout(this.#options.pullTimeoutMs ?? 2 * 3_600_000);
    const outer = options.signal === undefined ? [] : [options.signal];
    const signal = AbortSignal.any([this.#abort.signal, deadline, ...outer]);
    const context = {
      transport: this.#transport,
      endpoints: endpointsFor(reference.host, {
        registryMirrors: this.#options.registryMirrors ?? {},
        insecureRegistries: this.#options.insecureRegistries ?? [],
      }),
      layers: this.#layers,
      architecture: this.#architecture,
      attempts: this.#options.attempts ?? 4,
      downloadsAtOnce: this.#options.layersAtOnce ?? layersAtOnceDefault,
    };
    try {
      await pullImage(context, reference, { ...options, signal }, async (image) => {
        await this.#index.update((images) => withImage(images, image));
      });
    } catch (thrown) {
      if (deadline.aborted) {
        throw new PlatformError('DeadlineExceeded', `${name}: the pull took too long`, { cause: thrown });
      }
      throw toPlatformError(thrown, name);
    }
    log.info({ image: name, durationMs: Date.now() - started }, 'image pulled');
  }

  #findStored(referenceOrId: string): StoredImage | undefined {
    const complete = [...this.#index.images.values()].filter(
      (image) => !image.removed && image.diffIds.every((diffId) => this.#layers.find(diffId) !== undefined),
    );
    const exact = complete.find((image) => image.id === referenceOrId);
    if (exact !== undefined) return exact;
    const name = normalName(referenceOrId);
    const named = complete.find(
      (image) => name !== undefined && [...image.references, ...image.digests].includes(name),
    );
    if (named !== undefined || !/^(?:sha256:)?[0-9a-f]{3,64}$/.test(referenceOrId)) return named;
    const prefix = referenceOrId.replace(/^sha256:/, '');
    const matching = complete.filter((image) => image.id.startsWith(`sha256:${prefix}`));
    return matching.length === 1 ? matching[0] : undefined;
  }

  #toRecord(stored: StoredImage): ImageRecord | undefined {
    const layers: ImageLayer[] = [];
    for (const diffId of stored.diffIds) {
      const layer = this.#layers.find(diffId);
      // A layer that somebody deleted from the disk: the image is not here, pulling it again mends it.
      if (layer === undefined) return undefined;
      layers.push(layer);
    }
    const { id, references, digests, sizeBytes, config } = stored;
    return { id, references, digests, sizeBytes, config, layers };
  }

  #isRetained(imageId: string): boolean {
    return [...this.#holders.values()].some((held) => held.has(imageId));
  }

  /** Forgets removed images nobody holds, then layers of no image. Never at start: the holders have not spoken up by then. */
  async #collect(): Promise<void> {
    this.#collecting = this.#collecting
      .catch(() => undefined)
      .then(async () => {
        const gone = (image: StoredImage): boolean => image.removed && !this.#isRetained(image.id);
        if ([...this.#index.images.values()].some(gone)) {
          await this.#index.update((images) => new Map([...images].filter(([, image]) => !gone(image))));
        }
        await this.#layers.collect(
          () => new Set([...this.#index.images.values()].flatMap((image) => image.diffIds)),
        );
      });
    await this.#collecting;
  }
}

function normalName(text: string): string | undefined {
  try {
    return formatReference(parseReference(text));
  } catch {
    return undefined;
  }
}

/** Opens (or makes) the image store in a folder; what a crash left half-made is cleared away. Layers stay readable for all: QEMU runs unprivileged. */
export async function createImageStore(options: ImageStoreOptions): Promise<ImageStore> {
  await mkdir(options.dataDir, { recursive: true, mode: 0o755 });
  await rm(join(options.dataDir, temporaryFolderName), { recursive: true, force: true });
  const index = await ImageIndex.open(options.dataDir);
  const layers = await LayerFolder.open({
    folder: join(options.dataDir, 'layers'),
    layersAtOnce: options.layersAtOnce ?? layersAtOnceDefault,
    uncompressedBytesMax: options.uncompressedBytesMax ?? 32 * 2 ** 30,
  });
  return new LocalImageStore(options, index, layers);
}
