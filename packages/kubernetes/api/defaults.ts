import type { Kind } from './kind.ts';
import type { ApiObject } from './object.ts';
import { defaultPodSpec, defaultPodTemplate } from './pod-defaults.ts';
import { asFields, asList, setDefault, setField, type Fields } from './fields.ts';

/** Fills in, in place, what Kubernetes defaults for the kind. Defaulting twice is the same as once. Answers the object. */
export function defaultObject(kind: Pick<Kind, 'group' | 'kind'>, object: ApiObject): ApiObject {
  defaulters[`${kind.group}/${kind.kind}`]?.(object);
  return object;
}

type Defaulter = (object: ApiObject) => void;

const defaulters: Readonly<Record<string, Defaulter>> = {
  '/Endpoints': defaultEndpoints,
  '/Namespace': defaultNamespace,
  '/Network': (object) => setDefault(fieldsIn(object, 'status'), 'phase', 'Initializing'),
  '/PersistentVolume': defaultPersistentVolume,
  '/PersistentVolumeClaim': defaultPersistentVolumeClaim,
  '/Pod': defaultPod,
  '/PodTemplate': (object) => defaultPodTemplate(fieldsIn(object, 'template')),
  '/ReplicationController': defaultReplicationController,
  '/LimitRange': defaultLimitRange,
  '/Secret': defaultSecret,
  '/Service': defaultService,
  '/Node': defaultNode,
  'apps/DaemonSet': defaultDaemonSet,
  'apps/Deployment': defaultDeployment,
  'apps/ReplicaSet': defaultReplicaSet,
  'apps/StatefulSet': defaultStatefulSet,
  'batch/CronJob': defaultCronJob,
  'batch/Job': (object) => defaultJob(object),
  'discovery.k8s.io/EndpointSlice': defaultEndpointSlice,
  'networking.k8s.io/NetworkPolicy': defaultNetworkPolicy,
  'rbac.authorization.k8s.io/ClusterRoleBinding': defaultBinding,
  'rbac.authorization.k8s.io/RoleBinding': defaultBinding,
  'scheduling.k8s.io/PriorityClass': (object) =>
    setDefault(object, 'preemptionPolicy', 'PreemptLowerPriority'),
  'storage.k8s.io/StorageClass': defaultStorageClass,
};

/** The object field of this name; made when absent. */
function fieldsIn(object: Fields, name: string): Fields {
  setDefault(object, name, {});
  return asFields(object[name]);
}

function defaultPod(pod: ApiObject): void {
  const spec = fieldsIn(pod, 'spec');
  defaultPodSpec(spec);
  setDefault(spec, 'enableServiceLinks', true);
  setDefault(fieldsIn(pod, 'status'), 'phase', 'Pending');
}

function defaultNamespace(namespace: ApiObject): void {
  setDefault(fieldsIn(namespace, 'status'), 'phase', 'Active');
  const labels = (namespace.metadata.labels ??= {});
  if (namespace.metadata.name !== undefined)
    labels['kubernetes.io/metadata.name'] ??= namespace.metadata.name;
}

function defaultNode(node: ApiObject): void {
  const status = asFields(node['status']);
  if (status['capacity'] !== undefined)
    setDefault(status, 'allocatable', structuredClone(status['capacity']));
}

function defaultSecret(secret: ApiObject): void {
  setDefault(secret, 'type', 'Opaque');
  const texts = Object.entries(asFields(secret['stringData']));
  if (texts.length > 0) {
    const data = fieldsIn(secret, 'data');
    for (const [key, text] of texts) setField(data, key, Buffer.from(String(text)).toString('base64'));
  }
  delete secret['stringData'];
}

