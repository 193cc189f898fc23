import { badRequest } from './errors.ts';
import { setField } from './fields.ts';
import { scanJson } from './json-scan.ts';
import type { Kind } from './kind.ts';
import { apiVersionOf } from './kinds.ts';
import type { ApiObject } from './object.ts';
import { formatQuantity, tryParseQuantity } from './quantity.ts';
import { wellKnown } from './schema-tables.ts';
import { definition, referencedDefinition, type Schema, type Schemas } from './schemas.ts';
import { parseTimestamp } from './timestamp.ts';

export type FieldValidation = 'Ignore' | 'Warn' | 'Strict';

/** What decoding needs of a kind; subresource bodies have one too. */
export type DecodedKind = Pick<Kind, 'group' | 'version' | 'kind' | 'definition'>;

/** DeleteOptions of a DELETE request's body. Clients send it with the apiVersion of any group. */
export const deleteOptionsKind: DecodedKind = {
  group: '',
  version: 'v1',
  kind: 'DeleteOptions',
  definition: 'io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions',
};

/** Warnings and errors told about one body; more are counted. */
const complaintsMax = 50;

/**
 * An object from a request body: JSON text, or the value when it was parsed before (YAML, the result of a patch). Unknown fields and nulls are
 * dropped, quantities and times become canonical; Strict refuses unknown and duplicate fields, Warn returns them as
 * warnings. Throws a 400 (badRequest) for text that is not JSON, for another apiVersion or kind, and for values of the wrong
 * type. A missing apiVersion or kind is filled in. The body is not changed and nothing of it is shared with the result.
 */
export function decodeObject(
  schemas: Schemas,
  kind: DecodedKind,
  body: string | Readonly<Record<string, unknown>>,
  options: { readonly fieldValidation: FieldValidation },
): { readonly object: ApiObject; readonly warnings: readonly string[] } {
  const parsed = typeof body === 'string' ? parseJson(body) : { value: body, duplicates: [] };
  const source = parsed.value;
  assertKind(kind, source);
  const decoder = new Decoder(schemas, kind);
  const object = decoder.struct(definition(schemas, kind.definition), source, '') as Record<string, unknown>;
  const complaints = [
    ...parsed.duplicates.map((path) => `duplicate field "${path}"`),
    ...decoder.unknown.map((path) => `unknown field "${path}"`),
  ];
  if (options.fieldValidation === 'Strict' && complaints.length > 0) {
    throw cannotHandle(kind, `strict decoding error: ${limited(complaints).join(', ')}`);
  }
  const result = object as ApiObject;
  result.apiVersion = apiVersionOf(kind);
  result.kind = kind.kind;
  if (object['metadata'] === undefined && hasMetadata(schemas, kind)) result.metadata = {};
  return { object: result, warnings: options.fieldValidation === 'Warn' ? limited(complaints) : [] };
}

function limited(complaints: readonly string[]): string[] {
  if (complaints.length <= complaintsMax) return [...complaints];
  return [...complaints.slice(0, complaintsMax), `and ${complaints.length - complaintsMax} more`];
}

function hasMetadata(schemas: Schemas, kind: DecodedKind): boolean {
  return definition(schemas, kind.definition).properties?.['metadata'] !== undefined;
}

/** The JSON value of a body, or a 400; also says which fields occur twice. Use it for patches as well. */
export function parseJson(text: string): {
  readonly value: Readonly<Record<string, unknown>>;
  readonly duplicates: readonly string[];
} {
  const value = parseJsonValue(text);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw badRequest(`the request body must be a JSON object, not ${jsonTypeName(value)}`);
  }
  return { value: value as Readonly<Record<string, unknown>>, duplicates: scanJson(text).duplicates };
}

/** Any JSON value (JSON patches are lists), or a 400. */
export function parseJsonValue(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : 'not JSON';
    throw badRequest(`couldn't get version/kind; json parse error: ${why}`, { cause });
  }
  if (scanJson(text).tooDeep) throw badRequest('the request body is nested too deeply');
  return value;
}

function assertKind(kind: DecodedKind, body: Readonly<Record<string, unknown>>): void {
  const { apiVersion, kind: name } = body;
  const expected = apiVersionOf(kind);
  const given = apiVersion ?? '';
  if (given !== '' && given !== expected && kind.kind !== 'DeleteOptions') {
    throw badRequest(
      `the API version in the data (${shown(given)}) does not match the expected API version (${expected})`,
    );
  }
  if ((name ?? '') !== '' && name !== kind.kind) {
    throw badRequest(`the kind in the data (${shown(name)}) does not match the expected kind (${kind.kind})`);
  }
}

function shown(value: unknown): string {
  return typeof value === 'string' ? value : jsonTypeName(value);
}

function cannotHandle(kind: DecodedKind, why: string): Error {
  return badRequest(`${kind.kind} in version "${kind.version}" cannot be handled as a ${kind.kind}: ${why}`);
}

/** Copies what the schema knows. */
class Decoder {
  readonly unknown: string[] = [];
  readonly #schemas: Schemas;
  readonly #kind: DecodedKind;

  constructor(schemas: Schemas, kind: DecodedKind) {
    this.#schemas = schemas;
    this.#kind = kind;
  }

  struct(schema: Schema, value: Readonly<Record<string, unknown>>, path: string): unknown {
    const result: Record<string, unknown> = {};
    for (const [name, each] of Object.entries(value)) {
      const field = path === '' ? name : `${path}.${name}`;
      const known = Object.hasOwn(schema.properties ?? {}, name) ? schema.properties?.[name] : undefined;
      if (known === undefined) this.unknown.push(field);
      else if (each !== null && each !== undefined) result[name] = this.#value(known, each, field);
    }
    return result;
  }

