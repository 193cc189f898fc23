import type { ApiObject } from '../../api/index.ts';
import { groupNames } from '../authentication/user.ts';
import type { PolicyRule } from './rules.ts';

const apiVersion = 'rbac.authorization.k8s.io/v1';
const bootstrapLabels = { 'kubernetes.io/bootstrapping': 'rbac-defaults' };
/** Set to "false" by an operator to keep a changed role through restarts. */
export const autoUpdateAnnotation = 'rbac.authorization.kubernetes.io/autoupdate';

const read = ['get', 'list', 'watch'];
const write = ['create', 'delete', 'deletecollection', 'patch', 'update'];
const readWrite = [...read, ...write];

function rule(verbs: readonly string[], group: string, ...resources: string[]): PolicyRule {
  return { verbs, apiGroups: [group], resources };
}

const core = {
  configuration: ['configmaps', 'endpoints', 'persistentvolumeclaims', 'serviceaccounts', 'services'],
  workloads: ['pods', 'replicationcontrollers', 'replicationcontrollers/scale'],
} as const;
const apps = [
  'daemonsets',
  'deployments',
  'deployments/scale',
  'replicasets',
  'replicasets/scale',
  'statefulsets',
  'statefulsets/scale',
];

const viewRules: readonly PolicyRule[] = [
  rule(
    read,
    '',
    ...core.configuration,
    ...core.workloads,
    'persistentvolumeclaims/status',
    'services/status',
  ),
  rule(
    read,
    '',
    'pods/log',
    'pods/status',
    'replicationcontrollers/status',
    'bindings',
    'events',
    'limitranges',
  ),
  rule(read, '', 'namespaces', 'namespaces/status', 'resourcequotas', 'resourcequotas/status'),
  rule(read, 'apps', 'controllerrevisions', ...apps),
  rule(read, 'apps', 'daemonsets/status', 'deployments/status', 'replicasets/status', 'statefulsets/status'),
  rule(read, 'batch', 'cronjobs', 'cronjobs/status', 'jobs', 'jobs/status'),
  rule(read, 'discovery.k8s.io', 'endpointslices'),
  rule(read, 'events.k8s.io', 'events'),
  rule(read, 'networking.k8s.io', 'ingresses', 'ingresses/status', 'networkpolicies'),
  rule(read, 'policy', 'poddisruptionbudgets', 'poddisruptionbudgets/status'),
];

const editRules: readonly PolicyRule[] = [
  ...viewRules,
  rule(read, '', 'pods/attach', 'pods/exec', 'pods/portforward', 'pods/proxy', 'secrets', 'services/proxy'),
  rule(['impersonate'], '', 'serviceaccounts'),
  rule(write, '', 'pods', 'pods/attach', 'pods/exec', 'pods/portforward', 'pods/proxy'),
  rule(['create'], '', 'pods/eviction', 'serviceaccounts/token'),
  rule(
    write,
    '',
    ...core.configuration,
    'replicationcontrollers',
    'replicationcontrollers/scale',
    'secrets',
    'events',
  ),
  rule(write, 'apps', ...apps, 'deployments/rollback'),
  rule(write, 'batch', 'cronjobs', 'jobs'),
  rule(write, 'networking.k8s.io', 'ingresses', 'networkpolicies'),
  rule(write, 'policy', 'poddisruptionbudgets'),
  rule(readWrite, 'coordination.k8s.io', 'leases'),
];

const adminRules: readonly PolicyRule[] = [
  ...editRules,
  rule(['create'], 'authorization.k8s.io', 'localsubjectaccessreviews'),
  rule(readWrite, 'rbac.authorization.k8s.io', 'rolebindings', 'roles'),
];

// Discovery, versions and health: enough to find out what there is, nothing of what is in it.
const discoveryUrls = [
  '/api',
  '/api/*',
  '/apis',
  '/apis/*',
  '/healthz',
  '/livez',
  '/openapi',
  '/openapi/*',
  '/readyz',
];
const publicUrls = ['/healthz', '/livez', '/readyz', '/version', '/version/'];

const events: readonly PolicyRule[] = [
  rule(['create', 'patch', 'update'], '', 'events'),
  rule(['create', 'patch', 'update'], 'events.k8s.io', 'events'),
];

const schedulerRules: readonly PolicyRule[] = [
  ...events,
  rule(readWrite, 'coordination.k8s.io', 'leases'),
  rule(
    read,
    '',
    'endpoints',
    'namespaces',
    'networks',
    'nodes',
    'persistentvolumeclaims',
    'persistentvolumes',
  ),
  rule(read, '', 'replicationcontrollers', 'services'),
  rule([...read, 'delete'], '', 'pods'),
  rule(['create'], '', 'bindings', 'pods/binding'),
  rule(['patch', 'update'], '', 'pods/status'),
  rule(read, 'apps', 'replicasets', 'statefulsets'),
  rule(read, 'policy', 'poddisruptionbudgets'),
  rule(read, 'scheduling.k8s.io', 'priorityclasses'),
  rule(read, 'storage.k8s.io', '*'),
];

// All controllers act under one identity: they make, change and delete what users own, but hand out no rights and run no commands.
const controllerManagerRules: readonly PolicyRule[] = [
  ...events,
  { verbs: [...readWrite], apiGroups: ['', 'apps', 'batch', 'policy'], resources: ['*'] },
  {
    verbs: [...readWrite],
    apiGroups: ['discovery.k8s.io', 'coordination.k8s.io', 'networking.k8s.io'],
    resources: ['*'],
  },
  {
    verbs: [...readWrite],
    apiGroups: ['scheduling.k8s.io', 'storage.k8s.io', 'node.k8s.io'],
    resources: ['*'],
  },
  // The garbage collector and the namespace controller delete whatever there is.
  {
    verbs: ['delete', 'deletecollection', 'get', 'list', 'watch', 'patch', 'update'],
    apiGroups: ['*'],
    resources: ['*'],
  },
  rule(['create'], 'authentication.k8s.io', 'tokenreviews'),
  rule(['create'], 'authorization.k8s.io', 'subjectaccessreviews'),
];

