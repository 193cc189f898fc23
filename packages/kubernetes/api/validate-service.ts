import { BlockList, isIP } from 'node:net';
import { asFields, asList, asStrings, asText, type Fields } from './fields.ts';
import type { FieldErrors } from './field-errors.ts';
import { dnsLabelErrors, dnsSubdomainErrors } from './names.ts';
import type { ApiObject } from './object.ts';
import { validateLabels } from './validate-labels.ts';
import { validatePortNumber, validatePortOrName } from './validate-pod.ts';

const types = ['ClusterIP', 'ExternalName', 'LoadBalancer', 'NodePort'];
const protocols = ['SCTP', 'TCP', 'UDP'];
/** Longest session affinity: one day. */
const affinitySecondsMax = 86_400;

/** Rules of kind Service. */
export function validateService(service: ApiObject, old: ApiObject | undefined, errors: FieldErrors): void {
  const spec = asFields(service['spec']);
  const type = asText(spec['type']);
  errors.oneOf('spec.type', type, types);
  validatePorts(spec, type, errors);
  validateLabels(spec['selector'], 'spec.selector', errors);
  validateAffinity(spec, errors);
  validateClusterIp(spec, type, errors);
  validateTypeFields(spec, type, errors);
  asStrings(spec['externalIPs']).forEach((address, index) =>
    validateExternalAddress(`spec.externalIPs[${index}]`, address, errors),
  );
  if (old !== undefined) validateUpdate(spec, asFields(old['spec']), errors);
}

function validatePorts(spec: Fields, type: string, errors: FieldErrors): void {
  const ports = asList(spec['ports']);
  const headless = spec['clusterIP'] === 'None';
  if (ports.length === 0 && !headless && type !== 'ExternalName') errors.required('spec.ports');
  const names = new Set<string>();
  const numbers = new Set<string>();
  const nodePorts = new Set<string>();
  ports.forEach((port, index) => {
    const at = `spec.ports[${index}]`;
    const name = asText(port['name']);
    if (name === '' && ports.length > 1) errors.required(`${at}.name`);
    else if (name !== '') errors.invalidEach(`${at}.name`, name, dnsLabelErrors(name));
    if (name !== '' && names.has(name)) errors.duplicate(`${at}.name`, name);
    names.add(name);
    validatePortNumber(`${at}.port`, port['port'], errors);
    errors.oneOf(`${at}.protocol`, port['protocol'], protocols);
    if (port['targetPort'] !== undefined) validatePortOrName(`${at}.targetPort`, port['targetPort'], errors);
    const key = `${asText(port['protocol'])}/${String(port['port'])}`;
    if (numbers.has(key)) errors.duplicate(at, { port: port['port'], protocol: port['protocol'] });
    numbers.add(key);
    validateNodePort(port, type, at, nodePorts, errors);
  });
}

function validateNodePort(
  port: Fields,
  type: string,
  path: string,
  used: Set<string>,
  errors: FieldErrors,
): void {
  const nodePort = port['nodePort'];
  if (typeof nodePort !== 'number' || nodePort === 0) return;
  if (type !== 'NodePort' && type !== 'LoadBalancer') {
    errors.forbidden(`${path}.nodePort`, `may not be used when \`type\` is '${type}'`);
    return;
  }
  validatePortNumber(`${path}.nodePort`, nodePort, errors);
  const key = `${asText(port['protocol'])}/${nodePort}`;
  if (used.has(key)) errors.duplicate(`${path}.nodePort`, nodePort);
  used.add(key);
}

function validateAffinity(spec: Fields, errors: FieldErrors): void {
  errors.oneOf('spec.sessionAffinity', spec['sessionAffinity'], ['ClientIP', 'None']);
  const config = asFields(spec['sessionAffinityConfig']);
  if (spec['sessionAffinity'] === 'None' && Object.keys(config).length > 0) {
    errors.forbidden('spec.sessionAffinityConfig', 'must not be set when session affinity is None');
  }
  const seconds = asFields(config['clientIP'])['timeoutSeconds'];
  const field = 'spec.sessionAffinityConfig.clientIP.timeoutSeconds';
  if (typeof seconds === 'number' && (seconds <= 0 || seconds > affinitySecondsMax)) {
    errors.invalid(field, seconds, `must be greater than 0 and less than ${affinitySecondsMax}`);
  }
}

