import type { Schema } from './schema.ts';

// What the generated schemas lack: how lists and maps merge, which strings are quantities, and the kinds and fields of our own.
// Source of the merge rules: the published Kubernetes API reference.

const core = 'io.k8s.api.core.v1';
const meta = 'io.k8s.apimachinery.pkg.apis.meta.v1';

export const wellKnown = {
  intOrString: 'io.k8s.apimachinery.pkg.util.intstr.IntOrString',
  microTime: `${meta}.MicroTime`,
  quantity: 'io.k8s.apimachinery.pkg.api.resource.Quantity',
  raw: 'io.k8s.apimachinery.pkg.runtime.RawExtension',
  time: `${meta}.Time`,
  objectMeta: `${meta}.ObjectMeta`,
  listMeta: `${meta}.ListMeta`,
} as const;

type ListRule = readonly [
  definition: string,
  field: string,
  rule: {
    /** First one is the key of strategic merge. */
    readonly keys?: readonly string[];
    readonly set?: true;
    readonly retainKeys?: true;
  },
];

const byKey = (...keys: string[]): { keys: string[] } => ({ keys });
const byKeyRetaining = (key: string): { keys: string[]; retainKeys: true } => ({
  keys: [key],
  retainKeys: true,
});

const containerLists = (definition: string): readonly ListRule[] => [
  [definition, 'env', byKey('name')],
  [definition, 'ports', byKey('containerPort', 'protocol')],
  [definition, 'volumeDevices', byKey('devicePath')],
  [definition, 'volumeMounts', byKey('mountPath')],
];

const conditions = (definition: string): ListRule => [definition, 'conditions', byKey('type')];

/** Lists that merge element by element; every other list is replaced as a whole. */
const listRules: readonly ListRule[] = [
  [`${meta}.ObjectMeta`, 'finalizers', { set: true }],
  [`${meta}.ObjectMeta`, 'ownerReferences', byKey('uid')],
  ...containerLists(`${core}.Container`),
  ...containerLists(`${core}.EphemeralContainer`),
  [`${core}.PodSpec`, 'containers', byKey('name')],
  [`${core}.PodSpec`, 'ephemeralContainers', byKey('name')],
  [`${core}.PodSpec`, 'hostAliases', byKey('ip')],
  [`${core}.PodSpec`, 'imagePullSecrets', byKey('name')],
  [`${core}.PodSpec`, 'initContainers', byKey('name')],
  [`${core}.PodSpec`, 'resourceClaims', byKeyRetaining('name')],
  [`${core}.PodSpec`, 'schedulingGates', byKey('name')],
  [`${core}.PodSpec`, 'topologySpreadConstraints', byKey('topologyKey', 'whenUnsatisfiable')],
  [`${core}.PodSpec`, 'volumes', byKeyRetaining('name')],
  conditions(`${core}.PodStatus`),
  [`${core}.PodStatus`, 'hostIPs', byKey('ip')],
  [`${core}.PodStatus`, 'podIPs', byKey('ip')],
  [`${core}.PodStatus`, 'resourceClaimStatuses', byKeyRetaining('name')],
  [`${core}.ServiceSpec`, 'ports', byKey('port', 'protocol')],
  conditions(`${core}.ServiceStatus`),
  [`${core}.ServiceAccount`, 'secrets', byKey('name')],
  [`${core}.NodeSpec`, 'podCIDRs', { set: true }],
  [`${core}.NodeStatus`, 'addresses', byKey('type')],
  conditions(`${core}.NodeStatus`),
  conditions(`${core}.NamespaceStatus`),
  conditions(`${core}.NetworkStatus`),
  conditions(`${core}.PersistentVolumeClaimStatus`),
  conditions(`${core}.ReplicationControllerStatus`),
  conditions('io.k8s.api.apps.v1.DaemonSetStatus'),
  conditions('io.k8s.api.apps.v1.DeploymentStatus'),
  conditions('io.k8s.api.apps.v1.ReplicaSetStatus'),
  conditions('io.k8s.api.apps.v1.StatefulSetStatus'),
  conditions('io.k8s.api.batch.v1.JobStatus'),
  conditions('io.k8s.api.policy.v1.PodDisruptionBudgetStatus'),
];

/** Objects whose other fields go when a patch names what to keep. */
const retainKeysFields: readonly (readonly [definition: string, field: string])[] = [
  ['io.k8s.api.apps.v1.DeploymentSpec', 'strategy'],
];

