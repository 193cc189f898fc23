import { isIP } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import { asFields, asList, asStrings, asText, isFields, type Fields } from './fields.ts';
import type { FieldErrors } from './field-errors.ts';
import {
  configMapKeyErrors,
  dnsLabelErrors,
  dnsSubdomainErrors,
  environmentNameErrors,
  labelNameErrors,
  labelValueErrors,
  portNameErrors,
} from './names.ts';
import type { ApiObject } from './object.ts';
import { sourcesOf } from './pod-defaults.ts';
import { compareQuantities, tryParseQuantity } from './quantity.ts';
import { validateLabels, validateLabelSelector } from './validate-labels.ts';

/** Rules of PodSpec; `path` is `spec` or `spec.template.spec`. */
export function validatePodSpec(spec: Fields, path: string, errors: FieldErrors): void {
  const volumes = validateVolumes(asList(spec['volumes']), `${path}.volumes`, errors);
  validateAllContainers(spec, path, volumes, errors);
  errors.oneOf(`${path}.restartPolicy`, spec['restartPolicy'], ['Always', 'OnFailure', 'Never']);
  validateDns(spec, path, errors);
  validatePodNames(spec, path, errors);
  errors.atLeast(`${path}.terminationGracePeriodSeconds`, spec['terminationGracePeriodSeconds'], 0);
  errors.within(`${path}.activeDeadlineSeconds`, spec['activeDeadlineSeconds'], 1, 2_147_483_647);
  validatePodSecurity(spec, path, errors);
  asList(spec['tolerations']).forEach((each, index) =>
    validateToleration(each, `${path}.tolerations[${index}]`, errors),
  );
  validateAffinity(asFields(spec['affinity']), `${path}.affinity`, errors);
  asList(spec['topologySpreadConstraints']).forEach((each, index) =>
    validateSpread(each, `${path}.topologySpreadConstraints[${index}]`, errors),
  );
  asList(spec['hostAliases']).forEach((each, index) => {
    if (isIP(asText(each['ip'])) === 0) {
      errors.invalid(`${path}.hostAliases[${index}].ip`, each['ip'] ?? '', 'must be a valid IP address');
    }
  });
  asList(spec['readinessGates']).forEach((each, index) =>
    errors.invalidEach(
      `${path}.readinessGates[${index}].conditionType`,
      each['conditionType'],
      labelNameErrors(asText(each['conditionType'])),
    ),
  );
}

function validatePodNames(spec: Fields, path: string, errors: FieldErrors): void {
  const optional = (field: string, rule: (text: string) => string[]): void => {
    const text = asText(spec[field]);
    if (text !== '') errors.invalidEach(`${path}.${field}`, text, rule(text));
  };
  optional('nodeName', dnsSubdomainErrors);
  optional('serviceAccountName', dnsSubdomainErrors);
  optional('priorityClassName', dnsSubdomainErrors);
  optional('runtimeClassName', dnsSubdomainErrors);
  optional('hostname', dnsLabelErrors);
  optional('subdomain', dnsLabelErrors);
  validateLabels(spec['nodeSelector'], `${path}.nodeSelector`, errors);
}

function validateDns(spec: Fields, path: string, errors: FieldErrors): void {
  errors.oneOf(`${path}.dnsPolicy`, spec['dnsPolicy'], [
    'ClusterFirst',
    'ClusterFirstWithHostNet',
    'Default',
    'None',
  ]);
  const config = asFields(spec['dnsConfig']);
  const servers = asStrings(config['nameservers']);
  if (spec['dnsPolicy'] === 'None' && servers.length === 0) {
    errors.required(
      `${path}.dnsConfig.nameservers`,
      'must provide at least one DNS nameserver when `dnsPolicy` is None',
    );
  }
  if (servers.length > 3)
    errors.invalid(`${path}.dnsConfig.nameservers`, servers, 'must not have more than 3 nameservers');
  servers.forEach((server, index) => {
    if (isIP(server) === 0) {
      errors.invalid(`${path}.dnsConfig.nameservers[${index}]`, server, 'must be a valid IP address');
    }
  });
  asStrings(config['searches']).forEach((search, index) => {
    const name = search.replace(/\.$/, '');
    if (name !== '')
      errors.invalidEach(`${path}.dnsConfig.searches[${index}]`, search, dnsSubdomainErrors(name));
  });
}

