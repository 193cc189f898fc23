import { isDeepStrictEqual } from 'node:util';
import { isPlatformError } from '@hypernetes/foundation/errors';
import type { ApiObject } from '../../api/index.ts';
import { groupNames, type UserInfo } from '../authentication/user.ts';
import { autoUpdateAnnotation, bootstrapPolicy } from '../authorization/bootstrap-policy.ts';
import type { Catalogue } from '../registry/catalogue.ts';
import type { ResourceStorage, WriteContext } from '../registry/resource-storage.ts';

/** The server itself, as the author of what exists from the start. */
const self: UserInfo = { name: 'system:apiserver', groups: [groupNames.masters], extra: {} };
const writeContext: WriteContext = { user: self, dryRun: false, warnings: [], subresource: '' };

const namespaces = ['default', 'kube-system', 'kube-public', 'kube-node-lease'];

// Above everything users can make (their classes end at one billion).
const priorityClasses = [
  {
    name: 'system-cluster-critical',
    value: 2_000_000_000,
    about:
      'Used for system critical pods that must run in the cluster, but can be moved to another node if necessary.',
  },
  {
    name: 'system-node-critical',
    value: 2_000_001_000,
    about: 'Used for system critical pods that must not be moved from their current node.',
  },
];

function initialObjects(): { readonly group: string; readonly plural: string; readonly object: ApiObject }[] {
  const rbac = 'rbac.authorization.k8s.io';
  const { clusterRoles, clusterRoleBindings } = bootstrapPolicy();
  return [
    ...namespaces.map((name) => ({
      group: '',
      plural: 'namespaces',
      object: { apiVersion: 'v1', kind: 'Namespace', metadata: { name } },
    })),
    ...clusterRoles.map((object) => ({ group: rbac, plural: 'clusterroles', object })),
    ...clusterRoleBindings.map((object) => ({ group: rbac, plural: 'clusterrolebindings', object })),
    ...priorityClasses.map(({ name, value, about }) => ({
      group: 'scheduling.k8s.io',
      plural: 'priorityclasses',
      object: {
        apiVersion: 'scheduling.k8s.io/v1',
        kind: 'PriorityClass',
        metadata: { name },
        value,
        globalDefault: false,
        description: about,
      },
    })),
  ];
}

/** Makes what exists from the first start on, and brings bootstrap roles up to date unless an operator keeps them as they are. */
export async function ensureBootstrapObjects(catalogue: Catalogue): Promise<void> {
  for (const { group, plural, object } of initialObjects()) {
    await ensure(catalogue.get(group, 'v1', plural), object);
  }
}

async function ensure(storage: ResourceStorage, wanted: ApiObject): Promise<void> {
  const place = { namespace: '', name: wanted.metadata.name ?? '' };
  const present = await storage.find(place);
  if (present === undefined) {
    await createOnce(storage, wanted);
    return;
  }
  const keeps = present.metadata.annotations?.[autoUpdateAnnotation] !== 'true';
  if (keeps || !differs(present, wanted)) return;
  const content = contentOf(wanted);
  await storage.update(place, (old) => ({ ...old, ...content }), writeContext);
}

function contentOf(object: ApiObject): Record<string, unknown> {
  const { apiVersion: _apiVersion, kind: _kind, metadata: _metadata, ...content } = object;
  return structuredClone(content);
}

function differs(present: ApiObject, wanted: ApiObject): boolean {
  return !isDeepStrictEqual(contentOf(present), contentOf(wanted));
}

async function createOnce(storage: ResourceStorage, object: ApiObject): Promise<void> {
  try {
    await storage.create('', object, writeContext);
  } catch (error) {
    if (!isPlatformError(error, 'AlreadyExists')) throw error;
  }
}
