import { PlatformError, isPlatformError, toPlatformError } from '@hypernetes/foundation/errors';
import type { NewImage } from './image-index.ts';
import type { PullOptions } from './image-store.ts';
import { Slots, type LayerFolder } from './layer-folder.ts';
import {
  parseImageConfig,
  parseManifest,
  selectPlatform,
  type Descriptor,
  type Manifest,
  type ParsedImageConfig,
} from './manifest.ts';
import { formatReference, repositoryName, type ImageReference } from './reference.ts';
import { RegistryClient, type FetchedManifest } from './registry-client.ts';
import type { RegistryEndpoint } from './registry-endpoints.ts';
import type { RegistryHttp } from './registry-http.ts';

const indexDepthMax = 3;

export interface PullContext {
  readonly transport: RegistryHttp;
  readonly endpoints: readonly RegistryEndpoint[];
  readonly layers: LayerFolder;
  readonly architecture: string;
  readonly attempts: number;
  /** Downloaded at the same time, for one image: a registry that gives nothing holds up its own images only. */
  readonly downloadsAtOnce: number;
}

interface ResolvedImage {
  /** Of what the reference names: the index, if it is one. */
  readonly digest: string;
  readonly manifest: Extract<Manifest, { kind: 'image' }>;
  readonly config: ParsedImageConfig;
}

/** Checks the parts of an image against each other, whichever way it came. */
export function checkImage(
  what: string,
  layers: readonly unknown[],
  config: ParsedImageConfig,
  architecture: string,
): void {
  if (config.diffIds.length !== layers.length) {
    throw new PlatformError(
      'Invalid',
      `${what}: the configuration names ${config.diffIds.length} layers, the manifest ${layers.length}`,
    );
  }
  if (config.os !== 'linux' || config.architecture !== architecture) {
    throw new PlatformError(
      'NotFound',
      `${what}: is an image for ${config.os || '?'}/${config.architecture || '?'}, not for linux/${architecture}`,
    );
  }
}

function unsupported(layer: Descriptor): boolean {
  return layer.mediaType.includes('encrypted');
}

class EndpointPull {
  readonly #context: PullContext;
  readonly #client: RegistryClient;
  readonly #what: string;

  constructor(context: PullContext, client: RegistryClient, what: string) {
    this.#context = context;
    this.#client = client;
    this.#what = what;
  }