/** Structs and maps that server-side apply treats as one value. */
const atomicDefinitions: readonly string[] = [
  `${meta}.LabelSelector`,
  `${meta}.OwnerReference`,
  ...[
    'ConfigMapKeySelector',
    'LocalObjectReference',
    'NodeSelector',
    'NodeSelectorTerm',
    'ObjectFieldSelector',
    'ObjectReference',
    'PersistentVolumeClaimSpecDataSource',
    'ResourceFieldSelector',
    'ScopeSelector',
    'SecretKeySelector',
    'SecretReference',
    'TopologySelectorTerm',
    'TypedLocalObjectReference',
  ].map((name) => `${core}.${name}`),
  'io.k8s.api.rbac.v1.RoleRef',
  'io.k8s.api.rbac.v1.Subject',
];

const atomicMaps: readonly (readonly [definition: string, field: string])[] = [
  [`${core}.PodSpec`, 'nodeSelector'],
  [`${core}.ServiceSpec`, 'selector'],
  [`${core}.ReplicationControllerSpec`, 'selector'],
];

/** Strings, or maps of strings, that hold quantities. */
const quantityFields: readonly (readonly [definition: string, ...fields: string[]])[] = [
  [`${core}.ContainerStatus`, 'allocatedResources'],
  [`${core}.EmptyDirVolumeSource`, 'sizeLimit'],
  [`${core}.LimitRangeItem`, 'default', 'defaultRequest', 'max', 'maxLimitRequestRatio', 'min'],
  [`${core}.NodeStatus`, 'allocatable', 'capacity'],
  [`${core}.PersistentVolumeClaimStatus`, 'allocatedResources', 'capacity'],
  [`${core}.PersistentVolumeSpec`, 'capacity'],
  [`${core}.PodSpec`, 'overhead'],
  [`${core}.PodStatus`, 'allocatedResources'],
  [`${core}.ResourceFieldSelector`, 'divisor'],
  [`${core}.ResourceQuotaSpec`, 'hard'],
  [`${core}.ResourceQuotaStatus`, 'hard', 'used'],
  [`${core}.ResourceRequirements`, 'limits', 'requests'],
  [`${core}.VolumeResourceRequirements`, 'limits', 'requests'],
  ['io.k8s.api.node.v1.Overhead', 'podFixed'],
];

const reference = (name: string): Schema => ({ $ref: `#/definitions/${name}` });
const text = (description: string): Schema => ({ description, type: 'string' });

/** The kind Network and what belongs to it. */
const ownDefinitions: Readonly<Record<string, Schema>> = {
  [`${core}.Network`]: {
    description:
      'Network is a network of one tenant: subnets behind a router. Namespaces point at it with spec.network; the pods of all ' +
      'namespaces on a network reach each other by IP, and nothing outside reaches them.',
    type: 'object',
    properties: {
      apiVersion: text('Version of the schema of this object: v1.'),
      kind: text('Kind of this object: Network.'),
      metadata: reference(wellKnown.objectMeta),
      spec: reference(`${core}.NetworkSpec`),
      status: reference(`${core}.NetworkStatus`),
    },
  },
  [`${core}.NetworkList`]: {
    description: 'NetworkList is a list of networks.',
    type: 'object',
    required: ['items'],
    properties: {
      apiVersion: text('Version of the schema of this object: v1.'),
      items: { description: 'The networks.', type: 'array', items: reference(`${core}.Network`) },
      kind: text('Kind of this object: NetworkList.'),
      metadata: reference(wellKnown.listMeta),
    },
  },
  [`${core}.NetworkSpec`]: {
    description:
      'NetworkSpec says what a network should be: subnets to make, or a network of the provider to adopt.',
    type: 'object',
    required: ['tenantID'],
    properties: {
      providerNetworkID: text(
        'Identifier of an existing network of the provider to use. Excludes subnets. Cannot be changed.',
      ),
      subnets: {
        description:
          'Subnets by name: at least one, unless providerNetworkID is given. They must not overlap.',
        type: 'object',
        additionalProperties: reference(`${core}.Subnet`),
      },
      tenantID: text('Identifier of the tenant the network belongs to. Cannot be changed.'),
    },
  },
  [`${core}.Subnet`]: {
    description: 'Subnet is a range of addresses of a network.',
    type: 'object',
    required: ['cidr', 'gateway'],
    properties: {
      cidr: text('Address range in CIDR notation, for example 192.168.0.0/24.'),
      gateway: text('Address of the router within the range, for example 192.168.0.1.'),
    },
  },
  [`${core}.NetworkStatus`]: {
    description: 'NetworkStatus is what the provider made of the network.',
    type: 'object',
    properties: {
      conditions: {
        description: 'What holds of the network, and why not.',
        type: 'array',
        items: reference(`${core}.NetworkCondition`),
      },
      message: text('For people: why the network is not active.'),
      phase: text('Initializing, Pending (with a reason, retried), Active, Failed or Terminating.'),
      providerNetworkID: text('Identifier the provider gave to the network.'),
      reason: text('For programs, in CamelCase: why the network is not active.'),
    },
  },
  [`${core}.NetworkCondition`]: {
    description: 'NetworkCondition is one observation about a network.',
    type: 'object',
    required: ['type', 'status'],
    properties: {
      lastTransitionTime: reference(wellKnown.time),
      message: text('For people.'),
      observedGeneration: {
        description: 'Generation of the network that was observed.',
        type: 'integer',
        format: 'int64',
      },
      reason: text('For programs, in CamelCase.'),
      status: text('True, False or Unknown.'),
      type: text('Ready, TenantExists or Deletable.'),
    },
  },
};

