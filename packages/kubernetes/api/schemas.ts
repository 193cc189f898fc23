import { readFileSync } from 'node:fs';
import { PlatformError } from '@hypernetes/foundation/errors';
import type { Schema } from './schema.ts';
import { completeDefinitions } from './schema-tables.ts';

export type { Schema } from './schema.ts';

/** All schemas by definition name. */
export interface Schemas {
  readonly definitions: ReadonlyMap<string, Schema>;
}

const loaded = new Map<string, Schemas>();

/**
 * Reads build/schemas.json (made by tools/generate-schemas.mjs), once per path, and adds what the tables of this package know.
 * NotFound: the file is not there, build it. Internal: it is damaged or of another version.
 */
export function loadSchemas(path: string): Schemas {
  const before = loaded.get(path);
  if (before !== undefined) return before;
  const schemas = { definitions: readDefinitions(path) };
  loaded.set(path, schemas);
  return schemas;
}

function readDefinitions(path: string): ReadonlyMap<string, Schema> {
  try {
    const file = JSON.parse(readFileSync(path, 'utf8')) as { definitions: Record<string, Schema> };
    const definitions = new Map(Object.entries(file.definitions));
    completeDefinitions(definitions);
    return definitions;
  } catch (cause) {
    if ((cause as { code?: unknown }).code === 'ENOENT') {
      throw new PlatformError('NotFound', `load schemas ${path}: not there; run tools/generate-schemas.mjs`, {
        cause,
      });
    }
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new PlatformError('Internal', `load schemas ${path}: ${why}`, { cause });
  }
}

const prefix = '#/definitions/';

/** Name of the definition a schema refers to, or undefined. */
export function referencedDefinition(schema: Schema): string | undefined {
  return schema.$ref?.slice(prefix.length);
}

/** The schema itself, or the definition it refers to. */
export function resolveSchema(schemas: Schemas, schema: Schema): Schema {
  const name = referencedDefinition(schema);
  return name === undefined ? schema : definition(schemas, name);
}

/** The definition of this name. Throws Internal when there is none: the kinds and the schemas do not fit. */
export function definition(schemas: Schemas, name: string): Schema {
  const found = schemas.definitions.get(name);
  if (found === undefined) throw new PlatformError('Internal', `schemas: there is no definition ${name}`);
  return found;
}
