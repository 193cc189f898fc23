import type { Kind, Subresource, Verb } from './kind.ts';

const allVerbs: readonly Verb[] = [
  'create',
  'delete',
  'deletecollection',
  'get',
  'list',
  'patch',
  'update',
  'watch',
];
const readWrite: readonly Verb[] = ['get', 'patch', 'update'];
const noCollectionDelete: readonly Verb[] = allVerbs.filter((verb) => verb !== 'deletecollection');

/** Packages of the definitions, where they are not the first label of the group. */
const definitionPackages: Readonly<Record<string, string>> = {
  '': 'core',
  'rbac.authorization.k8s.io': 'rbac',
};

/** Name of the schema of a kind: 'io.k8s.api.apps.v1.Deployment'. */
export function definitionName(group: string, version: string, kind: string): string {
  const label = definitionPackages[group] ?? group.split('.')[0] ?? group;
  return `io.k8s.api.${label}.${version}.${kind}`;
}

type SubresourceSpec = readonly [name: string, kind: string, verbs: readonly Verb[], groupVersion?: string];

interface KindSpec {
  readonly short?: readonly string[];
  readonly categories?: readonly string[];
  readonly cluster?: true;
  readonly verbs?: readonly Verb[];
  readonly status?: true;
  readonly scale?: true;
  readonly more?: readonly SubresourceSpec[];
  readonly plural?: string;
  readonly storedAs?: Kind['storedAs'];
}

function pluralOf(kind: string): string {
  const singular = kind.toLowerCase();
  if (singular.endsWith('s')) return `${singular}es`;
  if (singular.endsWith('y')) return `${singular.slice(0, -1)}ies`;
  return `${singular}s`;
}

function subresource(
  group: string,
  version: string,
  [name, kind, verbs, other]: SubresourceSpec,
): Subresource {
  const [otherGroup, otherVersion] = other === undefined ? [group, version] : other.split('/');
  const its = { group: otherGroup ?? group, version: otherVersion ?? version };
  return { name, kind, verbs, ...its, definition: definitionName(its.group, its.version, kind) };
}

function define(group: string, version: string, kind: string, spec: KindSpec = {}): Kind {
  const specs: SubresourceSpec[] = [...(spec.more ?? [])];
  if (spec.scale) specs.push(['scale', 'Scale', readWrite, 'autoscaling/v1']);
  if (spec.status) specs.push(['status', kind, readWrite]);
  return {
    group,
    version,
    kind,
    plural: spec.plural ?? pluralOf(kind),
    singular: kind.toLowerCase(),
    listKind: `${kind}List`,
    shortNames: spec.short ?? [],
    categories: spec.categories ?? [],
    namespaced: spec.cluster !== true,
    verbs: spec.verbs ?? allVerbs,
    subresources: specs.map((each) => subresource(group, version, each)),
    definition: definitionName(group, version, kind),
    ...(spec.storedAs === undefined ? {} : { storedAs: spec.storedAs }),
  };
}

const createOnly: readonly Verb[] = ['create'];
const stream: readonly Verb[] = ['create', 'get'];
const all = ['all'];
const rbac = 'rbac.authorization.k8s.io';

const pod = define('', 'v1', 'Pod', {
  short: ['po'],
  categories: all,
  status: true,
  more: [
    ['attach', 'PodAttachOptions', stream],
    ['binding', 'Binding', createOnly],
    ['eviction', 'Eviction', createOnly, 'policy/v1'],
    ['exec', 'PodExecOptions', stream],
    ['log', 'Pod', ['get']],
    ['portforward', 'PodPortForwardOptions', stream],
  ],
});