const ownFields: readonly (readonly [definition: string, field: string, schema: Schema])[] = [
  [
    `${core}.NamespaceSpec`,
    'network',
    text(
      'Name of the Network the pods of this namespace are on; without one they are on the default pod network. ' +
        'Cannot be changed once it is set.',
    ),
  ],
  [
    `${core}.CinderVolumeSource`,
    'withOpenStackCP',
    {
      description:
        'Accepted for manifests of older versions and ignored: the volume is always attached to the pod itself.',
      type: 'boolean',
    },
  ],
];

/** Adds the tables to generated definitions, in place. Throws when a table names a definition or field that is not there. */
export function completeDefinitions(definitions: Map<string, Schema>): void {
  for (const [name, schema] of Object.entries(ownDefinitions)) definitions.set(name, structuredClone(schema));
  for (const [definition, field, schema] of ownFields) {
    const properties = definitionOf(definitions, definition).properties ?? {};
    properties[field] = { ...schema };
    definitionOf(definitions, definition).properties = properties;
  }
  for (const [definition, field, rule] of listRules)
    applyListRule(fieldOf(definitions, definition, field), rule);
  for (const [definition, field] of retainKeysFields) {
    fieldOf(definitions, definition, field)['x-kubernetes-patch-strategy'] = 'retainKeys';
  }
  for (const name of atomicDefinitions) {
    const found = definitions.get(name);
    if (found !== undefined) found['x-kubernetes-map-type'] = 'atomic';
  }
  for (const [definition, field] of atomicMaps) {
    fieldOf(definitions, definition, field)['x-kubernetes-map-type'] = 'atomic';
  }
  for (const [definition, ...fields] of quantityFields) {
    for (const field of fields) becomeQuantity(fieldOf(definitions, definition, field));
  }
}

function applyListRule(schema: Schema, rule: ListRule[2]): void {
  schema['x-kubernetes-patch-strategy'] = rule.retainKeys === true ? 'merge,retainKeys' : 'merge';
  if (rule.set === true) {
    schema['x-kubernetes-list-type'] = 'set';
    return;
  }
  const [first] = rule.keys ?? [];
  if (first === undefined) return;
  schema['x-kubernetes-patch-merge-key'] = first;
  schema['x-kubernetes-list-type'] = 'map';
  schema['x-kubernetes-list-map-keys'] = [...(rule.keys ?? [])];
}

function becomeQuantity(schema: Schema): void {
  if (schema.additionalProperties !== undefined) {
    schema.additionalProperties = reference(wellKnown.quantity);
    return;
  }
  delete schema.type;
  schema.$ref = `#/definitions/${wellKnown.quantity}`;
}

function definitionOf(definitions: Map<string, Schema>, name: string): Schema {
  const found = definitions.get(name);
  if (found === undefined) throw new Error(`schema tables: there is no definition ${name}`);
  return found;
}

function fieldOf(definitions: Map<string, Schema>, definition: string, field: string): Schema {
  const found = definitionOf(definitions, definition).properties?.[field];
  if (found === undefined) throw new Error(`schema tables: ${definition} has no field ${field}`);
  return found;
}
