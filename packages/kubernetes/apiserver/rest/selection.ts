import { parseFieldSelector, parseLabelSelector, type ApiObject, type Kind } from '../../api/index.ts';
import type { Scope } from '../cache/resource-cache.ts';

/** Which objects a list, watch or deletecollection is about. */
export interface Selection {
  readonly scope: Scope;
  /** Undefined: every object of the scope. */
  readonly matches: ((object: ApiObject) => boolean) | undefined;
}

/** Reads labelSelector and fieldSelector; `visible` narrows further by what the caller may see. */
export function parseSelection(
  kind: Kind,
  place: { readonly namespace: string; readonly name: string },
  query: URLSearchParams,
  visible: ((object: ApiObject) => boolean) | undefined,
): Selection {
  const labelText = query.get('labelSelector') ?? '';
  const fieldText = query.get('fieldSelector') ?? '';
  const labels = labelText === '' ? undefined : parseLabelSelector(labelText);
  const fields = fieldText === '' ? undefined : parseFieldSelector(kind, fieldText);
  const name = place.name === '' ? fields?.name : place.name;
  const tests = [
    ...(labels === undefined ? [] : [(object: ApiObject) => labels(object.metadata.labels)]),
    ...(fields === undefined ? [] : [(object: ApiObject) => fields.matches(object)]),
    ...(visible === undefined ? [] : [visible]),
  ];
  return {
    scope: {
      ...(kind.namespaced && place.namespace !== '' ? { namespace: place.namespace } : {}),
      ...(name === undefined ? {} : { name }),
    },
    matches: tests.length === 0 ? undefined : (object) => tests.every((test) => test(object)),
  };
}
