import type {
  ConfigMap,
  Endpoints,
  Event as CoreEvent,
  Namespace,
  Node,
  PersistentVolume,
  PersistentVolumeClaim,
  PodTemplate,
  ReplicationController,
  ResourceQuota,
  Secret,
  Service,
  ServiceAccount,
} from 'kubernetes-types/core/v1';
import type { Network } from '../registry/network.ts';
import {
  ageColumn,
  ageOf,
  columnSet,
  containerColumns,
  formatLabels,
  joined,
  nameColumn,
  none,
  orNone,
} from './column-set.ts';

const wide = { wide: true } as const;
const integer = { type: 'integer' } as const;

export const configMapColumns = columnSet<ConfigMap>(
  nameColumn,
  ['Data', (map) => Object.keys(map.data ?? {}).length + Object.keys(map.binaryData ?? {}).length, integer],
  ageColumn,
);

export const secretColumns = columnSet<Secret>(
  nameColumn,
  ['Type', (secret) => secret.type ?? 'Opaque'],
  ['Data', (secret) => Object.keys(secret.data ?? {}).length, integer],
  ageColumn,
);

export const serviceAccountColumns = columnSet<ServiceAccount>(
  nameColumn,
  ['Secrets', (account) => account.secrets?.length ?? 0, integer],
  ageColumn,
);

interface NamespaceWithNetwork extends Namespace {
  readonly spec?: Namespace['spec'] & { readonly network?: string };
}

export const namespaceColumns = columnSet<NamespaceWithNetwork>(
  nameColumn,
  ['Network', (namespace) => orNone(namespace.spec?.network)],
  ['Status', (namespace) => namespace.status?.phase ?? ''],
  ageColumn,
);

export const networkColumns = columnSet<Network>(
  nameColumn,
  ['Subnets', (network) => joined(Object.values(network.spec?.subnets ?? {}).map((subnet) => subnet.cidr))],
  ['Tenant', (network) => orNone(network.spec?.tenantID)],
  ['Phase', (network) => network.status?.phase ?? ''],
  ageColumn,
  ['Provider-ID', (network) => orNone(network.status?.providerNetworkID), wide],
);

function nodeStatus(node: Node): string {
  const ready = node.status?.conditions?.find((condition) => condition.type === 'Ready');
  const word = ready === undefined ? 'Unknown' : ready.status === 'True' ? 'Ready' : 'NotReady';
  return node.spec?.unschedulable === true ? `${word},SchedulingDisabled` : word;
}

function nodeRoles(node: Node): string {
  const prefix = 'node-role.kubernetes.io/';
  const labels = Object.keys(node.metadata?.labels ?? {});
  return joined(
    labels
      .filter((label) => label.startsWith(prefix) && label !== prefix)
      .map((label) => label.slice(prefix.length))
      .sort(),
  );
}

function nodeAddress(node: Node, type: string): string {
  return orNone(node.status?.addresses?.find((address) => address.type === type)?.address);
}

export const nodeColumns = columnSet<Node>(
  nameColumn,
  ['Status', nodeStatus],
  ['Roles', nodeRoles],
  ageColumn,
  ['Version', (node) => node.status?.nodeInfo?.kubeletVersion ?? ''],
  ['Internal-IP', (node) => nodeAddress(node, 'InternalIP'), wide],
  ['External-IP', (node) => nodeAddress(node, 'ExternalIP'), wide],
  ['OS-Image', (node) => node.status?.nodeInfo?.osImage ?? '<unknown>', wide],
  ['Kernel-Version', (node) => node.status?.nodeInfo?.kernelVersion ?? '<unknown>', wide],
  ['Container-Runtime', (node) => node.status?.nodeInfo?.containerRuntimeVersion ?? '<unknown>', wide],
);

