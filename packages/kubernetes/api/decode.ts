import { PlatformError } from '@hypernetes/foundation/errors';
import type { Kind } from './kind.ts';
import type { ApiObject } from './object.ts';
import type { Schemas } from './schemas.ts';

export type FieldValidation = 'Ignore' | 'Warn' | 'Strict';

/**
 * An object from a request body (JSON text, or a parsed value when it came from YAML). Unknown fields and nulls are dropped, Strict refuses
 * unknown and duplicate fields, Warn returns them as warnings. Throws a 400 (badRequest) for text that is not JSON, for another
 * apiVersion or kind, and for values of the wrong type. A missing apiVersion or kind is filled in.
 */
export function decodeObject(
  _schemas: Schemas,
  kind: Pick<Kind, 'group' | 'version' | 'kind' | 'definition'>,
  _body: string | Record<string, unknown>,
  _options: { readonly fieldValidation: FieldValidation },
): { readonly object: ApiObject; readonly warnings: readonly string[] } {
  throw new PlatformError('Unimplemented', `decode ${kind.kind}: not there yet`);
}
