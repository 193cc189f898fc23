import { columnSet, createdAtColumn, defaultColumns, nameColumn, type ColumnSet } from './column-set.ts';
import * as core from './core-columns.ts';
import * as other from './other-columns.ts';
import { podColumns } from './pod-columns.ts';
import * as workload from './workload-columns.ts';

export type { Cell, Column, ColumnSet } from './column-set.ts';

const rbac = 'rbac.authorization.k8s.io';

const columnSets: Readonly<Record<string, ColumnSet>> = {
  '/configmaps': core.configMapColumns,
  '/endpoints': core.endpointsColumns,
  '/events': core.eventColumns,
  '/limitranges': columnSet(nameColumn, createdAtColumn),
  '/namespaces': core.namespaceColumns,
  '/networks': core.networkColumns,
  '/nodes': core.nodeColumns,
  '/persistentvolumeclaims': core.persistentVolumeClaimColumns,
  '/persistentvolumes': core.persistentVolumeColumns,
  '/pods': podColumns,
  '/podtemplates': core.podTemplateColumns,
  '/replicationcontrollers': core.replicationControllerColumns,
  '/resourcequotas': core.resourceQuotaColumns,
  '/secrets': core.secretColumns,
  '/serviceaccounts': core.serviceAccountColumns,
  '/services': core.serviceColumns,
  'apps/controllerrevisions': workload.controllerRevisionColumns,
  'apps/daemonsets': workload.daemonSetColumns,
  'apps/deployments': workload.deploymentColumns,
  'apps/replicasets': workload.replicaSetColumns,
  'apps/statefulsets': workload.statefulSetColumns,
  'batch/cronjobs': workload.cronJobColumns,
  'batch/jobs': workload.jobColumns,
  'coordination.k8s.io/leases': other.leaseColumns,
  'discovery.k8s.io/endpointslices': other.endpointSliceColumns,
  'networking.k8s.io/ingressclasses': other.ingressClassColumns,
  'networking.k8s.io/ingresses': other.ingressColumns,
  'networking.k8s.io/networkpolicies': other.networkPolicyColumns,
  'node.k8s.io/runtimeclasses': other.runtimeClassColumns,
  'policy/poddisruptionbudgets': workload.podDisruptionBudgetColumns,
  [`${rbac}/clusterrolebindings`]: other.roleBindingColumns,
  [`${rbac}/clusterroles`]: other.roleColumns,
  [`${rbac}/rolebindings`]: other.roleBindingColumns,
  [`${rbac}/roles`]: other.roleColumns,
  'scheduling.k8s.io/priorityclasses': other.priorityClassColumns,
  'storage.k8s.io/storageclasses': other.storageClassColumns,
};

/** The columns of a kind; name and age for kinds without some of their own. */
export function columnsOf(resource: { readonly group: string; readonly plural: string }): ColumnSet {
  return columnSets[`${resource.group}/${resource.plural}`] ?? defaultColumns;
}
