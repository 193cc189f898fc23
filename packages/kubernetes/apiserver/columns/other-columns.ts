import type { Lease } from 'kubernetes-types/coordination/v1';
import type { EndpointSlice } from 'kubernetes-types/discovery/v1';
import type { Ingress, IngressClass, NetworkPolicy } from 'kubernetes-types/networking/v1';
import type { RuntimeClass } from 'kubernetes-types/node/v1';
import type { ClusterRoleBinding, RoleBinding, Subject } from 'kubernetes-types/rbac/v1';
import type { PriorityClass } from 'kubernetes-types/scheduling/v1';
import type { StorageClass } from 'kubernetes-types/storage/v1';
import {
  ageColumn,
  columnSet,
  createdAtColumn,
  formatSelector,
  nameColumn,
  none,
  orNone,
  unset,
} from './column-set.ts';

const wide = { wide: true } as const;

export const leaseColumns = columnSet<Lease>(
  nameColumn,
  ['Holder', ({ spec }) => spec?.holderIdentity ?? ''],
  ageColumn,
);

const maxShown = 3;

function some(all: readonly string[], absent: string): string {
  if (all.length === 0) return absent;
  return all.length > maxShown
    ? `${all.slice(0, maxShown).join(',')} + ${all.length - maxShown} more...`
    : all.join(',');
}

export const endpointSliceColumns = columnSet<EndpointSlice>(
  nameColumn,
  ['AddressType', ({ addressType }) => addressType],
  [
    'Ports',
    ({ ports }) =>
      some(
        (ports ?? []).map(({ port }) => String(port ?? '*')),
        unset,
      ),
  ],
  [
    'Endpoints',
    ({ endpoints }) =>
      some(
        ((endpoints as EndpointSlice['endpoints'] | undefined) ?? []).flatMap(({ addresses }) => addresses),
        unset,
      ),
  ],
  ageColumn,
);

export const roleColumns = columnSet(nameColumn, createdAtColumn);

function names(subjects: readonly Subject[] | undefined, kind: string): string {
  return (subjects ?? [])
    .filter((subject) => subject.kind === kind)
    .map(({ namespace, name }) => (kind === 'ServiceAccount' ? `${namespace ?? ''}/${name}` : name))
    .join(', ');
}

export const roleBindingColumns = columnSet<RoleBinding | ClusterRoleBinding>(
  nameColumn,
  ['Role', ({ roleRef }) => `${roleRef.kind}/${roleRef.name}`],
  ageColumn,
  ['Users', ({ subjects }) => names(subjects, 'User'), wide],
  ['Groups', ({ subjects }) => names(subjects, 'Group'), wide],
  ['ServiceAccounts', ({ subjects }) => names(subjects, 'ServiceAccount'), wide],
);

export const ingressColumns = columnSet<Ingress>(
  nameColumn,
  ['Class', ({ spec }) => orNone(spec?.ingressClassName)],
  [
    'Hosts',
    ({ spec }) =>
      some(
        (spec?.rules ?? []).map(({ host }) => host ?? '').filter((host) => host !== ''),
        '*',
      ),
  ],
  [
    'Address',
    ({ status }) =>
      (status?.loadBalancer?.ingress ?? []).map(({ ip, hostname }) => ip ?? hostname ?? '').join(','),
  ],
  ['Ports', ({ spec }) => ((spec?.tls ?? []).length > 0 ? '80, 443' : '80')],
  ageColumn,
);

export const ingressClassColumns = columnSet<IngressClass>(
  nameColumn,
  ['Controller', ({ spec }) => spec?.controller ?? ''],
  [
    'Parameters',
    ({ spec }) =>
      spec?.parameters === undefined ? none : `${spec.parameters.kind.toLowerCase()}/${spec.parameters.name}`,
  ],
  ageColumn,
);

export const networkPolicyColumns = columnSet<NetworkPolicy>(
  nameColumn,
  ['Pod-Selector', ({ spec }) => formatSelector(spec?.podSelector)],
  ageColumn,
);

export const runtimeClassColumns = columnSet<RuntimeClass>(
  nameColumn,
  ['Handler', ({ handler }) => handler],
  ageColumn,
);

export const priorityClassColumns = columnSet<PriorityClass>(
  nameColumn,
  ['Value', ({ value }) => value, { type: 'integer' }],
  ['Global-Default', ({ globalDefault }) => globalDefault ?? false, { type: 'boolean' }],
  ageColumn,
  ['PreemptionPolicy', ({ preemptionPolicy }) => preemptionPolicy ?? '', wide],
);

const defaultClass = 'storageclass.kubernetes.io/is-default-class';

export const storageClassColumns = columnSet<StorageClass>(
  [
    'Name',
    ({ metadata }) =>
      `${metadata?.name ?? ''}${metadata?.annotations?.[defaultClass] === 'true' ? ' (default)' : ''}`,
  ],
  ['Provisioner', ({ provisioner }) => provisioner],
  ['ReclaimPolicy', ({ reclaimPolicy }) => reclaimPolicy ?? 'Delete'],
  ['VolumeBindingMode', ({ volumeBindingMode }) => volumeBindingMode ?? unset],
  ['AllowVolumeExpansion', ({ allowVolumeExpansion }) => allowVolumeExpansion ?? false, { type: 'boolean' }],
  ageColumn,
);
