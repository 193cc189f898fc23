import { PlatformError } from '@hypernetes/foundation/errors';

/** One schema in the vocabulary of Swagger 2.0 with Kubernetes' extensions. */
export interface Schema {
  description?: string;
  type?: 'object' | 'array' | 'string' | 'integer' | 'number' | 'boolean';
  format?: string;
  $ref?: string;
  items?: Schema;
  additionalProperties?: Schema;
  properties?: Record<string, Schema>;
  required?: string[];
  enum?: string[];
  default?: unknown;
  'x-kubernetes-patch-strategy'?: string;
  'x-kubernetes-patch-merge-key'?: string;
  'x-kubernetes-list-type'?: 'atomic' | 'set' | 'map';
  'x-kubernetes-list-map-keys'?: string[];
  'x-kubernetes-map-type'?: 'atomic' | 'granular';
  'x-kubernetes-int-or-string'?: boolean;
  'x-kubernetes-unions'?: unknown;
  'x-kubernetes-group-version-kind'?: { group: string; version: string; kind: string }[];
}

/** All schemas by definition name. */
export interface Schemas {
  readonly definitions: ReadonlyMap<string, Schema>;
}

/** Reads build/schemas.json (made by tools/generate-schemas.mjs) once per path and adds what the tables of this package know. */
export function loadSchemas(path: string): Schemas {
  throw new PlatformError('Unimplemented', `load schemas ${path}: not there yet`);
}