function validatePodSecurity(spec: Fields, path: string, errors: FieldErrors): void {
  const context = asFields(spec['securityContext']);
  for (const field of ['runAsUser', 'runAsGroup', 'fsGroup']) {
    errors.within(`${path}.securityContext.${field}`, context[field], 0, 2_147_483_647);
  }
}

// Containers

function validateAllContainers(
  spec: Fields,
  path: string,
  volumes: ReadonlySet<string>,
  errors: FieldErrors,
): void {
  const names = new Set<string>();
  const containers = asList(spec['containers']);
  if (containers.length === 0) errors.required(`${path}.containers`);
  const check = (list: readonly Fields[], field: string): void =>
    list.forEach((container, index) => {
      const at = `${path}.${field}[${index}]`;
      const name = asText(container['name']);
      if (names.has(name) && name !== '') errors.duplicate(`${at}.name`, name);
      names.add(name);
      validateContainer(container, at, volumes, errors);
    });
  check(containers, 'containers');
  check(asList(spec['initContainers']), 'initContainers');
  check(asList(spec['ephemeralContainers']), 'ephemeralContainers');
  asList(spec['initContainers']).forEach((container, index) =>
    validateInitContainer(container, `${path}.initContainers[${index}]`, errors),
  );
  validateHostPorts(containers, path, errors);
}

function validateInitContainer(container: Fields, path: string, errors: FieldErrors): void {
  const restart = container['restartPolicy'];
  if (restart !== undefined && restart !== 'Always')
    errors.oneOf(`${path}.restartPolicy`, restart, ['Always']);
  if (restart === 'Always') return;
  for (const field of ['lifecycle', 'livenessProbe', 'readinessProbe', 'startupProbe']) {
    if (container[field] !== undefined) {
      errors.forbidden(`${path}.${field}`, 'may not be set for init containers without restartPolicy=Always');
    }
  }
}

function validateContainer(
  container: Fields,
  path: string,
  volumes: ReadonlySet<string>,
  errors: FieldErrors,
): void {
  const name = asText(container['name']);
  if (name === '') errors.required(`${path}.name`);
  else errors.invalidEach(`${path}.name`, name, dnsLabelErrors(name));
  const image = asText(container['image']);
  if (image === '') errors.required(`${path}.image`);
  else if (image !== image.trim()) {
    errors.invalid(`${path}.image`, image, 'must not have leading or trailing whitespace');
  }
  errors.oneOf(`${path}.imagePullPolicy`, container['imagePullPolicy'], ['Always', 'IfNotPresent', 'Never']);
  errors.oneOf(`${path}.terminationMessagePolicy`, container['terminationMessagePolicy'], [
    'File',
    'FallbackToLogsOnError',
  ]);
  validatePorts(asList(container['ports']), `${path}.ports`, errors);
  validateEnvironment(container, path, errors);
  validateMounts(asList(container['volumeMounts']), `${path}.volumeMounts`, volumes, errors);
  validateResources(asFields(container['resources']), `${path}.resources`, errors);
  validateProbes(container, path, errors);
  validateLifecycle(asFields(container['lifecycle']), `${path}.lifecycle`, errors);
  const context = asFields(container['securityContext']);
  for (const field of ['runAsUser', 'runAsGroup']) {
    errors.within(`${path}.securityContext.${field}`, context[field], 0, 2_147_483_647);
  }
  if (context['privileged'] === true && context['allowPrivilegeEscalation'] === false) {
    errors.invalid(
      `${path}.securityContext`,
      context,
      'cannot set `allowPrivilegeEscalation` to false and `privileged` to true',
    );
  }
}

const protocols = ['TCP', 'UDP', 'SCTP'];

