import { isIP } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import { asFields, asList, asStrings, asText, isFields, type Fields } from './fields.ts';
import type { FieldErrors } from './field-errors.ts';
import { configMapKeyErrors, dnsLabelErrors, dnsSubdomainErrors, portNameErrors } from './names.ts';
import type { ApiObject } from './object.ts';
import { compareQuantities, tryParseQuantity } from './quantity.ts';
import { validateLabelSelector } from './validate-labels.ts';
import { validateAmount, validatePortNumber, validateTaints } from './validate-pod.ts';
import { isCidr } from './validate-service.ts';

/** Most bytes of data in a ConfigMap or Secret. */
const dataBytesMax = 1024 * 1024;

type Old = ApiObject | undefined;

function unchanged(object: ApiObject, old: Old, path: string, errors: FieldErrors): void {
  if (old === undefined) return;
  const read = (from: ApiObject): unknown =>
    path.split('.').reduce<unknown>((at, name) => asFields(at)[name], from);
  if (!isDeepStrictEqual(read(object), read(old)))
    errors.invalid(path, read(object) ?? null, 'field is immutable');
}

// Configuration

export function validateConfigMap(object: ApiObject, old: Old, errors: FieldErrors): void {
  const binary = Object.keys(asFields(object['binaryData']));
  const data = Object.entries(asFields(object['data']));
  for (const [key] of data) {
    errors.invalidEach(`data[${key}]`, key, configMapKeyErrors(key));
    if (binary.includes(key)) errors.invalid(`data[${key}]`, key, 'duplicate of key present in binaryData');
  }
  for (const key of binary) errors.invalidEach(`binaryData[${key}]`, key, configMapKeyErrors(key));
  validateDataSize(
    [...data.map(([, value]) => value), ...Object.values(asFields(object['binaryData']))],
    errors,
    '',
  );
  validateImmutable(object, old, ['data', 'binaryData'], errors);
}

function validateDataSize(values: readonly unknown[], errors: FieldErrors, field: string): void {
  const bytes = values.reduce<number>((sum, value) => sum + Buffer.byteLength(asText(value)), 0);
  if (bytes > dataBytesMax) errors.tooLong(field === '' ? 'data' : field, dataBytesMax);
}

function validateImmutable(
  object: ApiObject,
  old: Old,
  fields: readonly string[],
  errors: FieldErrors,
): void {
  if (old?.['immutable'] !== true) return;
  if (object['immutable'] !== true)
    errors.forbidden('immutable', 'field is immutable when `immutable` is set');
  for (const field of fields) {
    if (!isDeepStrictEqual(object[field], old[field])) {
      errors.forbidden(field, 'field is immutable when `immutable` is set');
    }
  }
}

const keysOfSecrets: Readonly<Record<string, readonly string[]>> = {
  'kubernetes.io/dockercfg': ['.dockercfg'],
  'kubernetes.io/dockerconfigjson': ['.dockerconfigjson'],
  'kubernetes.io/ssh-auth': ['ssh-privatekey'],
  'kubernetes.io/tls': ['tls.crt', 'tls.key'],
};

export function validateSecret(object: ApiObject, old: Old, errors: FieldErrors): void {
  const data = asFields(object['data']);
  for (const key of Object.keys(data)) errors.invalidEach(`data[${key}]`, key, configMapKeyErrors(key));
  validateDataSize(Object.values(data), errors, 'data');
  for (const key of keysOfSecrets[asText(object['type'])] ?? []) {
    if (data[key] === undefined) errors.required(`data[${key}]`);
  }
  const credentials = asText(object['type']) === 'kubernetes.io/basic-auth';
  if (credentials && data['username'] === undefined && data['password'] === undefined) {
    errors.required('data[username]');
    errors.required('data[password]');
  }
  const config = data['.dockerconfigjson'];
  if (object['type'] === 'kubernetes.io/dockerconfigjson' && typeof config === 'string' && !isJson(config)) {
    errors.invalid('data[.dockerconfigjson]', '<secret contents redacted>', 'must be JSON');
  }
  unchanged(object, old, 'type', errors);
  validateImmutable(object, old, ['data'], errors);
}

function isJson(base64: string): boolean {
  try {
    JSON.parse(Buffer.from(base64, 'base64').toString());
    return true;
  } catch {
    return false;
  }
}

// Cluster

