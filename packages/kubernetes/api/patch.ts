import { applyPatch as applyJsonOperations, type Operation } from 'rfc6902';
import { setField } from './fields.ts';
import { badRequest, statusError } from './errors.ts';
import { definition, type Schemas } from './schemas.ts';
import { strategicMerge } from './strategic-merge.ts';

export type PatchType = 'json' | 'merge' | 'strategic';

/** Content types of PATCH requests. */
export const patchTypes: Readonly<Record<string, PatchType>> = {
  'application/json-patch+json': 'json',
  'application/merge-patch+json': 'merge',
  'application/strategic-merge-patch+json': 'strategic',
};

/** Most operations of one JSON patch, as in Kubernetes. */
const operationsMax = 10_000;

type Fields = Readonly<Record<string, unknown>>;

/**
 * The object after the patch; the current one is not changed and shares nothing with the result. The result is not decoded, defaulted or
 * validated: give it to `decodeObject`. Malformed patches are 400, a JSON patch whose test or path does not hold is 422.
 */
export function applyPatch(
  schemas: Schemas,
  kind: { readonly definition: string },
  current: Fields,
  type: PatchType,
  patch: unknown,
): Record<string, unknown> {
  switch (type) {
    case 'json':
      return applyJsonPatch(current, patch);
    case 'merge':
      return mergePatch(structuredClone(current), asObject(patch));
    case 'strategic':
      return strategicMerge(
        schemas,
        definition(schemas, kind.definition),
        structuredClone(current),
        asObject(structuredClone(patch)),
      );
  }
}

function asObject(patch: unknown): Fields {
  if (isObject(patch)) return patch;
  throw badRequest('the patch must be a JSON object');
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** RFC 7386. */
function mergePatch(target: Record<string, unknown>, patch: Fields): Record<string, unknown> {
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) {
      Reflect.deleteProperty(target, key);
    } else if (isObject(value)) {
      const before = Object.hasOwn(target, key) ? target[key] : undefined;
      setField(target, key, mergePatch(isObject(before) ? before : {}, value));
    } else {
      setField(target, key, structuredClone(value));
    }
  }
  return target;
}

const operationNames: ReadonlySet<unknown> = new Set(['add', 'remove', 'replace', 'move', 'copy', 'test']);

/** RFC 6902. */
function applyJsonPatch(current: Fields, patch: unknown): Record<string, unknown> {
  const operations = parseOperations(patch);
  const holder = { document: structuredClone(current) };
  for (const operation of operations) {
    // A pointer '' means the whole document, so the document is a field of the holder.
    const [error] = applyJsonOperations(holder, [belowHolder(operation)]);
    if (error !== null && error !== undefined) {
      throw unprocessable(`${operation.op} ${operation.path}: ${error.message || error.name}`);
    }
  }
  const result: unknown = holder.document;
  if (isObject(result)) return result;
  throw unprocessable('the result is not an object');
}

function parseOperations(patch: unknown): Operation[] {
  if (!Array.isArray(patch)) throw badRequest('the JSON patch must be a list of operations');
  if (patch.length > operationsMax) {
    throw statusError('Invalid', {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message: `the allowed maximum operations in a JSON patch is ${operationsMax}, got ${patch.length}`,
      reason: 'RequestEntityTooLarge',
      code: 413,
    });
  }
  return patch.map((operation: unknown, index) => parseOperation(operation, index));
}

function parseOperation(operation: unknown, index: number): Operation {
  const refuse = (why: string): Error => badRequest(`JSON patch operation ${index}: ${why}`);
  if (!isObject(operation)) throw refuse('must be an object');
  const { op, path, from } = operation;
  if (!operationNames.has(op)) throw refuse(`unknown op ${JSON.stringify(op)}`);
  if (!isPointer(path)) throw refuse('path must be a JSON pointer');
  if ((op === 'move' || op === 'copy') && !isPointer(from)) throw refuse('from must be a JSON pointer');
  if ((op === 'add' || op === 'replace' || op === 'test') && !('value' in operation))
    throw refuse('needs a value');
  const reserved = [path, from].filter((each) => typeof each === 'string').find(reachesPrototype);
  if (reserved !== undefined) {
    throw unprocessable(`${reserved}: this field cannot be addressed by a JSON patch`);
  }
  return operation as unknown as Operation;
}

function reachesPrototype(pointer: string): boolean {
  return pointer.split('/').some((token) => ['__proto__', 'constructor', 'prototype'].includes(token));
}

function isPointer(value: unknown): value is string {
  return typeof value === 'string' && (value === '' || value.startsWith('/')) && !/~(?![01])/.test(value);
}

function belowHolder(operation: Operation): Operation {
  const path = `/document${operation.path}`;
  if ('from' in operation) return { ...operation, path, from: `/document${operation.from}` };
  return 'value' in operation
    ? { ...operation, path, value: structuredClone(operation.value) as unknown }
    : { ...operation, path };
}

function unprocessable(why: string): Error {
  return statusError('Invalid', {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: `the server rejected our request due to an error in our request: ${why}`,
    reason: 'Invalid',
    details: {},
    code: 422,
  });
}