function validatePorts(ports: readonly Fields[], path: string, errors: FieldErrors): void {
  const names = new Set<string>();
  ports.forEach((port, index) => {
    const at = `${path}[${index}]`;
    const name = asText(port['name']);
    if (name !== '') {
      errors.invalidEach(`${at}.name`, name, portNameErrors(name));
      if (names.has(name)) errors.duplicate(`${at}.name`, name);
      names.add(name);
    }
    if (port['containerPort'] === undefined || port['containerPort'] === 0)
      errors.required(`${at}.containerPort`);
    else validatePortNumber(`${at}.containerPort`, port['containerPort'], errors);
    if (port['hostPort'] !== undefined && port['hostPort'] !== 0) {
      validatePortNumber(`${at}.hostPort`, port['hostPort'], errors);
    }
    errors.oneOf(`${at}.protocol`, port['protocol'], protocols);
  });
}

/** A port from 1 to 65535. */
export function validatePortNumber(field: string, value: unknown, errors: FieldErrors): void {
  if (typeof value !== 'number' || value < 1 || value > 65_535) {
    errors.invalid(field, value ?? 0, 'must be between 1 and 65535, inclusive');
  }
}

/** A port number or the name of a port. */
export function validatePortOrName(field: string, value: unknown, errors: FieldErrors): void {
  if (typeof value === 'string') errors.invalidEach(field, value, portNameErrors(value));
  else validatePortNumber(field, value, errors);
}

function validateHostPorts(containers: readonly Fields[], path: string, errors: FieldErrors): void {
  const used = new Set<string>();
  containers.forEach((container, index) =>
    asList(container['ports']).forEach((port, portIndex) => {
      if (typeof port['hostPort'] !== 'number' || port['hostPort'] === 0) return;
      const key = `${asText(port['protocol'])}/${asText(port['hostIP'])}/${port['hostPort']}`;
      if (used.has(key)) errors.duplicate(`${path}.containers[${index}].ports[${portIndex}].hostPort`, key);
      used.add(key);
    }),
  );
}