export function validateNamespace(object: ApiObject, old: Old, errors: FieldErrors): void {
  const network = asText(asFields(object['spec'])['network']);
  if (network !== '') errors.invalidEach('spec.network', network, dnsLabelErrors(network));
  const before = asText(asFields(old?.['spec'])['network']);
  if (before !== '' && before !== network) errors.invalid('spec.network', network, 'field is immutable');
}

export function validateNode(object: ApiObject, _old: Old, errors: FieldErrors): void {
  const spec = asFields(object['spec']);
  validateTaints(asList(spec['taints']), 'spec.taints', errors);
  asStrings(spec['podCIDRs']).forEach((cidr, index) => {
    if (!isCidr(cidr)) errors.invalid(`spec.podCIDRs[${index}]`, cidr, 'must be a valid CIDR');
  });
}

export function validateEvent(object: ApiObject, _old: Old, errors: FieldErrors): void {
  const about = asFields(object['involvedObject'] ?? object['regarding']);
  const namespace = asText(about['namespace']);
  const own = object.metadata.namespace ?? '';
  const field = object['regarding'] === undefined ? 'involvedObject.namespace' : 'regarding.namespace';
  const expected = namespace === '' ? 'default' : namespace;
  if (own !== expected && !(namespace === '' && own === 'kube-system')) {
    errors.invalid(field, namespace, 'does not match event.namespace');
  }
}

export function validateLease(object: ApiObject, _old: Old, errors: FieldErrors): void {
  const spec = asFields(object['spec']);
  if (spec['leaseDurationSeconds'] !== undefined && Number(spec['leaseDurationSeconds']) <= 0) {
    errors.invalid('spec.leaseDurationSeconds', spec['leaseDurationSeconds'], 'must be greater than 0');
  }
  errors.atLeast('spec.leaseTransitions', spec['leaseTransitions'], 0);
}

export function validateResourceQuota(object: ApiObject, _old: Old, errors: FieldErrors): void {
  for (const [resource, amount] of Object.entries(asFields(asFields(object['spec'])['hard']))) {
    validateAmount(`spec.hard[${resource}]`, amount, errors);
  }
}

export function validateLimitRange(object: ApiObject, _old: Old, errors: FieldErrors): void {
  asList(asFields(object['spec'])['limits']).forEach((item, index) => {
    const at = `spec.limits[${index}]`;
    if (asText(item['type']) === '') errors.required(`${at}.type`);
    const order = ['min', 'defaultRequest', 'default', 'max'];
    for (const [position, lower] of order.entries()) {
      for (const upper of order.slice(position + 1)) validateOrder(item, lower, upper, at, errors);
    }
  });
}

function validateOrder(item: Fields, lower: string, upper: string, path: string, errors: FieldErrors): void {
  for (const [resource, text] of Object.entries(asFields(item[lower]))) {
    const low = tryParseQuantity(asText(text));
    const high = tryParseQuantity(asText(asFields(item[upper])[resource]));
    if (low === undefined || high === undefined || compareQuantities(low, high) <= 0) continue;
    errors.invalid(`${path}.${lower}[${resource}]`, text, `${lower} value is greater than ${upper} value`);
  }
}

// Endpoints

export function validateEndpoints(object: ApiObject, _old: Old, errors: FieldErrors): void {
  asList(object['subsets']).forEach((subset, index) => {
    const at = `subsets[${index}]`;
    for (const field of ['addresses', 'notReadyAddresses']) {
      asList(subset[field]).forEach((address, place) => {
        if (isIP(asText(address['ip'])) === 0) {
          errors.invalid(`${at}.${field}[${place}].ip`, address['ip'] ?? '', 'must be a valid IP address');
        }
      });
    }
    asList(subset['ports']).forEach((port, place) =>
      validatePortNumber(`${at}.ports[${place}].port`, port['port'], errors),
    );
  });
}

/** Endpoints of one slice. */
const endpointsMax = 1_000;

