import { badRequest } from './errors.ts';
import { setField } from './fields.ts';
import { resolveSchema, type Schema, type Schemas } from './schemas.ts';

// Strategic merge patch: like a merge patch, but lists of the kinds that say so merge by key, and directives delete, replace, keep and order.
// The rules: kubernetes/community, contributors/devel/sig-api-machinery/strategic-merge-patch.md.

type Fields = Record<string, unknown>;

const directive = {
  patch: '$patch',
  retainKeys: '$retainKeys',
  elementOrder: '$setElementOrder/',
  deletePrimitives: '$deleteFromPrimitiveList/',
} as const;

/** Deepest merge; patches are nested no deeper than their schema, except below free-form fields. */
const depthMax = 128;

/** Merges the patch into `current`, which is changed and returned. Throws a 400 for misused directives. */
export function strategicMerge(
  schemas: Schemas,
  schema: Schema,
  current: Fields,
  patch: Readonly<Fields>,
): Fields {
  return new Merger(schemas).object(schema, current, patch, 0);
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function own(fields: Readonly<Fields>, key: string): unknown {
  return Object.hasOwn(fields, key) ? fields[key] : undefined;
}

class Merger {
  readonly #schemas: Schemas;

  constructor(schemas: Schemas) {
    this.#schemas = schemas;
  }

  object(schema: Schema | undefined, current: Fields, patch: Readonly<Fields>, depth: number): Fields {
    if (depth > depthMax) throw badRequest('the patch is nested too deeply');
    const action = own(patch, directive.patch);
    if (action === 'replace') return withoutDirectives(patch) as Fields;
    if (action === 'delete') return {};
    if (action !== undefined && action !== 'merge') {
      throw badRequest(`the patch has an unknown value for $patch: ${JSON.stringify(action)}`);
    }
    retainKeys(current, patch);
    for (const [key, value] of Object.entries(patch)) {
      if (key.startsWith('$')) continue;
      this.#field(fieldSchema(this.#schemas, schema, key), current, patch, key, value, depth);
    }
    this.#orderOnly(schema, current, patch);
    return current;
  }

  #field(
    schema: Schema | undefined,
    current: Fields,
    patch: Readonly<Fields>,
    key: string,
    value: unknown,
    depth: number,
  ): void {
    const before = own(current, key);
    if (value === null) {
      Reflect.deleteProperty(current, key);
    } else if (isObject(value)) {
      const action = own(value, directive.patch);
      if (action === 'delete') Reflect.deleteProperty(current, key);
      else setField(current, key, this.object(schema, isObject(before) ? before : {}, value, depth + 1));
    } else if (Array.isArray(value)) {
      const list = Array.isArray(before) ? before : [];
      setField(current, key, this.#list(schema, list, value, patch, key, depth));
    } else {
      setField(current, key, value);
    }
  }

  #list(
    schema: Schema | undefined,
    before: unknown[],
    value: unknown[],
    patch: Readonly<Fields>,
    key: string,
    depth: number,
  ): unknown[] {
    if (!mergesLists(schema)) return value.map(withoutDirectives).filter(isElement);
    const order = elementOrder(patch, key);
    const mergeKey = schema?.['x-kubernetes-patch-merge-key'];
    if (mergeKey === undefined) {
      return inOrder(mergePrimitives(before, value, toDelete(patch, key)), before, order, same);
    }
    const merged = this.#mergeElements(schema?.items, before, value, mergeKey, key, depth);
    return inOrder(merged, before, order, sameBy(mergeKey));
  }

  #mergeElements(
    items: Schema | undefined,
    before: readonly unknown[],
    patch: readonly unknown[],
    mergeKey: string,
    key: string,
    depth: number,
  ): unknown[] {
    const replace = patch.some((each) => isObject(each) && each[directive.patch] === 'replace');
    if (replace) return patch.map(withoutDirectives).filter(isElement);
    let merged = [...before];
    const itemSchema = items === undefined ? undefined : resolveSchema(this.#schemas, items);
    for (const each of patch) {
      if (!isObject(each)) throw badRequest(`the patch has a value that is no object in the list ${key}`);
      const id = own(each, mergeKey);
      if (id === undefined || id === null) {
        throw badRequest(
          `an element of the list ${key} in the patch does not contain the declared merge key: ${mergeKey}`,
        );
      }
      const matches = (other: unknown): boolean => isObject(other) && own(other, mergeKey) === id;
      if (each[directive.patch] === 'delete') {
        merged = merged.filter((other) => !matches(other));
        continue;
      }
      const index = merged.findIndex(matches);
      const found = merged[index];
      if (index < 0) merged.push(this.object(itemSchema, {}, each, depth + 1));
      else merged[index] = this.object(itemSchema, isObject(found) ? found : {}, each, depth + 1);
    }
    return merged;
  }

  /** Lists that the patch only orders, or only removes primitives from. */
  #orderOnly(schema: Schema | undefined, current: Fields, patch: Readonly<Fields>): void {
    const named = new Set<string>();
    for (const key of Object.keys(patch)) {
      for (const prefix of [directive.elementOrder, directive.deletePrimitives]) {
        if (key.startsWith(prefix)) named.add(key.slice(prefix.length));
      }
    }
    for (const key of named) {
      const before = own(current, key);
      if (own(patch, key) !== undefined || !Array.isArray(before)) continue;
      const mergeKey = fieldSchema(this.#schemas, schema, key)?.['x-kubernetes-patch-merge-key'];
      const left = mergePrimitives(before, [], toDelete(patch, key));
      setField(
        current,
        key,
        inOrder(left, before, elementOrder(patch, key), mergeKey === undefined ? same : sameBy(mergeKey)),
      );
    }
  }
}

