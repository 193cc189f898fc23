import { apiVersionOf, type ApiObject, type Kind } from '../../api/index.ts';
import type { CachedObject } from '../cache/cached-object.ts';
import type { Column, ColumnSet } from '../columns/index.ts';
import type { Representation } from '../http/negotiation.ts';
import { badRequest } from '../../api/index.ts';

export type IncludeObject = 'None' | 'Metadata' | 'Object';

/** How one request wants to see objects of a kind. */
export interface Rendering {
  readonly kind: Kind;
  readonly columns: ColumnSet;
  readonly representation: Representation;
  readonly includeObject: IncludeObject;
}

interface ListMetadata {
  readonly resourceVersion: string;
  readonly continue?: string;
  readonly remainingItemCount?: number;
}

/** The `includeObject` parameter of Table requests. */
export function parseIncludeObject(value: string | null): IncludeObject {
  if (value === null || value === '') return 'Metadata';
  if (value === 'None' || value === 'Metadata' || value === 'Object') return value;
  throw badRequest(`unrecognized includeObject value: ${JSON.stringify(value)}`);
}

function metaApiVersion(rendering: Rendering): string {
  return `meta.k8s.io/${rendering.representation.metaVersion}`;
}

function partialMetadata(object: ApiObject, apiVersion: string): Record<string, unknown> {
  return { kind: 'PartialObjectMetadata', apiVersion, metadata: object.metadata };
}

function tableRow(item: CachedObject, rendering: Rendering, now: number): string {
  const cells = JSON.stringify(rendering.columns.cells(item.object, now));
  const object =
    rendering.includeObject === 'None'
      ? 'null'
      : rendering.includeObject === 'Object'
        ? item.json
        : JSON.stringify(partialMetadata(item.object, metaApiVersion(rendering)));
  return `{"cells":${cells},"object":${object}}`;
}

const definitionsOf = new WeakMap<readonly Column[], string>();

function columnDefinitions(columns: readonly Column[]): string {
  let text = definitionsOf.get(columns);
  if (text === undefined) {
    text = JSON.stringify(columns);
    definitionsOf.set(columns, text);
  }
  return text;
}

function table(rows: readonly string[], metadata: ListMetadata, rendering: Rendering): string {
  return (
    `{"kind":"Table","apiVersion":"${metaApiVersion(rendering)}","metadata":${JSON.stringify(metadata)},` +
    `"columnDefinitions":${columnDefinitions(rendering.columns.columns)},"rows":[${rows.join(',')}]}`
  );
}

/** One object as JSON text in the wanted representation. */
export function renderObject(item: CachedObject, rendering: Rendering, now: number): string {
  switch (rendering.representation.as) {
    case 'object':
      return item.json;
    case 'PartialObjectMetadata':
      return JSON.stringify(partialMetadata(item.object, metaApiVersion(rendering)));
    case 'Table': {
      const resourceVersion = item.object.metadata.resourceVersion ?? '';
      return table([tableRow(item, rendering, now)], { resourceVersion }, rendering);
    }
  }
}

/** A list as JSON text; items were encoded before and are only joined. */
export function renderList(
  items: readonly CachedObject[],
  metadata: ListMetadata,
  rendering: Rendering,
  now: number,
): string {
  const { kind } = rendering;
  const head = (listKind: string, apiVersion: string): string =>
    `{"kind":"${listKind}","apiVersion":"${apiVersion}","metadata":${JSON.stringify(metadata)},"items":[`;
  switch (rendering.representation.as) {
    case 'object':
      return `${head(kind.listKind, apiVersionOf(kind))}${items.map((item) => item.json).join(',')}]}`;
    case 'PartialObjectMetadata': {
      const apiVersion = metaApiVersion(rendering);
      const partials = items.map((item) => JSON.stringify(partialMetadata(item.object, apiVersion)));
      return `${head('PartialObjectMetadataList', apiVersion)}${partials.join(',')}]}`;
    }
    case 'Table':
      return table(
        items.map((item) => tableRow(item, rendering, now)),
        metadata,
        rendering,
      );
  }
}

/** A bookmark's object: nothing but kind and version. */
export function renderBookmark(
  resourceVersion: string,
  annotations: Readonly<Record<string, string>> | undefined,
  rendering: Rendering,
): string {
  const { kind } = rendering;
  const metadata = {
    resourceVersion,
    creationTimestamp: null,
    ...(annotations === undefined ? {} : { annotations }),
  };
  const object = { kind: kind.kind, apiVersion: apiVersionOf(kind), metadata };
  switch (rendering.representation.as) {
    case 'object':
      return JSON.stringify(object);
    case 'PartialObjectMetadata':
      return JSON.stringify({
        ...object,
        kind: 'PartialObjectMetadata',
        apiVersion: metaApiVersion(rendering),
      });
    case 'Table': {
      const partial = { kind: 'PartialObjectMetadata', apiVersion: metaApiVersion(rendering), metadata };
      return table([`{"cells":[],"object":${JSON.stringify(partial)}}`], { resourceVersion }, rendering);
    }
  }
}