export function validateEndpointSlice(object: ApiObject, old: Old, errors: FieldErrors): void {
  errors.oneOf('addressType', object['addressType'], ['IPv4', 'IPv6', 'FQDN']);
  unchanged(object, old, 'addressType', errors);
  const endpoints = asList(object['endpoints']);
  if (endpoints.length > endpointsMax) errors.tooMany('endpoints', endpoints.length, endpointsMax);
  const family = { IPv4: 4, IPv6: 6 }[asText(object['addressType'])];
  endpoints.forEach((endpoint, index) => {
    const addresses = asStrings(endpoint['addresses']);
    if (addresses.length === 0)
      errors.required(`endpoints[${index}].addresses`, 'must contain at least 1 address');
    addresses.forEach((address, place) => {
      if (family !== undefined && isIP(address) !== family) {
        errors.invalid(
          `endpoints[${index}].addresses[${place}]`,
          address,
          `must be a valid IPv${family} address`,
        );
      }
    });
  });
  asList(object['ports']).forEach((port, index) => {
    if (port['port'] !== undefined) validatePortNumber(`ports[${index}].port`, port['port'], errors);
    const name = asText(port['name']);
    if (name !== '') errors.invalidEach(`ports[${index}].name`, name, dnsLabelErrors(name));
  });
}

// Storage

const accessModes = ['ReadOnlyMany', 'ReadWriteMany', 'ReadWriteOnce', 'ReadWriteOncePod'];

function validateAccessModes(spec: Fields, errors: FieldErrors): void {
  const modes = asStrings(spec['accessModes']);
  if (modes.length === 0) errors.required('spec.accessModes', 'at least 1 access mode is required');
  for (const mode of modes) errors.oneOf('spec.accessModes', mode, accessModes);
  if (spec['volumeMode'] !== undefined) {
    errors.oneOf('spec.volumeMode', spec['volumeMode'], ['Block', 'Filesystem']);
  }
}

const notSources = new Set([
  'accessModes',
  'capacity',
  'claimRef',
  'mountOptions',
  'nodeAffinity',
  'persistentVolumeReclaimPolicy',
  'storageClassName',
  'volumeAttributesClassName',
  'volumeMode',
]);

export function validatePersistentVolume(object: ApiObject, old: Old, errors: FieldErrors): void {
  const spec = asFields(object['spec']);
  validateAccessModes(spec, errors);
  const storage = asFields(spec['capacity'])['storage'];
  if (storage === undefined) errors.required('spec.capacity');
  else validateAmount('spec.capacity[storage]', storage, errors);
  errors.oneOf('spec.persistentVolumeReclaimPolicy', spec['persistentVolumeReclaimPolicy'], [
    'Delete',
    'Recycle',
    'Retain',
  ]);
  const sourcesOfSpec = (of: Fields): string[] =>
    Object.keys(of).filter((field) => !notSources.has(field) && isFields(of[field]));
  const sources = sourcesOfSpec(spec);
  if (sources.length === 0) errors.required('spec', 'must specify a volume type');
  for (const extra of sources.slice(1))
    errors.forbidden(`spec.${extra}`, 'may not specify more than 1 volume type');
  if (old === undefined) return;
  const before = asFields(old['spec']);
  const pick = (of: Fields): Fields =>
    Object.fromEntries(sourcesOfSpec(of).map((source) => [source, of[source]]));
  if (!isDeepStrictEqual(pick(spec), pick(before))) {
    errors.forbidden(
      'spec.persistentvolumesource',
      'spec.persistentvolumesource is immutable after creation',
    );
  }
  unchanged(object, old, 'spec.volumeMode', errors);
}

export function validatePersistentVolumeClaim(object: ApiObject, old: Old, errors: FieldErrors): void {
  const spec = asFields(object['spec']);
  validateAccessModes(spec, errors);
  validateLabelSelector(spec['selector'], 'spec.selector', errors);
  const storage = asFields(asFields(spec['resources'])['requests'])['storage'];
  const quantity = tryParseQuantity(asText(storage));
  if (storage === undefined) errors.required('spec.resources[storage]');
  else if (quantity === undefined || quantity.nano <= 0n) {
    errors.invalid('spec.resources[storage]', storage, 'must be greater than zero');
  }
  const storageClass = asText(spec['storageClassName']);
  if (storageClass !== '')
    errors.invalidEach('spec.storageClassName', storageClass, dnsSubdomainErrors(storageClass));
  if (old !== undefined) validateClaimUpdate(spec, asFields(old['spec']), errors);
}

