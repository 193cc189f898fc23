import { resolve } from 'node:path';
import { access } from 'node:fs/promises';
import { credentials } from '@grpc/grpc-js';
import type { Command } from 'commander';
import { PlatformError } from '@hypernetes/foundation/errors';
import { callUnary, clientOptions, unixAddress } from '@hypernetes/foundation/grpc';
import {
  ImageServiceClient,
  ImageSpec,
  ListImagesRequest,
  PullImageRequest,
  RemoveImageRequest,
} from '@hypernetes/proto/cri';
import type { Installation } from '../config/installation.ts';
import { createProgress } from '../output/progress.ts';
import { printList } from '../output/table.ts';
import { installationOf, requireRoot } from './options.ts';

/** Says to hyperd that the image named is an archive on this host; the kubelet never sets it, so no pod can. */
const archiveAnnotation = 'hypernetes.io/archive';

const pullTimeoutMs = 1_800_000;

async function withImages<T>(
  installation: Installation,
  work: (client: ImageServiceClient) => Promise<T>,
): Promise<T> {
  const client = new ImageServiceClient(
    unixAddress(installation.hyperdSocket),
    credentials.createInsecure(),
    clientOptions,
  );
  try {
    return await work(client);
  } finally {
    client.close();
  }
}

export function addImage(program: Command): void {
  const image = program.command('image').description('images on this node');

  image
    .command('list')
    .alias('ls')
    .option('--json', 'as JSON')
    .description('list images')
    .action(async (options: { json?: boolean }, command: Command) => {
      requireRoot('image list');
      const { images } = await withImages(
        installationOf(command),
        async (client) =>
          await callUnary(client.listImages.bind(client), ListImagesRequest.fromPartial({}), 10_000),
      );
      if (options.json === true) {
        printList(images, true, {});
        return;
      }
      // One image may have several references: a row for each.
      const rows = images.flatMap((item) =>
        (item.repoTags.length > 0 ? item.repoTags : [item.repoDigests[0] ?? '<none>']).map((reference) => ({
          reference,
          item,
        })),
      );
      printList(rows, false, {
        REFERENCE: ({ reference }) => reference,
        ID: ({ item }) => item.id.replace('sha256:', '').slice(0, 12),
        SIZE: ({ item }) => `${(Number(item.size) / 2 ** 20).toFixed(1)} MiB`,
      });
    });

  image
    .command('pull')
    .argument('<reference>', 'as in a pod, e.g. nginx')
    .description('pull an image from its registry')
    .action(async (reference: string, _options: object, command: Command) => {
      requireRoot('image pull');
      const pulled = await createProgress().step(
        `pull ${reference}`,
        async () => await pull(installationOf(command), { image: reference }),
      );
      console.log(pulled);
    });

  image
    .command('load')
    .argument('<file>', 'OCI layout or docker archive (tar)')
    .description('load images from a file')
    .addHelpText('after', '\nExample:\n  sudo ./hypernetes image load image.tar\n')
    .action(async (file: string, _options: object, command: Command) => {
      requireRoot('image load');
      const path = resolve(file);
      await access(path).catch(() => {
        throw new PlatformError('NotFound', `${file}: no such file`);
      });
      const loaded = await createProgress().step(
        `load ${file}`,
        async () =>
          await pull(installationOf(command), { image: path, annotations: { [archiveAnnotation]: 'true' } }),
      );
      console.log(loaded);
    });

  image
    .command('rm')
    .argument('<reference>', 'reference or identifier')
    .description('remove an image')
    .action(async (reference: string, _options: object, command: Command) => {
      requireRoot('image rm');
      await withImages(installationOf(command), async (client) => {
        await callUnary(
          client.removeImage.bind(client),
          RemoveImageRequest.fromPartial({ image: { image: reference } }),
          30_000,
        );
      });
      console.log(`image ${reference} removed`);
    });
}

async function pull(
  installation: Installation,
  spec: { readonly image: string; readonly annotations?: Record<string, string> },
): Promise<string> {
  return await withImages(installation, async (client) => {
    const request = PullImageRequest.fromPartial({ image: ImageSpec.fromPartial(spec) });
    return (await callUnary(client.pullImage.bind(client), request, pullTimeoutMs)).imageRef;
  });
}