const downwardFields =
  /^(metadata\.(name|namespace|uid)|metadata\.(labels|annotations)\['[^']+'\]|spec\.(nodeName|serviceAccountName)|status\.(hostIP|hostIPs|podIP|podIPs))$/;

function validateEnvironment(container: Fields, path: string, errors: FieldErrors): void {
  asList(container['env']).forEach((variable, index) => {
    const at = `${path}.env[${index}]`;
    const name = asText(variable['name']);
    if (name === '') errors.required(`${at}.name`);
    else errors.invalidEach(`${at}.name`, name, environmentNameErrors(name));
    if (isFields(variable['valueFrom'])) validateValueFrom(variable, variable['valueFrom'], at, errors);
  });
  asList(container['envFrom']).forEach((source, index) => {
    const at = `${path}.envFrom[${index}]`;
    const refs = ['configMapRef', 'secretRef'].filter((ref) => source[ref] !== undefined);
    if (refs.length === 0) errors.invalid(at, '', 'must specify one of: `configMapRef` or `secretRef`');
    if (refs.length > 1) errors.invalid(at, '', 'may not have more than one field specified at a time');
    for (const ref of refs) {
      if (asText(asFields(source[ref])['name']) === '') errors.required(`${at}.${ref}.name`);
    }
  });
}

function validateValueFrom(variable: Fields, from: Fields, path: string, errors: FieldErrors): void {
  const at = `${path}.valueFrom`;
  const sources = ['fieldRef', 'resourceFieldRef', 'configMapKeyRef', 'secretKeyRef', 'fileKeyRef'].filter(
    (source) => from[source] !== undefined,
  );
  if (asText(variable['value']) !== '')
    errors.invalid(at, '', 'may not be specified when `value` is not empty');
  if (sources.length === 0) {
    errors.invalid(
      at,
      '',
      'must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`',
    );
  }
  if (sources.length > 1) errors.invalid(at, '', 'may not have more than one field specified at a time');
  const fieldRef = from['fieldRef'];
  if (isFields(fieldRef)) {
    const field = asText(fieldRef['fieldPath']);
    if (field === '') errors.required(`${at}.fieldRef.fieldPath`);
    else if (!downwardFields.test(field)) {
      errors.invalid(`${at}.fieldRef.fieldPath`, field, 'is not a field that environment variables can show');
    }
  }
  if (isFields(from['resourceFieldRef']) && asText(from['resourceFieldRef']['resource']) === '') {
    errors.required(`${at}.resourceFieldRef.resource`);
  }
  for (const source of ['configMapKeyRef', 'secretKeyRef']) {
    const ref = from[source];
    if (!isFields(ref)) continue;
    if (asText(ref['name']) === '') errors.required(`${at}.${source}.name`);
    const key = asText(ref['key']);
    if (key === '') errors.required(`${at}.${source}.key`);
    else errors.invalidEach(`${at}.${source}.key`, key, configMapKeyErrors(key));
  }
}

function validateMounts(
  mounts: readonly Fields[],
  path: string,
  volumes: ReadonlySet<string>,
  errors: FieldErrors,
): void {
  const paths = new Set<string>();
  mounts.forEach((mount, index) => {
    const at = `${path}[${index}]`;
    const name = asText(mount['name']);
    const mountPath = asText(mount['mountPath']);
    if (name === '') errors.required(`${at}.name`);
    else if (!volumes.has(name)) errors.notFound(`${at}.name`, name);
    if (mountPath === '') errors.required(`${at}.mountPath`);
    if (paths.has(mountPath)) errors.invalid(`${at}.mountPath`, mountPath, 'must be unique');
    paths.add(mountPath);
    if (asText(mount['subPath']) !== '' && asText(mount['subPathExpr']) !== '') {
      errors.invalid(
        `${at}.subPathExpr`,
        mount['subPathExpr'],
        'subPathExpr and subPath are mutually exclusive',
      );
    }
    for (const field of ['subPath', 'subPathExpr']) validateLocalPath(`${at}.${field}`, mount[field], errors);
  });
}

/** A relative path that stays below its start; absent is right. */
function validateLocalPath(field: string, value: unknown, errors: FieldErrors): void {
  const text = asText(value);
  if (text.startsWith('/')) errors.invalid(field, text, 'must be a relative path');
  if (text.split('/').includes('..')) errors.invalid(field, text, "must not contain '..'");
}

/** Quantities of limits and requests: not negative, requests within limits, whole for memory. */
export function validateResources(resources: Fields, path: string, errors: FieldErrors): void {
  const limits = asFields(resources['limits']);
  const requests = asFields(resources['requests']);
  for (const [field, amounts] of [
    ['limits', limits],
    ['requests', requests],
  ] as const) {
    for (const [resource, amount] of Object.entries(amounts)) {
      const at = `${path}.${field}[${resource}]`;
      errors.invalidEach(at, resource, labelNameErrors(resource));
      validateAmount(at, amount, errors);
    }
  }
  for (const [resource, request] of Object.entries(requests)) {
    const limit = tryParseQuantity(asText(limits[resource]));
    const amount = tryParseQuantity(asText(request));
    if (limit === undefined || amount === undefined || compareQuantities(amount, limit) <= 0) continue;
    errors.invalid(
      `${path}.requests`,
      request,
      `must be less than or equal to ${resource} limit of ${asText(limits[resource])}`,
    );
  }
}

/** A quantity that is not negative. */
export function validateAmount(field: string, value: unknown, errors: FieldErrors): void {
  const quantity = tryParseQuantity(asText(value));
  if (quantity === undefined) errors.invalid(field, value, 'must be a quantity');
  else if (quantity.nano < 0n) errors.invalid(field, value, 'must be greater than or equal to 0');
}

// Probes and hooks

const actions = ['exec', 'httpGet', 'tcpSocket', 'grpc'];

function validateProbes(container: Fields, path: string, errors: FieldErrors): void {
  for (const field of ['livenessProbe', 'readinessProbe', 'startupProbe']) {
    const probe = container[field];
    if (!isFields(probe)) continue;
    const at = `${path}.${field}`;
    validateAction(probe, actions, at, errors);
    for (const number of [
      'initialDelaySeconds',
      'timeoutSeconds',
      'periodSeconds',
      'successThreshold',
      'failureThreshold',
    ]) {
      errors.atLeast(`${at}.${number}`, probe[number], 0);
    }
    errors.atLeast(`${at}.terminationGracePeriodSeconds`, probe['terminationGracePeriodSeconds'], 1);
    if (field !== 'readinessProbe' && probe['successThreshold'] !== 1) {
      errors.invalid(`${at}.successThreshold`, probe['successThreshold'], 'must be 1');
    }
  }
}

function validateLifecycle(lifecycle: Fields, path: string, errors: FieldErrors): void {
  for (const hook of ['postStart', 'preStop']) {
    const action = lifecycle[hook];
    if (isFields(action))
      validateAction(action, ['exec', 'httpGet', 'tcpSocket', 'sleep'], `${path}.${hook}`, errors);
  }
}

function validateAction(action: Fields, allowed: readonly string[], path: string, errors: FieldErrors): void {
  const given = allowed.filter((each) => action[each] !== undefined);
  if (given.length === 0) errors.required(path, 'must specify a handler type');
  for (const extra of given.slice(1))
    errors.forbidden(`${path}.${extra}`, 'may not specify more than 1 handler type');
  const { exec, httpGet, tcpSocket, grpc } = action;
  if (isFields(exec) && asStrings(exec['command']).length === 0) errors.required(`${path}.exec.command`);
  if (isFields(httpGet)) {
    validatePortOrName(`${path}.httpGet.port`, httpGet['port'], errors);
    errors.oneOf(`${path}.httpGet.scheme`, httpGet['scheme'], ['HTTP', 'HTTPS']);
  }
  if (isFields(tcpSocket)) validatePortOrName(`${path}.tcpSocket.port`, tcpSocket['port'], errors);
  if (isFields(grpc)) validatePortNumber(`${path}.grpc.port`, grpc['port'], errors);
}

// Volumes

/** Answers the names of the volumes. */
function validateVolumes(volumes: readonly Fields[], path: string, errors: FieldErrors): ReadonlySet<string> {
  const names = new Set<string>();
  volumes.forEach((volume, index) => {
    const at = `${path}[${index}]`;
    const name = asText(volume['name']);
    if (name === '') errors.required(`${at}.name`);
    else errors.invalidEach(`${at}.name`, name, dnsLabelErrors(name));
    if (names.has(name)) errors.duplicate(`${at}.name`, name);
    names.add(name);
    const sources = sourcesOf(volume);
    if (sources.length === 0) errors.required(at, 'must specify a volume type');
    for (const extra of sources.slice(1)) {
      errors.forbidden(`${at}.${extra}`, 'may not specify more than 1 volume type');
    }
    const [source] = sources;
    if (source !== undefined)
      validateVolumeSource(asFields(volume[source]), source, `${at}.${source}`, errors);
  });
  return names;
}

/** What each source cannot do without. */
const requiredOfSources: Readonly<Record<string, readonly string[]>> = {
  cinder: ['volumeID'],
  configMap: ['name'],
  csi: ['driver'],
  hostPath: ['path'],
  nfs: ['server', 'path'],
  persistentVolumeClaim: ['claimName'],
  rbd: ['monitors', 'image'],
  secret: ['secretName'],
};

function validateVolumeSource(source: Fields, type: string, path: string, errors: FieldErrors): void {
  for (const field of requiredOfSources[type] ?? []) {
    if (asText(source[field]) === '' && !Array.isArray(source[field])) errors.required(`${path}.${field}`);
  }
  if (type === 'emptyDir' && source['sizeLimit'] !== undefined) {
    validateAmount(`${path}.sizeLimit`, source['sizeLimit'], errors);
  }
  if (
    type === 'emptyDir' &&
    asText(source['medium']) !== '' &&
    !asText(source['medium']).startsWith('HugePages')
  ) {
    errors.oneOf(`${path}.medium`, source['medium'], ['', 'Memory']);
  }
  errors.within(`${path}.defaultMode`, source['defaultMode'], 0, 0o777);
  validateItems(asList(source['items']), `${path}.items`, type === 'downwardAPI', errors);
  if (type === 'projected') {
    asList(source['sources']).forEach((each, index) => {
      for (const part of ['configMap', 'secret', 'downwardAPI']) {
        const items = asList(asFields(each[part])['items']);
        validateItems(items, `${path}.sources[${index}].${part}.items`, part === 'downwardAPI', errors);
        if (part !== 'downwardAPI' && isFields(each[part]) && asText(each[part]['name']) === '') {
          errors.required(`${path}.sources[${index}].${part}.name`);
        }
      }
    });
  }
}

function validateItems(items: readonly Fields[], path: string, downward: boolean, errors: FieldErrors): void {
  items.forEach((item, index) => {
    const at = `${path}[${index}]`;
    if (asText(item['path']) === '') errors.required(`${at}.path`);
    else validateLocalPath(`${at}.path`, item['path'], errors);
    if (!downward && asText(item['key']) === '') errors.required(`${at}.key`);
    errors.within(`${at}.mode`, item['mode'], 0, 0o777);
  });
}

// Scheduling

const effects = ['NoSchedule', 'PreferNoSchedule', 'NoExecute'];

function validateToleration(toleration: Fields, path: string, errors: FieldErrors): void {
  const key = asText(toleration['key']);
  const operator = asText(toleration['operator']);
  if (key !== '') errors.invalidEach(`${path}.key`, key, labelNameErrors(key));
  else if (operator !== 'Exists') {
    errors.invalid(
      `${path}.operator`,
      operator,
      "operator must be Exists when `key` is empty, which means 'match all values and all keys'",
    );
  }
  if (operator !== '') errors.oneOf(`${path}.operator`, operator, ['Equal', 'Exists']);
  if (operator === 'Exists' && asText(toleration['value']) !== '') {
    errors.invalid(`${path}.operator`, toleration, "value must be empty when `operator` is 'Exists'");
  }
  if (asText(toleration['effect']) !== '') errors.oneOf(`${path}.effect`, toleration['effect'], effects);
  if (toleration['tolerationSeconds'] !== undefined && toleration['effect'] !== 'NoExecute') {
    errors.invalid(
      `${path}.effect`,
      toleration['effect'] ?? '',
      "effect must be 'NoExecute' when `tolerationSeconds` is set",
    );
  }
}

/** Taints of a node. */
export function validateTaints(taints: readonly Fields[], path: string, errors: FieldErrors): void {
  const seen = new Set<string>();
  taints.forEach((taint, index) => {
    const at = `${path}[${index}]`;
    const key = asText(taint['key']);
    errors.invalidEach(`${at}.key`, key, labelNameErrors(key));
    errors.invalidEach(`${at}.value`, taint['value'], labelValueErrors(asText(taint['value'])));
    errors.oneOf(`${at}.effect`, taint['effect'], effects);
    const identity = `${key}:${asText(taint['effect'])}`;
    if (seen.has(identity)) errors.duplicate(at, identity);
    seen.add(identity);
  });
}

function validateAffinity(affinity: Fields, path: string, errors: FieldErrors): void {
  const node = asFields(affinity['nodeAffinity']);
  const required = node['requiredDuringSchedulingIgnoredDuringExecution'];
  const at = `${path}.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution`;
  if (isFields(required)) {
    const terms = asList(required['nodeSelectorTerms']);
    if (terms.length === 0)
      errors.required(`${at}.nodeSelectorTerms`, 'must have at least one node selector term');
    terms.forEach((term, index) => validateNodeTerm(term, `${at}.nodeSelectorTerms[${index}]`, errors));
  }
  const preferred = `${path}.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution`;
  asList(node['preferredDuringSchedulingIgnoredDuringExecution']).forEach((each, index) => {
    validateWeight(each, `${preferred}[${index}]`, errors);
    validateNodeTerm(asFields(each['preference']), `${preferred}[${index}].preference`, errors);
  });
  for (const kind of ['podAffinity', 'podAntiAffinity']) {
    validatePodAffinity(asFields(affinity[kind]), `${path}.${kind}`, errors);
  }
}

function validateWeight(term: Fields, path: string, errors: FieldErrors): void {
  const weight = term['weight'];
  if (typeof weight !== 'number' || weight < 1 || weight > 100) {
    errors.invalid(`${path}.weight`, weight ?? 0, 'must be in the range 1-100');
  }
}

const nodeOperators = ['In', 'NotIn', 'Exists', 'DoesNotExist', 'Gt', 'Lt'];

function validateNodeTerm(term: Fields, path: string, errors: FieldErrors): void {
  for (const field of ['matchExpressions', 'matchFields']) {
    asList(term[field]).forEach((requirement, index) => {
      const at = `${path}.${field}[${index}]`;
      const operator = asText(requirement['operator']);
      const values = asStrings(requirement['values']);
      errors.oneOf(`${at}.operator`, operator, nodeOperators);
      if ((operator === 'In' || operator === 'NotIn') && values.length === 0) {
        errors.required(`${at}.values`, "must be specified when `operator` is 'In' or 'NotIn'");
      }
      if ((operator === 'Exists' || operator === 'DoesNotExist') && values.length > 0) {
        errors.forbidden(
          `${at}.values`,
          "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
        );
      }
      if ((operator === 'Gt' || operator === 'Lt') && values.length !== 1) {
        errors.required(`${at}.values`, "must be specified single value when `operator` is 'Lt' or 'Gt'");
      }
      errors.invalidEach(`${at}.key`, requirement['key'], labelNameErrors(asText(requirement['key'])));
    });
  }
}

function validatePodAffinity(affinity: Fields, path: string, errors: FieldErrors): void {
  const check = (term: Fields, at: string): void => {
    if (asText(term['topologyKey']) === '') errors.required(`${at}.topologyKey`, 'can not be empty');
    validateLabelSelector(term['labelSelector'], `${at}.labelSelector`, errors);
  };
  const required = 'requiredDuringSchedulingIgnoredDuringExecution';
  asList(affinity[required]).forEach((term, index) => check(term, `${path}.${required}[${index}]`));
  const preferred = 'preferredDuringSchedulingIgnoredDuringExecution';
  asList(affinity[preferred]).forEach((term, index) => {
    const at = `${path}.${preferred}[${index}]`;
    validateWeight(term, at, errors);
    check(asFields(term['podAffinityTerm']), `${at}.podAffinityTerm`);
  });
}

function validateSpread(constraint: Fields, path: string, errors: FieldErrors): void {
  if (typeof constraint['maxSkew'] !== 'number' || constraint['maxSkew'] < 1) {
    errors.invalid(`${path}.maxSkew`, constraint['maxSkew'] ?? 0, 'must be greater than zero');
  }
  if (asText(constraint['topologyKey']) === '') errors.required(`${path}.topologyKey`, 'can not be empty');
  errors.oneOf(`${path}.whenUnsatisfiable`, constraint['whenUnsatisfiable'], [
    'DoNotSchedule',
    'ScheduleAnyway',
  ]);
  validateLabelSelector(constraint['labelSelector'], `${path}.labelSelector`, errors);
}

// Updates

const changeable =
  'pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,' +
  '`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations)';

/** Rules of kind Pod for an update of the pod itself. */
export function validatePodUpdate(pod: ApiObject, old: ApiObject, errors: FieldErrors): void {
  const spec = asFields(pod['spec']);
  const before = asFields(old['spec']);
  const deadline = spec['activeDeadlineSeconds'];
  const oldDeadline = before['activeDeadlineSeconds'];
  if (typeof oldDeadline === 'number' && (typeof deadline !== 'number' || deadline > oldDeadline)) {
    errors.invalid(
      'spec.activeDeadlineSeconds',
      deadline ?? null,
      'must be less than or equal to previous value',
    );
  }
  const tolerations = asList(spec['tolerations']);
  const removed = asList(before['tolerations']).some(
    (toleration) => !tolerations.some((each) => sameToleration(each, toleration)),
  );
  if (removed)
    errors.forbidden(
      'spec.tolerations',
      'existing toleration can not be modified except its tolerationSeconds',
    );
  if (!isDeepStrictEqual(comparable(spec), comparable(before))) errors.forbidden('spec', changeable);
}

function sameToleration(a: Fields, b: Fields): boolean {
  return isDeepStrictEqual({ ...a, tolerationSeconds: undefined }, { ...b, tolerationSeconds: undefined });
}

/** The spec without what may change. */
function comparable(spec: Fields): Fields {
  const { activeDeadlineSeconds: _deadline, tolerations: _tolerations, ...rest } = spec;
  const withoutImages = (list: unknown): unknown =>
    list === undefined ? undefined : asList(list).map(({ image: _image, ...container }) => container);
  return {
    ...rest,
    containers: withoutImages(spec['containers']),
    initContainers: withoutImages(spec['initContainers']),
  };
}
