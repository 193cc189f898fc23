import type { Resource } from './kube-client.ts';

function core(plural: string, kind: string, namespaced = true): Resource {
  return { group: '', version: 'v1', plural, kind, namespaced };
}

function named(group: string, version: string, plural: string, kind: string, namespaced = true): Resource {
  return { group, version, plural, kind, namespaced };
}

/** The resources our components use, by their plural names. */
export const resources = {
  pods: core('pods', 'Pod'),
  nodes: core('nodes', 'Node', false),
  services: core('services', 'Service'),
  endpoints: core('endpoints', 'Endpoints'),
  namespaces: core('namespaces', 'Namespace', false),
  networks: core('networks', 'Network', false),
  configMaps: core('configmaps', 'ConfigMap'),
  secrets: core('secrets', 'Secret'),
  serviceAccounts: core('serviceaccounts', 'ServiceAccount'),
  events: core('events', 'Event'),
  persistentVolumes: core('persistentvolumes', 'PersistentVolume', false),
  persistentVolumeClaims: core('persistentvolumeclaims', 'PersistentVolumeClaim'),
  replicationControllers: core('replicationcontrollers', 'ReplicationController'),
  podTemplates: core('podtemplates', 'PodTemplate'),
  limitRanges: core('limitranges', 'LimitRange'),
  resourceQuotas: core('resourcequotas', 'ResourceQuota'),
  deployments: named('apps', 'v1', 'deployments', 'Deployment'),
  replicaSets: named('apps', 'v1', 'replicasets', 'ReplicaSet'),
  statefulSets: named('apps', 'v1', 'statefulsets', 'StatefulSet'),
  daemonSets: named('apps', 'v1', 'daemonsets', 'DaemonSet'),
  controllerRevisions: named('apps', 'v1', 'controllerrevisions', 'ControllerRevision'),
  jobs: named('batch', 'v1', 'jobs', 'Job'),
  cronJobs: named('batch', 'v1', 'cronjobs', 'CronJob'),
  endpointSlices: named('discovery.k8s.io', 'v1', 'endpointslices', 'EndpointSlice'),
  leases: named('coordination.k8s.io', 'v1', 'leases', 'Lease'),
  roles: named('rbac.authorization.k8s.io', 'v1', 'roles', 'Role'),
  roleBindings: named('rbac.authorization.k8s.io', 'v1', 'rolebindings', 'RoleBinding'),
  clusterRoles: named('rbac.authorization.k8s.io', 'v1', 'clusterroles', 'ClusterRole', false),
  clusterRoleBindings: named(
    'rbac.authorization.k8s.io',
    'v1',
    'clusterrolebindings',
    'ClusterRoleBinding',
    false,
  ),
  runtimeClasses: named('node.k8s.io', 'v1', 'runtimeclasses', 'RuntimeClass', false),
  priorityClasses: named('scheduling.k8s.io', 'v1', 'priorityclasses', 'PriorityClass', false),
} as const;

/** 'v1', 'apps/v1': what apiVersion says for objects of the resource. */
export function apiVersionOf(resource: Pick<Resource, 'group' | 'version'>): string {
  return resource.group === '' ? resource.version : `${resource.group}/${resource.version}`;
}

/** The path of a collection, or of one object in it, with its subresource. */
export function pathOf(
  resource: Resource,
  options: { readonly namespace?: string; readonly name?: string; readonly subresource?: string } = {},
): string {
  const root =
    resource.group === '' ? `/api/${resource.version}` : `/apis/${resource.group}/${resource.version}`;
  const scope =
    resource.namespaced && options.namespace !== undefined && options.namespace !== ''
      ? `/namespaces/${encodeURIComponent(options.namespace)}`
      : '';
  const object = options.name === undefined ? '' : `/${encodeURIComponent(options.name)}`;
  const part = options.subresource === undefined ? '' : `/${options.subresource}`;
  return `${root}${scope}/${resource.plural}${object}${part}`;
}
