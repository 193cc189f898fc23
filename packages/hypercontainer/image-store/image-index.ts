import { join } from 'node:path';
import { PlatformError } from '@hypernetes/foundation/errors';
import { readFileIfExists, writeFileAtomic } from '@hypernetes/foundation/files';
import type { ImageConfig } from './image-store.ts';

const formatVersion = 1;

/** What is known of an image on disk; the layers are found by their diffIDs. */
export interface StoredImage {
  readonly id: string;
  readonly references: readonly string[];
  readonly digests: readonly string[];
  readonly sizeBytes: number;
  readonly config: ImageConfig;
  readonly diffIds: readonly string[];
  /** Forgotten by the user but still used by containers: not listed any more. */
  readonly removed: boolean;
}

/** One image as it arrived, by whatever way. */
export type NewImage = Omit<StoredImage, 'removed'>;

export type ImageMap = ReadonlyMap<string, StoredImage>;

function union(first: readonly string[], second: readonly string[]): readonly string[] {
  return [...new Set([...first, ...second])];
}

/** Records an image; its references are taken from the images that had them. Pure. */
export function withImage(images: ImageMap, image: NewImage): ImageMap {
  const result = new Map<string, StoredImage>();
  for (const [id, other] of images) {
    const references = other.references.filter((reference) => !image.references.includes(reference));
    result.set(id, references.length === other.references.length ? other : { ...other, references });
  }
  const before = result.get(image.id);
  const known = before?.removed === false ? before : undefined;
  result.set(image.id, {
    ...image,
    references: union(known?.references ?? [], image.references),
    digests: union(known?.digests ?? [], image.digests),
    removed: false,
  });
  return result;
}

/** Forgets a reference (with the last one the image), or an image by identifier; what is retained stays, unlisted. Pure. */
export function withoutImage(
  images: ImageMap,
  image: StoredImage,
  reference: string | undefined,
  isRetained: boolean,
): ImageMap {
  const result = new Map(images);
  const references = image.references.filter((other) => other !== reference);
  const digests = image.digests.filter((other) => other !== reference);
  const named = reference?.includes('@') === true ? references.length + digests.length : references.length;
  if (reference !== undefined && named > 0) result.set(image.id, { ...image, references, digests });
  else if (isRetained) result.set(image.id, { ...image, references: [], digests: [], removed: true });
  else result.delete(image.id);
  return result;
}

function parse(text: string, path: string): ImageMap {
  try {
    const value = JSON.parse(text) as { version: number; images: StoredImage[] };
    if (value.version !== formatVersion) throw new Error(`format version ${value.version}`);
    return new Map(value.images.map((image) => [image.id, image]));
  } catch (cause) {
    throw new PlatformError(
      'Internal',
      `image index ${path}: cannot be read: ${String(cause)}; move it away to start with no images`,
      { cause },
    );
  }
}

/** The file that says which images there are; a change is on disk before its promise resolves. */
export class ImageIndex {
  readonly #path: string;
  #images: ImageMap;
  #tail: Promise<void> = Promise.resolve();

  private constructor(path: string, images: ImageMap) {
    this.#path = path;
    this.#images = images;
  }

  static async open(folder: string): Promise<ImageIndex> {
    const path = join(folder, 'images.json');
    const text = await readFileIfExists(path);
    return new ImageIndex(path, text === undefined ? new Map() : parse(text, path));
  }

  get images(): ImageMap {
    return this.#images;
  }

  /** Changes go one after the other; readers see a change once it is durable. */
  async update(change: (images: ImageMap) => ImageMap): Promise<void> {
    const mine = this.#tail.then(async () => {
      const next = change(this.#images);
      const content = JSON.stringify({ version: formatVersion, images: [...next.values()] }, null, 1);
      await writeFileAtomic(this.#path, content);
      this.#images = next;
    });
    this.#tail = mine.catch(() => undefined);
    await mine;
  }
}