function externalAddress(service: Service): string {
  const spec = service.spec ?? {};
  if (spec.type === 'ExternalName') return spec.externalName ?? '';
  const ingress = service.status?.loadBalancer?.ingress ?? [];
  const balanced =
    spec.type === 'LoadBalancer' ? ingress.map(({ ip, hostname }) => ip ?? hostname ?? '') : [];
  const all = [...new Set([...balanced, ...(spec.externalIPs ?? [])])];
  if (all.length > 0) return all.join(',');
  return spec.type === 'LoadBalancer' ? '<pending>' : none;
}

function servicePorts(service: Service): string {
  const ports = service.spec?.ports ?? [];
  return joined(
    ports.map(
      ({ port, nodePort, protocol }) =>
        `${port}${(nodePort ?? 0) > 0 ? `:${nodePort ?? 0}` : ''}/${protocol ?? 'TCP'}`,
    ),
  );
}

export const serviceColumns = columnSet<Service>(
  nameColumn,
  ['Type', (service) => service.spec?.type ?? 'ClusterIP'],
  ['Cluster-IP', (service) => orNone(service.spec?.clusterIP)],
  ['External-IP', externalAddress],
  ['Port(s)', servicePorts],
  ageColumn,
  ['Selector', (service) => formatLabels(service.spec?.selector), wide],
);

const maxShownEndpoints = 3;

function shortened(all: readonly string[]): string {
  if (all.length <= maxShownEndpoints) return joined(all);
  return `${all.slice(0, maxShownEndpoints).join(',')} + ${all.length - maxShownEndpoints} more...`;
}

export const endpointsColumns = columnSet<Endpoints>(
  nameColumn,
  [
    'Endpoints',
    (endpoints) =>
      shortened(
        (endpoints.subsets ?? []).flatMap((subset) =>
          (subset.addresses ?? []).flatMap(({ ip }) => {
            const ports = subset.ports ?? [];
            return ports.length === 0 ? [ip] : ports.map(({ port }) => `${ip}:${port}`);
          }),
        ),
      ),
  ],
  ageColumn,
);

interface EventSeries {
  readonly count?: number;
  readonly lastObservedTime?: string;
}

function firstSeen(event: CoreEvent): string | undefined {
  return event.firstTimestamp ?? event.eventTime;
}

function lastSeen(event: CoreEvent, now: number): string {
  const series = event.series as EventSeries | undefined;
  const times = series?.count ?? event.count ?? 1;
  const last = series?.lastObservedTime ?? event.lastTimestamp ?? firstSeen(event);
  return times > 1
    ? `${ageOf(last, now)} (x${times} over ${ageOf(firstSeen(event), now)})`
    : ageOf(last, now);
}

export const eventColumns = columnSet<CoreEvent>(
  ['Last Seen', lastSeen],
  ['Type', (event) => event.type ?? ''],
  ['Reason', (event) => event.reason ?? ''],
  [
    'Object',
    (event) => `${(event.involvedObject.kind ?? '').toLowerCase()}/${event.involvedObject.name ?? ''}`,
  ],
  ['Subobject', (event) => event.involvedObject.fieldPath ?? '', wide],
  [
    'Source',
    (event) =>
      [event.source?.component ?? event.reportingComponent, event.source?.host]
        .filter((part) => (part ?? '') !== '')
        .join(', '),
    wide,
  ],
  ['Message', (event) => (event.message ?? '').trim()],
  ['First Seen', (event, now) => ageOf(firstSeen(event), now), wide],
  [
    'Count',
    (event) => (event.series as EventSeries | undefined)?.count ?? event.count ?? 1,
    { wide: true, type: 'integer' },
  ],
  ['Name', (event) => event.metadata.name ?? '', wide],
);

const accessModeNames: Readonly<Record<string, string>> = {
  ReadWriteOnce: 'RWO',
  ReadOnlyMany: 'ROX',
  ReadWriteMany: 'RWX',
  ReadWriteOncePod: 'RWOP',
};