  async resolve(tagOrDigest: string): Promise<ResolvedImage> {
    const first = await this.#client.manifest(tagOrDigest);
    const manifest = await this.#imageManifest(first, 0);
    const config = parseImageConfig(await this.#client.blob(manifest.config), `${this.#what} configuration`);
    checkImage(this.#what, manifest.layers, config, this.#context.architecture);
    if (manifest.layers.some(unsupported)) {
      throw new PlatformError('Unimplemented', `${this.#what}: encrypted layers are not supported`);
    }
    const tooLarge = manifest.layers.find((layer) => layer.sizeBytes > this.#context.layers.archiveBytesMax);
    if (tooLarge !== undefined) {
      throw new PlatformError(
        'Invalid',
        `${this.#what}: layer ${tooLarge.digest} of ${tooLarge.sizeBytes} bytes is larger than ${this.#context.layers.archiveBytesMax}`,
      );
    }
    return { digest: first.digest, manifest, config };
  }

  async download(layer: Descriptor, path: string, onBytes: (count: number) => void): Promise<void> {
    await this.#client.download(layer, path, onBytes);
  }

  async #imageManifest(
    fetched: FetchedManifest,
    depth: number,
  ): Promise<Extract<Manifest, { kind: 'image' }>> {
    const manifest = parseManifest(fetched.bytes, `${this.#what} manifest ${fetched.digest}`);
    if (manifest.kind === 'image') return manifest;
    if (depth === indexDepthMax) throw new PlatformError('Invalid', `${this.#what}: indexes nested too deep`);
    const chosen = selectPlatform(manifest.manifests, this.#context.architecture, this.#what);
    return await this.#imageManifest(await this.#client.manifest(chosen.digest), depth + 1);
  }
}

/** The error that says most, when every endpoint failed: one that answered beats one that could not be reached. */
function worst(
  errors: readonly { endpoint: RegistryEndpoint; error: PlatformError }[],
  what: string,
): PlatformError {
  const asked = errors.map(
    ({ endpoint, error }) => `${endpoint.url.href.replace(/\/$/, '')}: ${error.message}`,
  );
  const answered = errors.filter(({ error }) => !error.retryable);
  const chosen = (answered.find(({ error }) => error.reason !== 'NotFound') ?? answered[0] ?? errors[0])
    ?.error;
  if (chosen === undefined) return new PlatformError('Internal', `${what}: no registry to ask`);
  const only = errors.length === 1 || errors.every(({ error }) => error.message === chosen.message);
  if (only && chosen.message.startsWith(what)) return chosen;
  const message = chosen.message.startsWith(what) ? chosen.message : `${what}: ${chosen.message}`;
  const detail = errors.length === 1 ? '' : ` (${asked.join('; ')})`;
  return new PlatformError(chosen.reason, `${message}${detail}`, { cause: chosen });
}

async function firstThatWorks<T>(
  what: string,
  endpoints: readonly RegistryEndpoint[],
  signal: AbortSignal | undefined,
  work: (endpoint: RegistryEndpoint, isLastChance: boolean) => Promise<T>,
): Promise<T> {
  const errors: { endpoint: RegistryEndpoint; error: PlatformError }[] = [];
  for (const endpoint of endpoints) {
    try {
      // Once somebody has answered "no", the rest is asked only once each: they are there to be found, not to be waited for.
      return await work(
        endpoint,
        errors.some(({ error }) => !error.retryable),
      );
    } catch (thrown) {
      const error = toPlatformError(thrown, what);
      if (error.reason === 'Canceled' || error.reason === 'Internal' || signal?.aborted === true) throw error;
      errors.push({ endpoint, error });
    }
  }
  throw worst(errors, what);
}

/** Pulls an image: what it answers has all its layers on disk. */
export async function pullImage(
  context: PullContext,
  reference: ImageReference,
  options: PullOptions,
  commit: (image: NewImage) => Promise<void>,
): Promise<void> {
  const what = formatReference(reference);
  const open = (endpoint: RegistryEndpoint, attempts: number): EndpointPull => {
    const client = new RegistryClient({
      transport: context.transport,
      endpoint,
      repository: reference.repository,
      what,
      attempts,
      ...(options.auth === undefined || endpoint.isMirror ? {} : { auth: options.auth }),
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    return new EndpointPull(context, client, what);
  };
  const { endpoint, pull, image } = await firstThatWorks(
    what,
    context.endpoints,
    options.signal,
    async (endpoint, isLastChance) => {
      const pull = open(endpoint, isLastChance ? 1 : context.attempts);
      return { endpoint, pull, image: await pull.resolve(reference.digest ?? reference.tag ?? 'latest') };
    },
  );
  const others = context.endpoints.filter((other) => other !== endpoint);
  await context.layers.holding(image.config.diffIds, async () => {
    await pullLayers(context, image, endpoint.url, options, async (layer, path, onBytes) => {
      await firstThatWorks(what, [endpoint, ...others], options.signal, async (from) => {
        const source = from === endpoint ? pull : open(from, 1);
        await source.download(layer, path, onBytes);
      });
    });
    await commit(newImage(reference, image));
  });
}

type Download = (layer: Descriptor, path: string, onBytes: (count: number) => void) => Promise<void>;

async function pullLayers(
  context: PullContext,
  image: ResolvedImage,
  registry: URL,
  options: PullOptions,
  download: Download,
): Promise<void> {
  const { layers } = image.manifest;
  const slots = new Slots(context.downloadsAtOnce);
  const missing = image.config.diffIds.filter((diffId) => context.layers.find(diffId) === undefined);
  const totalBytes = layers.reduce(
    (sum, layer, index) => sum + (missing.includes(image.config.diffIds[index] ?? '') ? layer.sizeBytes : 0),
    0,
  );
  let downloadedBytes = 0;
  const results = await Promise.allSettled(
    layers.map(async (layer, index) => {
      const diffId = image.config.diffIds[index] ?? '';
      const fetch = async (path: string) => {
        await slots.run(async () => {
          options.signal?.throwIfAborted();
          await download(layer, path, (count) => {
            downloadedBytes += count;
            options.onProgress?.({ downloadedBytes, totalBytes });
          });
        });
        return { what: `layer ${layer.digest}`, path, offset: 0, sizeBytes: layer.sizeBytes };
      };
      await context.layers.ensure(diffId, `${registry.href} ${layer.digest}`, fetch, options.signal);
    }),
  );
  const failures = results.flatMap((result) =>
    result.status === 'rejected' ? [result.reason as unknown] : [],
  );
  if (failures.length === 0) return;
  throw failures.find((error) => !isPlatformError(error, 'Canceled')) ?? failures[0];
}

function newImage(reference: ImageReference, image: ResolvedImage): NewImage {
  const { manifest, config } = image;
  return {
    id: manifest.config.digest,
    references: reference.digest === undefined ? [formatReference(reference)] : [],
    digests: [`${repositoryName(reference)}@${image.digest}`],
    sizeBytes: manifest.layers.reduce((sum, layer) => sum + layer.sizeBytes, manifest.config.sizeBytes),
    config: config.config,
    diffIds: config.diffIds,
  };
}
