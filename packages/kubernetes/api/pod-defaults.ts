import { asFields, asList, isFields, setDefault, type Fields } from './fields.ts';

/** Mode of files in ConfigMap, Secret, downward and projected volumes: 0644. */
const fileMode = 0o644;

/** Defaults of a pod template: those of its spec. */
export function defaultPodTemplate(template: Fields): void {
  if (isFields(template['spec'])) defaultPodSpec(template['spec']);
}

/** Defaults of PodSpec, in place. What needs other objects (service account, tolerations, priority) is admission's. */
export function defaultPodSpec(spec: Fields): void {
  setDefault(spec, 'restartPolicy', 'Always');
  setDefault(spec, 'terminationGracePeriodSeconds', 30);
  setDefault(spec, 'dnsPolicy', 'ClusterFirst');
  setDefault(spec, 'securityContext', {});
  setDefault(spec, 'schedulerName', 'default-scheduler');
  // The older name of the field is kept in step: clients read either.
  if (spec['serviceAccountName'] === undefined)
    setDefault(spec, 'serviceAccountName', spec['serviceAccount']);
  if (spec['serviceAccountName'] !== undefined) spec['serviceAccount'] = spec['serviceAccountName'];
  for (const container of allContainers(spec)) defaultContainer(container, spec['hostNetwork'] === true);
  for (const volume of asList(spec['volumes'])) defaultVolume(volume);
  for (const constraint of asList(spec['topologySpreadConstraints'])) {
    setDefault(constraint, 'whenUnsatisfiable', 'DoNotSchedule');
  }
}

/** Init, ordinary and ephemeral containers of a pod spec, in that order. */
export function allContainers(spec: Fields): Fields[] {
  return [
    ...asList(spec['initContainers']),
    ...asList(spec['containers']),
    ...asList(spec['ephemeralContainers']),
  ];
}

function defaultContainer(container: Fields, hostNetwork: boolean): void {
  setDefault(container, 'resources', {});
  setDefault(container, 'terminationMessagePath', '/dev/termination-log');
  setDefault(container, 'terminationMessagePolicy', 'File');
  setDefault(container, 'imagePullPolicy', pullPolicyOf(container['image']));
  for (const port of asList(container['ports'])) {
    setDefault(port, 'protocol', 'TCP');
    if (hostNetwork) setDefault(port, 'hostPort', port['containerPort']);
  }
  defaultRequests(asFields(container['resources']));
  for (const variable of asList(container['env']))
    defaultFieldRef(asFields(variable['valueFrom'])['fieldRef']);
  for (const name of ['livenessProbe', 'readinessProbe', 'startupProbe']) defaultProbe(container[name]);
  const lifecycle = asFields(container['lifecycle']);
  for (const name of ['postStart', 'preStop']) defaultHttpGet(asFields(lifecycle[name])['httpGet']);
}

/** Always for the tag `latest` or none, IfNotPresent for others and for digests. */
function pullPolicyOf(image: unknown): string {
  if (typeof image !== 'string' || image.includes('@')) return 'IfNotPresent';
  const tag = /:([^/:]+)$/.exec(image)?.[1];
  return tag === undefined || tag === 'latest' ? 'Always' : 'IfNotPresent';
}

/** A limit without a request is also the request. */
function defaultRequests(resources: Fields): void {
  const limits = Object.entries(asFields(resources['limits']));
  if (limits.length === 0) return;
  setDefault(resources, 'requests', {});
  for (const [resource, limit] of limits) setDefault(asFields(resources['requests']), resource, limit);
}

function defaultFieldRef(fieldRef: unknown): void {
  if (isFields(fieldRef)) setDefault(fieldRef, 'apiVersion', 'v1');
}

function defaultProbe(probe: unknown): void {
  if (!isFields(probe)) return;
  const numbers = { timeoutSeconds: 1, periodSeconds: 10, successThreshold: 1, failureThreshold: 3 };
  for (const [name, value] of Object.entries(numbers)) {
    if (probe[name] === 0) probe[name] = value;
    setDefault(probe, name, value);
  }
  defaultHttpGet(probe['httpGet']);
  if (isFields(probe['grpc'])) probe['grpc']['service'] ??= '';
}

function defaultHttpGet(httpGet: unknown): void {
  if (!isFields(httpGet)) return;
  setDefault(httpGet, 'path', '/');
  setDefault(httpGet, 'scheme', 'HTTP');
}

const volumeSources = [
  'awsElasticBlockStore',
  'azureDisk',
  'azureFile',
  'cephfs',
  'cinder',
  'configMap',
  'csi',
  'downwardAPI',
  'emptyDir',
  'ephemeral',
  'fc',
  'flexVolume',
  'flocker',
  'gcePersistentDisk',
  'gitRepo',
  'glusterfs',
  'hostPath',
  'image',
  'iscsi',
  'nfs',
  'persistentVolumeClaim',
  'photonPersistentDisk',
  'portworxVolume',
  'projected',
  'quobyte',
  'rbd',
  'scaleIO',
  'secret',
  'storageos',
  'vsphereVolume',
] as const;

/** Names of the sources a volume has; valid is exactly one. */
export function sourcesOf(volume: Fields): string[] {
  return volumeSources.filter((source) => volume[source] !== undefined);
}

function defaultVolume(volume: Fields): void {
  if (sourcesOf(volume).length === 0) volume['emptyDir'] = {};
  for (const source of ['secret', 'configMap', 'downwardAPI', 'projected'] as const) {
    const fields = volume[source];
    if (isFields(fields)) setDefault(fields, 'defaultMode', fileMode);
  }
  for (const item of asList(asFields(volume['downwardAPI'])['items'])) defaultFieldRef(item['fieldRef']);
  for (const source of asList(asFields(volume['projected'])['sources'])) {
    for (const item of asList(asFields(source['downwardAPI'])['items'])) defaultFieldRef(item['fieldRef']);
    const token = source['serviceAccountToken'];
    if (isFields(token)) setDefault(token, 'expirationSeconds', 3_600);
  }
  const hostPath = volume['hostPath'];
  if (isFields(hostPath)) hostPath['type'] ??= '';
}