function validateClusterIp(spec: Fields, type: string, errors: FieldErrors): void {
  const address = asText(spec['clusterIP']);
  if (type === 'ExternalName') {
    if (address !== '') errors.forbidden('spec.clusterIP', 'may not be set for ExternalName services');
  } else if (address === 'None') {
    if (type !== 'ClusterIP') {
      errors.invalid('spec.clusterIPs[0]', 'None', `may not be set to 'None' for ${type} services`);
    }
  } else if (address !== '' && isIP(address) === 0) {
    errors.invalid('spec.clusterIPs[0]', address, "must be empty, 'None', or a valid IP address");
  } else if (isIP(address) === 6) {
    errors.invalid('spec.clusterIPs[0]', address, 'IPv6 is not configured on this cluster');
  }
  const addresses = asStrings(spec['clusterIPs']);
  if (addresses.length > 0 && addresses[0] !== address) {
    errors.invalid('spec.clusterIPs', addresses, 'first value must match `clusterIP`');
  }
  if (addresses.length > 1) errors.tooMany('spec.clusterIPs', addresses.length, 1);
  asStrings(spec['ipFamilies']).forEach((family, index) => {
    if (family !== 'IPv4')
      errors.invalid(`spec.ipFamilies[${index}]`, family, 'not configured on this cluster');
  });
  if (spec['ipFamilyPolicy'] === 'RequireDualStack') {
    errors.invalid(
      'spec.ipFamilyPolicy',
      spec['ipFamilyPolicy'],
      'this cluster is not configured for dual-stack services',
    );
  }
}

function validateTypeFields(spec: Fields, type: string, errors: FieldErrors): void {
  if (type === 'ExternalName') {
    const name = asText(spec['externalName']).replace(/\.$/, '');
    if (name === '') errors.required('spec.externalName');
    else errors.invalidEach('spec.externalName', name, dnsSubdomainErrors(name));
    return;
  }
  errors.oneOf('spec.internalTrafficPolicy', spec['internalTrafficPolicy'], ['Cluster', 'Local']);
  if (spec['externalTrafficPolicy'] !== undefined) {
    errors.oneOf('spec.externalTrafficPolicy', spec['externalTrafficPolicy'], ['Cluster', 'Local']);
  }
  const balancer = type === 'LoadBalancer';
  if (!balancer && asText(spec['loadBalancerClass']) !== '') {
    errors.forbidden('spec.loadBalancerClass', "may only be used when `type` is 'LoadBalancer'");
  }
  const ranges = asStrings(spec['loadBalancerSourceRanges']);
  if (!balancer && ranges.length > 0) {
    errors.forbidden('spec.loadBalancerSourceRanges', "may only be used when `type` is 'LoadBalancer'");
  }
  ranges.forEach((range, index) => {
    if (!isCidr(range)) {
      errors.invalid(
        `spec.loadBalancerSourceRanges[${index}]`,
        range,
        'must be a valid CIDR value, (e.g. 10.9.8.0/24)',
      );
    }
  });
  const balancerIp = asText(spec['loadBalancerIP']);
  if (balancerIp !== '' && isIP(balancerIp) === 0) {
    errors.invalid('spec.loadBalancerIP', balancerIp, 'must be a valid IP address');
  }
}

/** An address with a prefix length that fits its family. */
export function isCidr(text: string): boolean {
  const [address = '', prefix = '', ...rest] = text.split('/');
  const family = isIP(address);
  if (family === 0 || rest.length > 0 || !/^\d{1,3}$/.test(prefix)) return false;
  return Number(prefix) <= (family === 4 ? 32 : 128);
}

const unusable: readonly (readonly [network: string, prefix: number, why: string])[] = [
  ['0.0.0.0', 32, 'may not be unspecified (0.0.0.0 or ::)'],
  ['127.0.0.0', 8, 'may not be in the loopback range (127.0.0.0/8, ::1/128)'],
  ['169.254.0.0', 16, 'may not be in the link-local range (169.254.0.0/16, fe80::/10)'],
  ['224.0.0.0', 4, 'may not be in the multicast range (224.0.0.0/4, ff00::/8)'],
];

function validateExternalAddress(field: string, address: string, errors: FieldErrors): void {
  if (isIP(address) !== 4) {
    errors.invalid(field, address, 'must be a valid IPv4 address');
    return;
  }
  for (const [network, prefix, why] of unusable) {
    const range = new BlockList();
    range.addSubnet(network, prefix);
    if (range.check(address)) errors.invalid(field, address, why);
  }
}

/** The first cluster IP stays as long as the Service has one. */
function validateUpdate(spec: Fields, before: Fields, errors: FieldErrors): void {
  const address = asText(spec['clusterIP']);
  const oldAddress = asText(before['clusterIP']);
  if (oldAddress === '' || spec['type'] === 'ExternalName' || before['type'] === 'ExternalName') return;
  if (address === '') errors.invalid('spec.clusterIPs[0]', address, 'primary clusterIP can not be unset');
  else if (address !== oldAddress) errors.invalid('spec.clusterIPs[0]', address, 'field is immutable');
}