function defaultService(service: ApiObject): void {
  const spec = fieldsIn(service, 'spec');
  setDefault(spec, 'sessionAffinity', 'None');
  setDefault(spec, 'type', 'ClusterIP');
  const type = spec['type'];
  if (spec['sessionAffinity'] === 'ClientIP') {
    setDefault(fieldsIn(fieldsIn(spec, 'sessionAffinityConfig'), 'clientIP'), 'timeoutSeconds', 10_800);
  }
  for (const port of asList(spec['ports'])) {
    setDefault(port, 'protocol', 'TCP');
    setDefault(port, 'targetPort', port['port']);
  }
  if (type !== 'ExternalName') {
    setDefault(spec, 'internalTrafficPolicy', 'Cluster');
    defaultIpFamilies(spec);
  }
  const externallyReachable =
    type === 'NodePort' || type === 'LoadBalancer' || hasElements(spec['externalIPs']);
  if (externallyReachable) setDefault(spec, 'externalTrafficPolicy', 'Cluster');
  if (type === 'LoadBalancer') setDefault(spec, 'allocateLoadBalancerNodePorts', true);
  setDefault(fieldsIn(service, 'status'), 'loadBalancer', {});
}

/** The system is IPv4 only; clusterIPs follows clusterIP. */
function defaultIpFamilies(spec: Fields): void {
  setDefault(spec, 'ipFamilies', ['IPv4']);
  setDefault(spec, 'ipFamilyPolicy', 'SingleStack');
  const address = spec['clusterIP'];
  if (typeof address === 'string' && address !== '') setDefault(spec, 'clusterIPs', [address]);
}

function hasElements(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0;
}

function defaultEndpoints(endpoints: ApiObject): void {
  for (const subset of asList(endpoints['subsets'])) {
    for (const port of asList(subset['ports'])) setDefault(port, 'protocol', 'TCP');
  }
}

function defaultEndpointSlice(slice: ApiObject): void {
  for (const port of asList(slice['ports'])) {
    port['name'] ??= '';
    setDefault(port, 'protocol', 'TCP');
  }
}

function defaultPersistentVolume(volume: ApiObject): void {
  const spec = fieldsIn(volume, 'spec');
  setDefault(spec, 'persistentVolumeReclaimPolicy', 'Retain');
  setDefault(spec, 'volumeMode', 'Filesystem');
  setDefault(fieldsIn(volume, 'status'), 'phase', 'Pending');
}

function defaultPersistentVolumeClaim(claim: ApiObject): void {
  setDefault(fieldsIn(claim, 'spec'), 'volumeMode', 'Filesystem');
  setDefault(fieldsIn(claim, 'status'), 'phase', 'Pending');
}

function defaultLimitRange(range: ApiObject): void {
  for (const item of asList(asFields(range['spec'])['limits'])) {
    if (item['type'] !== 'Container') continue;
    const limits = fieldsIn(item, 'default');
    const requests = fieldsIn(item, 'defaultRequest');
    for (const [resource, value] of Object.entries(asFields(item['max'])))
      setDefault(limits, resource, value);
    for (const source of [limits, asFields(item['min'])]) {
      for (const [resource, value] of Object.entries(source)) setDefault(requests, resource, value);
    }
  }
}

/** Labels of a workload and its selector, where they default to those of the template. */
function defaultReplicationController(controller: ApiObject): void {
  const spec = fieldsIn(controller, 'spec');
  setDefault(spec, 'replicas', 1);
  const template = asFields(spec['template']);
  defaultPodTemplate(template);
  const labels = asFields(asFields(template['metadata'])['labels']);
  if (Object.keys(labels).length > 0) {
    setDefault(spec, 'selector', { ...labels });
    controller.metadata.labels ??= { ...(labels as Record<string, string>) };
  }
}

function defaultReplicaSet(set: ApiObject): void {
  const spec = fieldsIn(set, 'spec');
  setDefault(spec, 'replicas', 1);
  defaultPodTemplate(asFields(spec['template']));
}

function defaultDeployment(deployment: ApiObject): void {
  const spec = fieldsIn(deployment, 'spec');
  setDefault(spec, 'replicas', 1);
  setDefault(spec, 'revisionHistoryLimit', 10);
  setDefault(spec, 'progressDeadlineSeconds', 600);
  const strategy = fieldsIn(spec, 'strategy');
  setDefault(strategy, 'type', 'RollingUpdate');
  if (strategy['type'] === 'RollingUpdate') {
    const rolling = fieldsIn(strategy, 'rollingUpdate');
    setDefault(rolling, 'maxUnavailable', '25%');
    setDefault(rolling, 'maxSurge', '25%');
  }
  defaultPodTemplate(asFields(spec['template']));
}