  #value(schema: Schema, value: unknown, path: string): unknown {
    const name = referencedDefinition(schema);
    if (name !== undefined) return this.#named(name, value, path);
    switch (schema.type) {
      case 'array':
        return this.#list(schema.items ?? {}, value, path);
      case 'object':
        return this.#object(schema, value, path);
      case 'string':
        return this.#text(schema, value, path);
      case 'integer':
        return this.#integer(schema, value, path);
      case 'number':
        if (typeof value !== 'number') throw this.#mismatch(value, path, 'float64');
        return value;
      case 'boolean':
        if (typeof value !== 'boolean') throw this.#mismatch(value, path, 'bool');
        return value;
      case undefined:
        return copy(value);
    }
  }

  #named(name: string, value: unknown, path: string): unknown {
    switch (name) {
      case wellKnown.quantity:
        return this.#quantity(value, path);
      case wellKnown.time:
        return this.#time(value, path, false);
      case wellKnown.microTime:
        return this.#time(value, path, true);
      case wellKnown.intOrString:
        if (typeof value === 'string') return value;
        return this.#integer({ format: 'int32' }, value, path, 'intstr.IntOrString');
      case wellKnown.raw:
        return copy(value);
      default:
        return this.#object(definition(this.#schemas, name), value, path, name);
    }
  }

  #object(schema: Schema, value: unknown, path: string, name?: string): unknown {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw this.#mismatch(value, path, name?.split('.').slice(-2).join('.') ?? 'map[string]string');
    }
    const fields = value as Readonly<Record<string, unknown>>;
    if (schema.additionalProperties !== undefined) {
      return this.#map(schema.additionalProperties, fields, path);
    }
    return this.struct(schema, fields, path);
  }

  #map(schema: Schema, value: Readonly<Record<string, unknown>>, path: string): unknown {
    const result: Record<string, unknown> = {};
    for (const [key, each] of Object.entries(value)) {
      setField(result, key, this.#value(schema, each ?? this.#zero(schema), `${path}.${key}`));
    }
    return result;
  }

  #list(schema: Schema, value: unknown, path: string): unknown[] {
    if (!Array.isArray(value)) throw this.#mismatch(value, path, `[]${this.#typeName(schema)}`);
    return value.map((each: unknown, index) =>
      this.#value(schema, each ?? this.#zero(schema), `${path}[${index}]`),
    );
  }

  #text(schema: Schema, value: unknown, path: string): string {
    if (typeof value !== 'string') throw this.#mismatch(value, path, 'string');
    if (schema.format === 'byte') {
      const valid = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;
      const compact = value.replace(/[\r\n]/g, '');
      if (!valid.test(compact)) throw this.#wrong(path, 'illegal base64 data');
      return compact;
    }
    return value;
  }

  #integer(schema: Schema, value: unknown, path: string, type = schema.format ?? 'int32'): number {
    if (typeof value !== 'number') throw this.#mismatch(value, path, type);
    // JSON numbers are doubles here: beyond 2^53 an int64 would silently become another number.
    const limit = schema.format === 'int64' ? Number.MAX_SAFE_INTEGER : 2_147_483_647;
    if (!Number.isInteger(value) || value > limit || value < -limit - 1) {
      throw this.#mismatch(value, path, type, `number ${value}`);
    }
    return value;
  }

  #quantity(value: unknown, path: string): string {
    if (typeof value !== 'string' && typeof value !== 'number') {
      throw this.#mismatch(value, path, 'resource.Quantity');
    }
    const quantity = tryParseQuantity(String(value));
    if (quantity !== undefined) return formatQuantity(quantity);
    throw this.#wrong(
      path,
      `quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'`,
    );
  }

  #time(value: unknown, path: string, micro: boolean): string {
    if (typeof value !== 'string') throw this.#mismatch(value, path, micro ? 'v1.MicroTime' : 'v1.Time');
    const time = parseTimestamp(value, micro);
    if (time !== undefined) return time;
    throw this.#wrong(
      path,
      `parsing time ${JSON.stringify(value)}: must be RFC 3339, e.g. "2006-01-02T15:04:05Z"`,
    );
  }

  /** What a null inside a list or map stands for: the zero value of its type. */
  #zero(schema: Schema): unknown {
    const name = referencedDefinition(schema);
    if (name === wellKnown.quantity) return '0';
    if (name === wellKnown.intOrString) return 0;
    const type = name === undefined ? schema.type : (definition(this.#schemas, name).type ?? 'object');
    if (type === 'string') return '';
    if (type === 'boolean') return false;
    if (type === 'integer' || type === 'number') return 0;
    return type === 'array' ? [] : {};
  }

  #typeName(schema: Schema): string {
    return referencedDefinition(schema)?.split('.').slice(-2).join('.') ?? schema.type ?? 'object';
  }

  #mismatch(value: unknown, path: string, type: string, found = jsonTypeName(value)): Error {
    const where = `Go struct field ${this.#kind.kind}.${path} of type ${type}`;
    return cannotHandle(this.#kind, `json: cannot unmarshal ${found} into ${where}`);
  }

  #wrong(path: string, why: string): Error {
    return cannotHandle(this.#kind, `${path}: ${why}`);
  }
}

function jsonTypeName(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  return typeof value === 'boolean' ? 'bool' : typeof value;
}

function copy(value: unknown): unknown {
  return typeof value === 'object' ? structuredClone(value) : value;
}
