import { PlatformError } from '@hypernetes/foundation/errors';
import type { Kind } from './kind.ts';
import type { Schemas } from './schemas.ts';

export type PatchType = 'json' | 'merge' | 'strategic';

/** Content types of PATCH requests. */
export const patchTypes: Readonly<Record<string, PatchType>> = {
  'application/json-patch+json': 'json',
  'application/merge-patch+json': 'merge',
  'application/strategic-merge-patch+json': 'strategic',
};

/**
 * The object after the patch; the current one is not changed. The result is not decoded, defaulted or validated: give it to
 * `decodeObject`. Malformed patches are 400, a JSON patch whose test or path does not match is 422.
 */
export function applyPatch(
  _schemas: Schemas,
  kind: Pick<Kind, 'kind' | 'definition'>,
  _current: Readonly<Record<string, unknown>>,
  _type: PatchType,
  _patch: unknown,
): Record<string, unknown> {
  throw new PlatformError('Unimplemented', `patch ${kind.kind}: not there yet`);
}
