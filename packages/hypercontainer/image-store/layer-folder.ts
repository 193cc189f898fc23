import { createHash } from 'node:crypto';
import { mkdir, readdir, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { KeyedMutex } from '@hypernetes/foundation/lifecycle';
import type { ImageLayer } from './image-store.ts';
import type { LayerArchive } from './layer-archive.ts';
import { buildLayer, temporarySuffix } from './layer-builder.ts';

const extension = '.squashfs';
const partAgeMsMax = 24 * 3_600_000;

/** At most so many pieces of work at a time. */
export class Slots {
  #free: number;
  readonly #waiting: (() => void)[] = [];

  constructor(count: number) {
    this.#free = count;
  }

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free++;
      else next();
    }
  }
}

export interface LayerFolderOptions {
  readonly folder: string;
  /** Built at the same time, over all images. */
  readonly layersAtOnce: number;
  readonly uncompressedBytesMax: number;
}

/** The block images of layers, one file per diffID, and partial downloads beside them. Each is made once, however many ask for it. */
export class LayerFolder {
  readonly #options: LayerFolderOptions;
  readonly #sizes = new Map<string, number>();
  readonly #fetching = new KeyedMutex();
  readonly #building = new KeyedMutex();
  readonly #slots: Slots;
  /** Layers of images that are not recorded yet: collecting must leave them alone. */
  readonly #wanted = new Map<string, number>();

  private constructor(options: LayerFolderOptions) {
    this.#options = options;
    this.#slots = new Slots(options.layersAtOnce);
  }

  static async open(options: LayerFolderOptions): Promise<LayerFolder> {
    const folder = new LayerFolder(options);
    await mkdir(options.folder, { recursive: true, mode: 0o755 });
    await mkdir(folder.#downloads, { recursive: true, mode: 0o700 });
    await folder.#recover();
    return folder;
  }

  find(diffId: string): ImageLayer | undefined {
    const sizeBytes = this.#sizes.get(diffId);
    return sizeBytes === undefined
      ? undefined
      : { diffId, path: this.#path(diffId), fsType: 'squashfs', sizeBytes };
  }

  /** Larger archives than this cannot be layers that are allowed. */
  get archiveBytesMax(): number {
    return this.#options.uncompressedBytesMax;
  }

  /**
   * Makes a layer unless it is here: `fetch` brings the archive (to the given path, if it has to come over the network). `source` names where
   * from: those who want it from there wait for one fetch, others do not, for what a manifest promises may never come.
   */
  async ensure(
    diffId: string,
    source: string,
    fetch: (partPath: string) => Promise<LayerArchive>,
    signal?: AbortSignal,
  ): Promise<void> {
    await this.#fetching.run(source, async () => {
      if (this.#sizes.has(diffId)) return;
      signal?.throwIfAborted();
      const partPath = join(this.#downloads, createHash('sha256').update(source).digest('hex'));
      const archive = await fetch(partPath);
      try {
        await this.#building.run(diffId, () => this.#build(diffId, archive, signal));
      } finally {
        await rm(partPath, { force: true });
      }
    });
  }

  async #build(diffId: string, archive: LayerArchive, signal?: AbortSignal): Promise<void> {
    if (this.#sizes.has(diffId)) return;
    await this.#slots.run(async () => {
      signal?.throwIfAborted();
      const sizeBytes = await buildLayer({
        archive,
        diffId,
        targetPath: this.#path(diffId),
        uncompressedBytesMax: this.#options.uncompressedBytesMax,
        ...(signal === undefined ? {} : { signal }),
      });
      this.#sizes.set(diffId, sizeBytes);
    });
  }

  /** While the work runs these layers are not collected. */
  async holding<T>(diffIds: readonly string[], work: () => Promise<T>): Promise<T> {
    for (const diffId of diffIds) this.#wanted.set(diffId, (this.#wanted.get(diffId) ?? 0) + 1);
    try {
      return await work();
    } finally {
      for (const diffId of diffIds) {
        const left = (this.#wanted.get(diffId) ?? 1) - 1;
        if (left === 0) this.#wanted.delete(diffId);
        else this.#wanted.set(diffId, left);
      }
    }
  }

  /** Removes the layers nobody uses. */
  async collect(used: () => ReadonlySet<string>): Promise<void> {
    for (const diffId of [...this.#sizes.keys()]) {
      await this.#building.run(diffId, async () => {
        if (used().has(diffId) || this.#wanted.has(diffId) || !this.#sizes.delete(diffId)) return;
        await rm(this.#path(diffId), { force: true });
      });
    }
  }

  usage(): { usedBytes: number; inodesUsed: number } {
    const sizes = [...this.#sizes.values()];
    return { usedBytes: sizes.reduce((sum, size) => sum + size, 0), inodesUsed: sizes.length };
  }

  get #downloads(): string {
    return join(this.#options.folder, 'downloads');
  }

  #path(diffId: string): string {
    return join(this.#options.folder, `${diffId.slice('sha256:'.length)}${extension}`);
  }

  async #recover(): Promise<void> {
    for (const name of await readdir(this.#options.folder)) {
      const path = join(this.#options.folder, name);
      if (name.endsWith(temporarySuffix)) await rm(path, { force: true });
      else if (/^[0-9a-f]{64}\.squashfs$/.test(name)) {
        this.#sizes.set(`sha256:${name.slice(0, 64)}`, (await stat(path)).size);
      }
    }
    // A download that was cut off by a restart goes on from where it was, if somebody asks for it soon.
    for (const name of await readdir(this.#downloads)) {
      const path = join(this.#downloads, name);
      if (Date.now() - (await stat(path)).mtimeMs > partAgeMsMax) await rm(path, { force: true });
    }
  }
}