/** Every kind of the API, in discovery order: groups as given, kinds by name within. */
export const kinds: readonly Kind[] = [
  define('', 'v1', 'Binding', { verbs: createOnly }),
  define('', 'v1', 'ConfigMap', { short: ['cm'] }),
  define('', 'v1', 'Endpoints', { short: ['ep'], plural: 'endpoints' }),
  define('', 'v1', 'Event', { short: ['ev'] }),
  define('', 'v1', 'LimitRange', { short: ['limits'] }),
  define('', 'v1', 'Namespace', {
    short: ['ns'],
    cluster: true,
    status: true,
    verbs: noCollectionDelete,
    more: [['finalize', 'Namespace', ['update']]],
  }),
  define('', 'v1', 'Network', { short: ['net'], cluster: true, status: true }),
  define('', 'v1', 'Node', { short: ['no'], cluster: true, status: true }),
  define('', 'v1', 'PersistentVolumeClaim', { short: ['pvc'], status: true }),
  define('', 'v1', 'PersistentVolume', { short: ['pv'], cluster: true, status: true }),
  pod,
  define('', 'v1', 'PodTemplate'),
  define('', 'v1', 'ReplicationController', { short: ['rc'], categories: all, scale: true, status: true }),
  define('', 'v1', 'ResourceQuota', { short: ['quota'], status: true }),
  define('', 'v1', 'Secret'),
  define('', 'v1', 'ServiceAccount', {
    short: ['sa'],
    more: [['token', 'TokenRequest', createOnly, 'authentication.k8s.io/v1']],
  }),
  define('', 'v1', 'Service', { short: ['svc'], categories: all, status: true }),

  define('apps', 'v1', 'ControllerRevision'),
  define('apps', 'v1', 'DaemonSet', { short: ['ds'], categories: all, status: true }),
  define('apps', 'v1', 'Deployment', { short: ['deploy'], categories: all, scale: true, status: true }),
  define('apps', 'v1', 'ReplicaSet', { short: ['rs'], categories: all, scale: true, status: true }),
  define('apps', 'v1', 'StatefulSet', { short: ['sts'], categories: all, scale: true, status: true }),

  define('events.k8s.io', 'v1', 'Event', {
    short: ['ev'],
    storedAs: { group: '', version: 'v1', plural: 'events' },
  }),

  define('authentication.k8s.io', 'v1', 'TokenReview', { cluster: true, verbs: createOnly }),
  define('authorization.k8s.io', 'v1', 'LocalSubjectAccessReview', { verbs: createOnly }),
  define('authorization.k8s.io', 'v1', 'SelfSubjectAccessReview', { cluster: true, verbs: createOnly }),
  define('authorization.k8s.io', 'v1', 'SelfSubjectRulesReview', { cluster: true, verbs: createOnly }),
  define('authorization.k8s.io', 'v1', 'SubjectAccessReview', { cluster: true, verbs: createOnly }),

  define('batch', 'v1', 'CronJob', { short: ['cj'], categories: all, status: true }),
  define('batch', 'v1', 'Job', { categories: all, status: true }),

  define('coordination.k8s.io', 'v1', 'Lease'),
  define('discovery.k8s.io', 'v1', 'EndpointSlice'),

  define('networking.k8s.io', 'v1', 'IngressClass', { cluster: true }),
  define('networking.k8s.io', 'v1', 'Ingress', { short: ['ing'], status: true }),
  define('networking.k8s.io', 'v1', 'NetworkPolicy', { short: ['netpol'] }),

  define('node.k8s.io', 'v1', 'RuntimeClass', { cluster: true }),
  define('policy', 'v1', 'PodDisruptionBudget', { short: ['pdb'], status: true }),

  define(rbac, 'v1', 'ClusterRoleBinding', { cluster: true }),
  define(rbac, 'v1', 'ClusterRole', { cluster: true }),
  define(rbac, 'v1', 'RoleBinding'),
  define(rbac, 'v1', 'Role'),

  define('scheduling.k8s.io', 'v1', 'PriorityClass', { short: ['pc'], cluster: true }),
  define('storage.k8s.io', 'v1', 'StorageClass', { short: ['sc'], cluster: true }),
];

const byResource = new Map(kinds.map((kind) => [`${kind.group}/${kind.version}/${kind.plural}`, kind]));
const byKind = new Map(kinds.map((kind) => [`${kind.group}/${kind.version}/${kind.kind}`, kind]));

/** The kind of a resource path (plural), or undefined. */
export function findResource(group: string, version: string, plural: string): Kind | undefined {
  return byResource.get(`${group}/${version}/${plural}`);
}

/** The kind named by an object's apiVersion (`v1`, `apps/v1`) and kind, or undefined. */
export function findKind(apiVersion: string, kind: string): Kind | undefined {
  return byKind.get(apiVersion.includes('/') ? `${apiVersion}/${kind}` : `/${apiVersion}/${kind}`);
}

/** `v1` or `apps/v1`: the apiVersion of the kind's objects. */
export function apiVersionOf(kind: { readonly group: string; readonly version: string }): string {
  return kind.group === '' ? kind.version : `${kind.group}/${kind.version}`;
}

/** `pods` or `deployments.apps`: as in messages and RBAC. */
export function qualifiedResource(kind: Kind): string {
  return kind.group === '' ? kind.plural : `${kind.plural}.${kind.group}`;
}
