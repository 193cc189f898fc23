import { PlatformError } from '@hypernetes/foundation/errors';
import type { ImageConfig } from './image-store.ts';
import { isDigest } from './reference.ts';

/** Media types asked for, OCI and Docker v2 schema 2 (image-spec media-types.md). */
export const manifestMediaTypes: readonly string[] = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
];

const layersMax = 512;
const manifestsMax = 1024;
const listMax = 4096;

/** Content by digest, as a manifest points at it (image-spec descriptor.md). */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly sizeBytes: number;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface PlatformDescriptor extends Descriptor {
  readonly os: string;
  readonly architecture: string;
}

export type Manifest =
  | { readonly kind: 'index'; readonly manifests: readonly PlatformDescriptor[] }
  | { readonly kind: 'image'; readonly config: Descriptor; readonly layers: readonly Descriptor[] };

export interface ParsedImageConfig {
  readonly config: ImageConfig;
  readonly diffIds: readonly string[];
  readonly os: string;
  readonly architecture: string;
}

type Json = Readonly<Record<string, unknown>>;

function invalid(what: string, why: string): PlatformError {
  return new PlatformError('Invalid', `${what}: ${why}`);
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function parseObject(bytes: Uint8Array, what: string): Json {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new PlatformError('Invalid', `${what}: not JSON`, { cause });
  }
  if (!isObject(value)) throw invalid(what, 'not a JSON object');
  return value;
}

function stringOr(value: unknown, fallback: string): string {
  return typeof value === 'string' ? value : fallback;
}

function strings(value: unknown, what: string): readonly string[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value) || value.length > listMax || !value.every((item) => typeof item === 'string')) {
    throw invalid(what, `must be a list of at most ${listMax} strings`);
  }
  return value;
}

function stringRecord(value: unknown): Readonly<Record<string, string>> {
  if (!isObject(value)) return {};
  return Object.fromEntries(
    Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}

function parseDescriptor(value: unknown, what: string): Descriptor {
  if (!isObject(value)) throw invalid(what, 'not a descriptor');
  const { digest, size } = value;
  if (typeof digest !== 'string' || !isDigest(digest))
    throw invalid(what, 'digest is not sha256:<64 hex digits>');
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw invalid(what, 'size is not a whole number of bytes');
  }
  return {
    mediaType: stringOr(value['mediaType'], ''),
    digest,
    sizeBytes: size,
    annotations: stringRecord(value['annotations']),
  };
}

function parsePlatformDescriptor(value: unknown, what: string): PlatformDescriptor {
  const platform = isObject(value) && isObject(value['platform']) ? value['platform'] : {};
  return {
    ...parseDescriptor(value, what),
    os: stringOr(platform['os'], ''),
    architecture: stringOr(platform['architecture'], ''),
  };
}

function parseList<T>(
  value: unknown,
  what: string,
  max: number,
  parse: (item: unknown, what: string) => T,
): T[] {
  if (!Array.isArray(value) || value.length > max) throw invalid(what, `must be a list of at most ${max}`);
  return value.map((item, index) => parse(item, `${what}[${index}]`));
}

/** Reads a manifest or index. What it is, is decided by its fields; one that could be read both ways is refused. */
export function parseManifest(bytes: Uint8Array, what: string): Manifest {
  const value = parseObject(bytes, what);
  if (value['schemaVersion'] === 1) {
    throw invalid(what, 'manifest schema 1 is not supported; push the image again with a current client');
  }
  const isIndex = 'manifests' in value;
  if (isIndex === ('layers' in value || 'config' in value)) {
    throw invalid(what, 'neither an image manifest nor an index, or both at once');
  }
  if (isIndex) {
    return {
      kind: 'index',
      manifests: parseList(value['manifests'], `${what} manifests`, manifestsMax, parsePlatformDescriptor),
    };
  }
  return {
    kind: 'image',
    config: parseDescriptor(value['config'], `${what} config`),
    layers: parseList(value['layers'], `${what} layers`, layersMax, parseDescriptor),
  };
}

/** The entry for a platform; NotFound lists what there is. */
export function selectPlatform(
  manifests: readonly PlatformDescriptor[],
  architecture: string,
  what: string,
): PlatformDescriptor {
  const found = manifests.find((entry) => entry.os === 'linux' && entry.architecture === architecture);
  if (found !== undefined) return found;
  // Layouts made for one machine often leave the platform out; the image configuration is checked later all the same.
  const [only] = manifests;
  if (only !== undefined && manifests.length === 1 && only.os === '') return only;
  const offered = manifests.map((entry) => `${entry.os}/${entry.architecture}`).join(', ');
  throw new PlatformError('NotFound', `${what}: no image for linux/${architecture}; there is: ${offered}`);
}

function parseExecution(value: Json, what: string): ImageConfig {
  return {
    user: stringOr(value['User'], ''),
    env: strings(value['Env'], `${what} Env`),
    entrypoint: strings(value['Entrypoint'], `${what} Entrypoint`),
    command: strings(value['Cmd'], `${what} Cmd`),
    workingDir: stringOr(value['WorkingDir'], ''),
    stopSignal: stringOr(value['StopSignal'], ''),
    volumes: isObject(value['Volumes']) ? Object.keys(value['Volumes']) : [],
    exposedPorts: isObject(value['ExposedPorts']) ? Object.keys(value['ExposedPorts']) : [],
    labels: stringRecord(value['Labels']),
  };
}

/** Reads an image configuration (image-spec config.md; Docker's is the same). */
export function parseImageConfig(bytes: Uint8Array, what: string): ParsedImageConfig {
  const value = parseObject(bytes, what);
  const rootfs = isObject(value['rootfs']) ? value['rootfs'] : {};
  const diffIds = strings(rootfs['diff_ids'], `${what} rootfs.diff_ids`);
  if (!diffIds.every(isDigest))
    throw invalid(what, 'rootfs.diff_ids holds something that is not a sha256 digest');
  return {
    config: parseExecution(isObject(value['config']) ? value['config'] : {}, what),
    diffIds,
    os: stringOr(value['os'], ''),
    architecture: stringOr(value['architecture'], ''),
  };
}