/** A claim is immutable but for its size, and the volume it gets bound to. */
function validateClaimUpdate(spec: Fields, before: Fields, errors: FieldErrors): void {
  const rest = (of: Fields): Fields => {
    const {
      resources: _resources,
      volumeAttributesClassName: _attributes,
      volumeName,
      storageClassName,
      ...others
    } = of;
    const bound = asText(before['volumeName']) !== '';
    const classed = before['storageClassName'] !== undefined;
    return { ...others, ...(bound ? { volumeName } : {}), ...(classed ? { storageClassName } : {}) };
  };
  if (!isDeepStrictEqual(rest(spec), rest(before))) {
    errors.forbidden(
      'spec',
      'spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims',
    );
  }
  const sizeOf = (of: Fields): ReturnType<typeof tryParseQuantity> =>
    tryParseQuantity(asText(asFields(asFields(of['resources'])['requests'])['storage']));
  const [size, oldSize] = [sizeOf(spec), sizeOf(before)];
  if (size !== undefined && oldSize !== undefined && compareQuantities(size, oldSize) < 0) {
    errors.forbidden('spec.resources.requests.storage', 'field can not be less than previous value');
  }
}

export function validateStorageClass(object: ApiObject, old: Old, errors: FieldErrors): void {
  if (asText(object['provisioner']) === '') errors.required('provisioner');
  errors.oneOf('reclaimPolicy', object['reclaimPolicy'], ['Delete', 'Retain']);
  errors.oneOf('volumeBindingMode', object['volumeBindingMode'], ['Immediate', 'WaitForFirstConsumer']);
  for (const field of ['parameters', 'provisioner', 'reclaimPolicy', 'volumeBindingMode']) {
    if (old !== undefined && !isDeepStrictEqual(object[field], old[field])) {
      errors.forbidden(field, `updates to ${field} are forbidden.`);
    }
  }
}

// Policies

export function validatePriorityClass(object: ApiObject, old: Old, errors: FieldErrors): void {
  const name = object.metadata.name ?? '';
  const system = ['system-node-critical', 'system-cluster-critical'].includes(name);
  if (name.startsWith('system-') && !system) {
    errors.forbidden(
      'metadata.name',
      "priority class names with 'system-' prefix are reserved for system use only",
    );
  }
  if (Number(object['value'] ?? 0) > 1_000_000_000 && !system) {
    errors.forbidden('value', 'maximum allowed value of a user defined priority is 1000000000');
  }
  if (old !== undefined && object['value'] !== old['value'])
    errors.forbidden('value', 'may not be changed in an update.');
  errors.oneOf('preemptionPolicy', object['preemptionPolicy'], ['PreemptLowerPriority', 'Never']);
}

export function validateRuntimeClass(object: ApiObject, old: Old, errors: FieldErrors): void {
  const handler = asText(object['handler']);
  if (handler === '') errors.required('handler');
  else errors.invalidEach('handler', handler, dnsLabelErrors(handler));
  unchanged(object, old, 'handler', errors);
}

export function validateDisruptionBudget(object: ApiObject, _old: Old, errors: FieldErrors): void {
  const spec = asFields(object['spec']);
  if (spec['minAvailable'] !== undefined && spec['maxUnavailable'] !== undefined) {
    errors.invalid('spec', spec, 'minAvailable and maxUnavailable cannot be both set');
  }
  for (const field of ['minAvailable', 'maxUnavailable']) {
    const value = spec[field];
    errors.atLeast(`spec.${field}`, value, 0);
    if (typeof value === 'string' && !/^(\d{1,2}|100)%$/.test(value)) {
      errors.invalid(`spec.${field}`, value, 'must be a number or a percentage from 0% to 100%');
    }
  }
  validateLabelSelector(spec['selector'], 'spec.selector', errors);
}

export function validateNetworkPolicy(object: ApiObject, _old: Old, errors: FieldErrors): void {
  const spec = asFields(object['spec']);
  validateLabelSelector(spec['podSelector'], 'spec.podSelector', errors);
  for (const type of asStrings(spec['policyTypes']))
    errors.oneOf('spec.policyTypes', type, ['Ingress', 'Egress']);
  for (const [direction, peers] of [
    ['ingress', 'from'],
    ['egress', 'to'],
  ] as const) {
    asList(spec[direction]).forEach((rule, index) =>
      asList(rule[peers]).forEach((peer, place) => {
        const at = `spec.${direction}[${index}].${peers}[${place}]`;
        const block = peer['ipBlock'];
        if (Object.keys(peer).length === 0) errors.required(at, 'must specify a peer');
        if (isFields(block) && !isCidr(asText(block['cidr']))) {
          errors.invalid(`${at}.ipBlock.cidr`, block['cidr'] ?? '', 'must be a valid CIDR');
        }
        validateLabelSelector(peer['podSelector'], `${at}.podSelector`, errors);
        validateLabelSelector(peer['namespaceSelector'], `${at}.namespaceSelector`, errors);
      }),
    );
  }
}