function defaultStatefulSet(set: ApiObject): void {
  const spec = fieldsIn(set, 'spec');
  setDefault(spec, 'podManagementPolicy', 'OrderedReady');
  setDefault(spec, 'replicas', 1);
  setDefault(spec, 'revisionHistoryLimit', 10);
  const strategy = fieldsIn(spec, 'updateStrategy');
  setDefault(strategy, 'type', 'RollingUpdate');
  if (strategy['type'] === 'RollingUpdate') setDefault(fieldsIn(strategy, 'rollingUpdate'), 'partition', 0);
  const retention = fieldsIn(spec, 'persistentVolumeClaimRetentionPolicy');
  setDefault(retention, 'whenDeleted', 'Retain');
  setDefault(retention, 'whenScaled', 'Retain');
  for (const claim of asList(spec['volumeClaimTemplates'])) {
    setDefault(claim, 'apiVersion', 'v1');
    setDefault(claim, 'kind', 'PersistentVolumeClaim');
    defaultPersistentVolumeClaim(claim as unknown as ApiObject);
  }
  defaultPodTemplate(asFields(spec['template']));
}

function defaultDaemonSet(set: ApiObject): void {
  const spec = fieldsIn(set, 'spec');
  setDefault(spec, 'revisionHistoryLimit', 10);
  const strategy = fieldsIn(spec, 'updateStrategy');
  setDefault(strategy, 'type', 'RollingUpdate');
  if (strategy['type'] === 'RollingUpdate') {
    const rolling = fieldsIn(strategy, 'rollingUpdate');
    setDefault(rolling, 'maxUnavailable', 1);
    setDefault(rolling, 'maxSurge', 0);
  }
  defaultPodTemplate(asFields(spec['template']));
}

function defaultJob(job: Fields): void {
  const spec = fieldsIn(job, 'spec');
  if (spec['completions'] === undefined && spec['parallelism'] === undefined) spec['completions'] = 1;
  setDefault(spec, 'parallelism', 1);
  setDefault(spec, 'backoffLimit', spec['backoffLimitPerIndex'] === undefined ? 6 : 2_147_483_647);
  setDefault(spec, 'completionMode', 'NonIndexed');
  setDefault(spec, 'suspend', false);
  setDefault(
    spec,
    'podReplacementPolicy',
    spec['podFailurePolicy'] === undefined ? 'TerminatingOrFailed' : 'Failed',
  );
  defaultPodTemplate(asFields(spec['template']));
}

function defaultCronJob(cronJob: ApiObject): void {
  const spec = fieldsIn(cronJob, 'spec');
  setDefault(spec, 'concurrencyPolicy', 'Allow');
  setDefault(spec, 'suspend', false);
  setDefault(spec, 'successfulJobsHistoryLimit', 3);
  setDefault(spec, 'failedJobsHistoryLimit', 1);
  const template = asFields(asFields(asFields(spec['jobTemplate'])['spec'])['template']);
  defaultPodTemplate(template);
}

function defaultNetworkPolicy(policy: ApiObject): void {
  const spec = fieldsIn(policy, 'spec');
  setDefault(spec, 'podSelector', {});
  setDefault(spec, 'policyTypes', hasElements(spec['egress']) ? ['Ingress', 'Egress'] : ['Ingress']);
  for (const rule of [...asList(spec['ingress']), ...asList(spec['egress'])]) {
    for (const port of asList(rule['ports'])) setDefault(port, 'protocol', 'TCP');
  }
}

const rbacGroup = 'rbac.authorization.k8s.io';

function defaultBinding(binding: ApiObject): void {
  setDefault(fieldsIn(binding, 'roleRef'), 'apiGroup', rbacGroup);
  for (const subject of asList(binding['subjects'])) {
    if (subject['kind'] !== 'ServiceAccount') setDefault(subject, 'apiGroup', rbacGroup);
  }
}

function defaultStorageClass(storageClass: ApiObject): void {
  setDefault(storageClass, 'reclaimPolicy', 'Delete');
  setDefault(storageClass, 'volumeBindingMode', 'Immediate');
}