const nodeRules: readonly PolicyRule[] = [
  ...events,
  rule(['create'], 'authentication.k8s.io', 'tokenreviews'),
  rule(['create'], 'authorization.k8s.io', 'localsubjectaccessreviews', 'subjectaccessreviews'),
  rule(
    read,
    '',
    'configmaps',
    'endpoints',
    'namespaces',
    'networks',
    'persistentvolumeclaims',
    'persistentvolumes',
  ),
  rule(read, '', 'secrets', 'serviceaccounts', 'services'),
  rule(['create', 'delete', ...read, 'patch', 'update'], '', 'nodes', 'nodes/status'),
  rule(['create', 'delete', ...read], '', 'pods'),
  rule(['patch', 'update'], '', 'pods/status', 'services/status', 'persistentvolumeclaims/status'),
  rule(['create'], '', 'pods/eviction', 'serviceaccounts/token'),
  rule(['create', 'delete', ...read, 'patch', 'update'], 'coordination.k8s.io', 'leases'),
  rule(read, 'discovery.k8s.io', 'endpointslices'),
  rule(read, 'node.k8s.io', 'runtimeclasses'),
  rule(read, 'storage.k8s.io', 'storageclasses'),
];

/** Cluster-scoped rights of tenants; what they see of these kinds is narrowed to their own by the tenant guard. */
const tenantViewerRules: readonly PolicyRule[] = [
  rule(read, '', 'namespaces', 'networks'),
  rule(read, 'storage.k8s.io', 'storageclasses'),
  rule(read, 'scheduling.k8s.io', 'priorityclasses'),
];
const tenantRules: readonly PolicyRule[] = [
  ...tenantViewerRules,
  rule(['create', 'delete', 'patch', 'update'], '', 'namespaces', 'networks'),
];

interface BootstrapRole {
  readonly name: string;
  readonly rules: readonly PolicyRule[];
  readonly boundTo?: readonly { readonly kind: 'User' | 'Group'; readonly name: string }[];
}

const group = (name: string): { kind: 'Group'; name: string } => ({ kind: 'Group', name });
const user = (name: string): { kind: 'User'; name: string } => ({ kind: 'User', name });

const roles: readonly BootstrapRole[] = [
  {
    name: 'cluster-admin',
    rules: [
      { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
      { verbs: ['*'], nonResourceURLs: ['*'] },
    ],
    boundTo: [group(groupNames.masters)],
  },
  { name: 'admin', rules: adminRules },
  { name: 'edit', rules: editRules },
  { name: 'view', rules: viewRules },
  {
    name: 'system:basic-user',
    rules: [
      rule(['create'], 'authorization.k8s.io', 'selfsubjectaccessreviews', 'selfsubjectrulesreviews'),
      rule(['create'], 'authentication.k8s.io', 'selfsubjectreviews'),
    ],
    boundTo: [group(groupNames.authenticated)],
  },
  {
    name: 'system:discovery',
    rules: [{ verbs: ['get'], nonResourceURLs: [...discoveryUrls, '/version', '/version/'] }],
    boundTo: [group(groupNames.authenticated)],
  },
  {
    name: 'system:public-info-viewer',
    rules: [{ verbs: ['get'], nonResourceURLs: publicUrls }],
    boundTo: [group(groupNames.authenticated), group(groupNames.unauthenticated)],
  },
  {
    name: 'system:kube-scheduler',
    rules: schedulerRules,
    boundTo: [user('system:kube-scheduler')],
  },
  {
    name: 'system:kube-controller-manager',
    rules: controllerManagerRules,
    boundTo: [user('system:kube-controller-manager')],
  },
  { name: 'system:node', rules: nodeRules, boundTo: [group(groupNames.nodes)] },
  {
    name: 'system:kubelet-api-admin',
    rules: [
      rule(read, '', 'nodes'),
      rule(['*'], '', 'nodes/log', 'nodes/metrics', 'nodes/proxy', 'nodes/stats'),
    ],
  },
  { name: 'hypernetes:tenant-viewer', rules: tenantViewerRules, boundTo: [group(groupNames.tenants)] },
  { name: 'hypernetes:tenant', rules: tenantRules, boundTo: [group(groupNames.tenantWriters)] },
];

function metadata(name: string): ApiObject['metadata'] {
  return { name, labels: { ...bootstrapLabels }, annotations: { [autoUpdateAnnotation]: 'true' } };
}

/** ClusterRoles and ClusterRoleBindings that exist from the first start on. */
export function bootstrapPolicy(): {
  readonly clusterRoles: ApiObject[];
  readonly clusterRoleBindings: ApiObject[];
} {
  return {
    clusterRoles: roles.map(({ name, rules }) => ({
      apiVersion,
      kind: 'ClusterRole',
      metadata: metadata(name),
      rules: structuredClone(rules),
    })),
    clusterRoleBindings: roles.flatMap(({ name, boundTo }) =>
      boundTo === undefined
        ? []
        : [
            {
              apiVersion,
              kind: 'ClusterRoleBinding',
              metadata: metadata(name),
              roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
              subjects: boundTo.map((subject) => ({ ...subject, apiGroup: 'rbac.authorization.k8s.io' })),
            },
          ],
    ),
  };
}