function accessModes(modes: readonly string[] | undefined): string {
  return (modes ?? []).map((mode) => accessModeNames[mode] ?? mode).join(',');
}

interface HasPhase {
  readonly metadata?: { readonly deletionTimestamp?: string };
  readonly status?: { readonly phase?: string };
}

function terminating(object: HasPhase): string {
  return object.metadata?.deletionTimestamp === undefined ? (object.status?.phase ?? '') : 'Terminating';
}

export const persistentVolumeColumns = columnSet<PersistentVolume>(
  nameColumn,
  ['Capacity', (volume) => volume.spec?.capacity?.['storage'] ?? ''],
  ['Access Modes', (volume) => accessModes(volume.spec?.accessModes)],
  ['Reclaim Policy', (volume) => volume.spec?.persistentVolumeReclaimPolicy ?? ''],
  ['Status', (volume) => terminating(volume)],
  [
    'Claim',
    ({ spec }) =>
      spec?.claimRef === undefined ? '' : `${spec.claimRef.namespace ?? ''}/${spec.claimRef.name ?? ''}`,
  ],
  ['StorageClass', (volume) => volume.spec?.storageClassName ?? ''],
  ['Reason', (volume) => volume.status?.reason ?? ''],
  ageColumn,
  ['VolumeMode', (volume) => volume.spec?.volumeMode ?? unsetVolumeMode, wide],
);

const unsetVolumeMode = '<unset>';

export const persistentVolumeClaimColumns = columnSet<PersistentVolumeClaim>(
  nameColumn,
  ['Status', (claim) => terminating(claim)],
  ['Volume', (claim) => claim.spec?.volumeName ?? ''],
  [
    'Capacity',
    (claim) => ((claim.spec?.volumeName ?? '') === '' ? '' : (claim.status?.capacity?.['storage'] ?? '')),
  ],
  [
    'Access Modes',
    (claim) => ((claim.spec?.volumeName ?? '') === '' ? '' : accessModes(claim.status?.accessModes)),
  ],
  ['StorageClass', (claim) => claim.spec?.storageClassName ?? ''],
  ageColumn,
  ['VolumeMode', (claim) => claim.spec?.volumeMode ?? unsetVolumeMode, wide],
);

export const podTemplateColumns = columnSet<PodTemplate>(
  nameColumn,
  [
    'Containers',
    ({ template }) => (template?.spec?.containers ?? []).map((container) => container.name).join(','),
  ],
  [
    'Images',
    ({ template }) => (template?.spec?.containers ?? []).map((container) => container.image ?? '').join(','),
  ],
  ['Pod Labels', ({ template }) => formatLabels(template?.metadata?.labels)],
);

export const replicationControllerColumns = columnSet<ReplicationController>(
  nameColumn,
  ['Desired', (controller) => controller.spec?.replicas ?? 0, integer],
  ['Current', (controller) => controller.status?.replicas ?? 0, integer],
  ['Ready', (controller) => controller.status?.readyReplicas ?? 0, integer],
  ageColumn,
  ...containerColumns<ReplicationController>((controller) => controller.spec?.template),
  ['Selector', (controller) => formatLabels(controller.spec?.selector), wide],
);

function usedOf(quota: ResourceQuota, limits: boolean): string {
  const hard = (quota.status?.hard ?? {}) as Readonly<Record<string, string>>;
  const used = (quota.status?.used ?? {}) as Readonly<Record<string, string>>;
  const names = Object.keys(hard).filter((name) => name.startsWith('limits.') === limits);
  return names
    .sort()
    .map((name) => `${name}: ${used[name] ?? '0'}/${hard[name] ?? ''}`)
    .join(', ');
}

export const resourceQuotaColumns = columnSet<ResourceQuota>(
  nameColumn,
  ['Request', (quota) => usedOf(quota, false)],
  ['Limit', (quota) => usedOf(quota, true)],
  ageColumn,
);
