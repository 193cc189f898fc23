import type { FieldError } from './errors.ts';
import type { Kind } from './kind.ts';
import type { ApiObject } from './object.ts';

export interface ValidateOptions {
  /** The stored object, on update: immutable fields are compared with it. */
  readonly old?: ApiObject;
  /** Writing through a subresource ('status', 'ephemeralcontainers'): the main rules of spec do not apply. */
  readonly subresource?: string;
}

/** What is wrong with a defaulted object; empty: it may be stored. Answer with `invalid(kind, name, errors)`. */
export function validateObject(
  _kind: Kind,
  _object: ApiObject,
  _options: ValidateOptions = {},
): readonly FieldError[] {
  return [];
}