export function validateIngress(object: ApiObject, _old: Old, errors: FieldErrors): void {
  const spec = asFields(object['spec']);
  const rules = asList(spec['rules']);
  if (rules.length === 0 && spec['defaultBackend'] === undefined) {
    errors.invalid('spec', rules, 'either `defaultBackend` or `rules` must be specified');
  }
  if (isFields(spec['defaultBackend']))
    validateBackend(spec['defaultBackend'], 'spec.defaultBackend', errors);
  rules.forEach((rule, index) =>
    asList(asFields(rule['http'])['paths']).forEach((path, place) => {
      const at = `spec.rules[${index}].http.paths[${place}]`;
      errors.oneOf(`${at}.pathType`, path['pathType'], ['Exact', 'ImplementationSpecific', 'Prefix']);
      if (path['pathType'] !== 'ImplementationSpecific' && !asText(path['path']).startsWith('/')) {
        errors.invalid(`${at}.path`, path['path'] ?? '', 'must be an absolute path');
      }
      validateBackend(asFields(path['backend']), `${at}.backend`, errors);
    }),
  );
}

function validateBackend(backend: Fields, path: string, errors: FieldErrors): void {
  if (isFields(backend['resource'])) return;
  const service = asFields(backend['service']);
  if (asText(service['name']) === '') errors.required(`${path}.service.name`);
  const port = asFields(service['port']);
  const name = asText(port['name']);
  if (name === '' && port['number'] === undefined)
    errors.required(`${path}.service.port`, 'port name or number is required');
  if (name !== '') errors.invalidEach(`${path}.service.port.name`, name, portNameErrors(name));
}

// RBAC

export function validateRole(object: ApiObject, _old: Old, errors: FieldErrors): void {
  asList(object['rules']).forEach((rule, index) => {
    const at = `rules[${index}]`;
    const urls = asStrings(rule['nonResourceURLs']);
    const resources = asStrings(rule['resources']);
    if (asStrings(rule['verbs']).length === 0)
      errors.required(`${at}.verbs`, 'verbs must contain at least one value');
    if (urls.length > 0) {
      if (object.kind === 'Role') {
        errors.invalid(`${at}.nonResourceURLs`, urls, 'namespaced rules cannot apply to non-resource URLs');
      } else if (resources.length > 0 || asStrings(rule['apiGroups']).length > 0) {
        errors.invalid(
          `${at}.nonResourceURLs`,
          urls,
          'rules cannot apply to both regular resources and non-resource URLs',
        );
      }
      return;
    }
    if (asStrings(rule['apiGroups']).length === 0) {
      errors.required(`${at}.apiGroups`, 'resource rules must supply at least one api group');
    }
    if (resources.length === 0)
      errors.required(`${at}.resources`, 'resource rules must supply at least one resource');
  });
}

const rbacGroup = 'rbac.authorization.k8s.io';

export function validateBinding(object: ApiObject, old: Old, errors: FieldErrors): void {
  const role = asFields(object['roleRef']);
  errors.oneOf('roleRef.apiGroup', role['apiGroup'], [rbacGroup]);
  errors.oneOf(
    'roleRef.kind',
    role['kind'],
    object.kind === 'RoleBinding' ? ['Role', 'ClusterRole'] : ['ClusterRole'],
  );
  if (asText(role['name']) === '') errors.required('roleRef.name');
  if (old !== undefined && !isDeepStrictEqual(role, asFields(old['roleRef']))) {
    errors.invalid('roleRef', role, 'cannot change roleRef');
  }
  asList(object['subjects']).forEach((subject, index) => {
    const at = `subjects[${index}]`;
    if (asText(subject['name']) === '') errors.required(`${at}.name`);
    errors.oneOf(`${at}.kind`, subject['kind'], ['ServiceAccount', 'User', 'Group']);
    const account = subject['kind'] === 'ServiceAccount';
    if (account && asText(subject['namespace']) === '' && object.kind === 'ClusterRoleBinding') {
      errors.required(`${at}.namespace`);
    }
    const group = asText(subject['apiGroup']);
    if (account ? group !== '' : group !== rbacGroup)
      errors.oneOf(`${at}.apiGroup`, group, [account ? '' : rbacGroup]);
  });
}