function fieldSchema(schemas: Schemas, schema: Schema | undefined, key: string): Schema | undefined {
  const properties = schema?.properties;
  const field =
    properties !== undefined && Object.hasOwn(properties, key)
      ? properties[key]
      : schema?.additionalProperties;
  if (field?.$ref === undefined) return field;
  return resolveSchema(schemas, field);
}

function mergesLists(schema: Schema | undefined): boolean {
  return (schema?.['x-kubernetes-patch-strategy'] ?? '').split(',').includes('merge');
}

/** What `$retainKeys` does not name goes. */
function retainKeys(current: Fields, patch: Readonly<Fields>): void {
  const keys = own(patch, directive.retainKeys);
  if (keys === undefined) return;
  if (!Array.isArray(keys)) throw badRequest('$retainKeys in the patch must be a list');
  const retained = new Set<unknown>(keys);
  for (const [key, value] of Object.entries(patch)) {
    if (!key.startsWith('$') && value !== null && !retained.has(key)) {
      throw badRequest(`$retainKeys in the patch does not contain the patched key ${key}`);
    }
  }
  for (const key of Object.keys(current)) {
    if (!retained.has(key)) Reflect.deleteProperty(current, key);
  }
}

function elementOrder(patch: Readonly<Fields>, key: string): unknown[] | undefined {
  return listOf(patch, `${directive.elementOrder}${key}`);
}

function toDelete(patch: Readonly<Fields>, key: string): unknown[] {
  return listOf(patch, `${directive.deletePrimitives}${key}`) ?? [];
}

function listOf(patch: Readonly<Fields>, name: string): unknown[] | undefined {
  const value = own(patch, name);
  if (value !== undefined && !Array.isArray(value)) throw badRequest(`${name} in the patch must be a list`);
  return value;
}

function mergePrimitives(
  before: readonly unknown[],
  added: readonly unknown[],
  deleted: readonly unknown[],
): unknown[] {
  const merged = before.filter((each) => !deleted.includes(each));
  for (const each of added) {
    if (!merged.includes(each)) merged.push(each);
  }
  return merged;
}

type Same = (element: unknown, other: unknown) => boolean;

const same: Same = (element, other) => element === other;
const sameBy =
  (mergeKey: string): Same =>
  (element, other) =>
    isObject(element) && isObject(other) && own(element, mergeKey) === own(other, mergeKey);

/**
 * The elements the order names come in its order; the others, which only the server has, keep their place relative to those elements
 * that the server had before.
 */
function inOrder(
  merged: readonly unknown[],
  before: readonly unknown[],
  order: readonly unknown[] | undefined,
  isSame: Same,
): unknown[] {
  if (order === undefined) return [...merged];
  const rank = (element: unknown): number => order.findIndex((each) => isSame(element, each));
  const place = (element: unknown): number => before.findIndex((each) => isSame(element, each));
  const named = merged.filter((each) => rank(each) >= 0).sort((a, b) => rank(a) - rank(b));
  const others = merged.filter((each) => rank(each) < 0);
  const result: unknown[] = [];
  for (const element of named) {
    const at = place(element);
    while (others.length > 0 && !(at >= 0 && at < place(others[0]))) result.push(others.shift());
    result.push(element);
  }
  return [...result, ...others];
}

/** What a directive-only element stands for is gone; values that stay have no directives in them. */
function isElement(value: unknown): boolean {
  return value !== removed;
}

const removed = Symbol('removed');

function withoutDirectives(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutDirectives).filter(isElement);
  if (!isObject(value)) return value;
  const result: Fields = {};
  const keys = Object.keys(value);
  for (const key of keys) {
    const each = value[key];
    if (!key.startsWith('$') && each !== null) setField(result, key, withoutDirectives(each));
  }
  const onlyDirective = keys.length > 0 && keys.every((key) => key.startsWith('$'));
  const deleted =
    value[directive.patch] === 'delete' || (onlyDirective && value[directive.patch] === 'replace');
  return deleted ? removed : result;
}
