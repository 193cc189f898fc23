import { PlatformError } from '@hypernetes/foundation/errors';
import { handleServerStream, handleUnary } from '@hypernetes/foundation/grpc';
import type { Logger } from '@hypernetes/foundation/logging';
import {
  Image,
  type ImageFilter,
  type ImageServiceServer,
  type ImageSpec,
  type PullImageRequest,
} from '@hypernetes/proto/cri';
import type { ImageStore } from '../image-store/index.ts';
import { annotations, parseAuth } from './from-cri.ts';
import { pages } from './pages.ts';
import { toImage } from './to-cri.ts';

export interface ImageServiceOptions {
  readonly images: ImageStore;
  readonly log: Logger;
}

function named(spec: ImageSpec | undefined): string {
  if (spec === undefined || spec.image === '') throw new PlatformError('Invalid', 'image.image is required');
  return spec.image;
}

/** CRI v1 ImageService over the image store. */
export function createImageService(options: ImageServiceOptions): ImageServiceServer {
  const { images, log } = options;

  const list = (filter: ImageFilter | undefined): Image[] => {
    const wanted = filter?.image?.image ?? '';
    if (wanted === '') return images.list().map(toImage);
    const found = images.find(wanted);
    return found === undefined ? [] : [toImage(found)];
  };

  const pull = async (request: PullImageRequest, signal: AbortSignal): Promise<string> => {
    const name = named(request.image);
    if (request.image?.annotations[annotations.imageArchive] === 'true') {
      // A reference never begins so: whoever passes on the annotations of pods cannot open a file of the host with it.
      if (!name.startsWith('/'))
        throw new PlatformError('Invalid', `image archive ${name}: must be an absolute path`);
      const loaded = await images.load(name);
      return loaded.map((image) => image.references[0] ?? image.id).join(', ');
    }
    const auth = parseAuth(request.auth);
    return (await images.pull(name, { signal, ...(auth === undefined ? {} : { auth }) })).id;
  };

  const usage = async () => {
    const timestamp = BigInt(Date.now()) * 1_000_000n;
    const { path, usedBytes, inodesUsed } = await images.usage();
    const imageFileSystem = {
      timestamp,
      fsId: { mountpoint: path },
      usedBytes: { value: BigInt(usedBytes) },
      inodesUsed: { value: BigInt(inodesUsed) },
    };
    return { imageFilesystems: [imageFileSystem], containerFilesystems: [imageFileSystem] };
  };

  return {
    listImages: handleUnary(
      log,
      'ListImages',
      async ({ filter }) => await Promise.resolve({ images: list(filter) }),
    ),
    streamImages: handleServerStream(log, 'StreamImages', async function* ({ filter }) {
      for (const page of pages(list(filter))) yield await Promise.resolve({ images: page });
    }),
    imageStatus: handleUnary(log, 'ImageStatus', async ({ image, verbose }) => {
      const found = images.find(named(image));
      const info: Record<string, string> =
        verbose && found !== undefined ? { config: JSON.stringify(found.config) } : {};
      // An image that is not here is an answer without image, not an error.
      return await Promise.resolve({ image: found === undefined ? undefined : toImage(found), info });
    }),
    pullImage: handleUnary(log, 'PullImage', async (request, signal) => ({
      imageRef: await pull(request, signal),
    })),
    removeImage: handleUnary(log, 'RemoveImage', async ({ image }) => {
      await images.remove(named(image));
      return {};
    }),
    imageFsInfo: handleUnary(log, 'ImageFsInfo', usage),
  };
}
