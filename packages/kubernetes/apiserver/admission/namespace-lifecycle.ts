import type { ApiObject } from '../../api/index.ts';
import { notFound } from '../http/status-error.ts';
import type { AdmissionPlugin } from './admission.ts';
import { isMain, namespaceTerminating, refuse } from './refusals.ts';

/** Reads one object of the core group; undefined when there is none. */
export type FindObject = (
  plural: string,
  place: { readonly namespace: string; readonly name: string },
) => Promise<ApiObject | undefined>;

const keptNamespaces: ReadonlySet<string> = new Set(['default', 'kube-system', 'kube-public']);

/** Objects are made in namespaces that are there and stay; the namespaces of the system itself are not deleted. */
export function namespaceLifecycle(find: FindObject): AdmissionPlugin {
  return {
    name: 'NamespaceLifecycle',
    mutate: async (request) => {
      if (request.operation !== 'create' || !request.kind.namespaced) return;
      const namespace = await find('namespaces', { namespace: '', name: request.namespace });
      if (namespace === undefined) throw notFound({ group: '', plural: 'namespaces' }, request.namespace);
      if (namespace.metadata.deletionTimestamp !== undefined) throw namespaceTerminating(request);
    },
    validate: (request) => {
      const deletes = request.operation === 'delete' && isMain(request, 'namespaces');
      if (deletes && keptNamespaces.has(request.name))
        throw refuse(request, 'this namespace may not be deleted');
    },
  };
}
