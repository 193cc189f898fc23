import { protobufType } from '../protobuf/decode-message.ts';
import { notAcceptable, unsupportedMediaType } from './status-error.ts';

/** How an answer is to look: which encoding, and whether as a Table or as metadata only. */
export interface Representation {
  readonly encoding: 'json' | 'yaml';
  readonly as: 'object' | 'Table' | 'PartialObjectMetadata';
  /** Version of meta.k8s.io for Table and PartialObjectMetadata: v1 or v1beta1. */
  readonly metaVersion: 'v1' | 'v1beta1';
}

export const plainJson: Representation = { encoding: 'json', as: 'object', metaVersion: 'v1' };

interface MediaRange {
  readonly type: string;
  readonly parameters: ReadonlyMap<string, string>;
  readonly quality: number;
}

const maxMediaRanges = 32;

/** The media ranges of an Accept header, the most wanted first; equal ones in the order they were written. */
export function parseAccept(header: string | undefined): MediaRange[] {
  if (header === undefined || header.trim() === '')
    return [{ type: '*/*', parameters: new Map(), quality: 1 }];
  const ranges = header.split(',').slice(0, maxMediaRanges).map(parseRange);
  return ranges
    .filter((range) => range.quality > 0)
    .map((range, index) => ({ range, index }))
    .sort((left, right) => right.range.quality - left.range.quality || left.index - right.index)
    .map(({ range }) => range);
}

function parseRange(text: string): MediaRange {
  const [type = '', ...rest] = text.split(';').map((part) => part.trim());
  const parameters = new Map<string, string>();
  for (const parameter of rest) {
    const at = parameter.indexOf('=');
    if (at > 0)
      parameters.set(parameter.slice(0, at).toLowerCase(), parameter.slice(at + 1).replaceAll('"', ''));
  }
  const quality = Number(parameters.get('q') ?? '1');
  return { type: type.toLowerCase(), parameters, quality: Number.isFinite(quality) ? quality : 0 };
}

const encodings: Readonly<Record<string, 'json' | 'yaml'>> = {
  'application/json': 'json',
  'application/yaml': 'yaml',
  '*/*': 'json',
  'application/*': 'json',
};

export const acceptedTypes = ['application/json', 'application/yaml'] as const;

/** The first representation of the Accept header this server has. 406 when there is none (protobuf alone, for instance). */
export function negotiate(header: string | undefined): Representation {
  for (const range of parseAccept(header)) {
    const representation = representationOf(range);
    if (representation !== undefined) return representation;
  }
  throw notAcceptable(acceptedTypes);
}

function representationOf(range: MediaRange): Representation | undefined {
  const encoding = encodings[range.type];
  if (encoding === undefined) return undefined;
  const as = range.parameters.get('as');
  if (as === undefined) return { ...plainJson, encoding };
  const version = range.parameters.get('v');
  if (range.parameters.get('g') !== 'meta.k8s.io') return undefined;
  if (version !== 'v1' && version !== 'v1beta1') return undefined;
  const wanted = as.replace(/List$/, '');
  if (wanted !== 'Table' && wanted !== 'PartialObjectMetadata') return undefined;
  return { encoding, as: wanted, metaVersion: version };
}

/** A short name of the representation: encodings of an event are kept by it. */
export function representationKey(representation: Representation): string {
  return `${representation.encoding}/${representation.as}/${representation.metaVersion}`;
}

/** Whether the Accept header asks for aggregated discovery, and in which version, before plain JSON. */
export function wantsAggregatedDiscovery(header: string | undefined): 'v2' | 'v2beta1' | undefined {
  for (const range of parseAccept(header)) {
    if (range.type !== 'application/json') continue;
    const as = range.parameters.get('as');
    if (as === undefined) return undefined;
    const version = range.parameters.get('v');
    const matches = as === 'APIGroupDiscoveryList' && range.parameters.get('g') === 'apidiscovery.k8s.io';
    if (matches && (version === 'v2' || version === 'v2beta1')) return version;
  }
  return undefined;
}

/** Media type of a request body without its parameters; absent means JSON. */
export function contentTypeOf(header: string | undefined): string {
  const type = header?.split(';')[0]?.trim().toLowerCase() ?? '';
  return type === '' ? 'application/json' : type;
}

/** The encoding of an object in a request body. 415 for what is none of JSON, YAML and the Kubernetes form of protobuf. */
export function bodyEncoding(header: string | undefined): 'json' | 'yaml' | 'protobuf' {
  const type = contentTypeOf(header);
  if (type === 'application/json') return 'json';
  if (type === protobufType) return 'protobuf';
  if (type === 'application/yaml' || type === 'application/x-yaml' || type === 'text/yaml') return 'yaml';
  throw unsupportedMediaType(type, acceptedTypes);
}
