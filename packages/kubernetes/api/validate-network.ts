import { isIPv4 } from 'node:net';
import { isDeepStrictEqual } from 'node:util';
import { asFields, asText, type Fields } from './fields.ts';
import type { FieldErrors } from './field-errors.ts';
import { dnsLabelErrors } from './names.ts';
import type { ApiObject } from './object.ts';

/** Subnets of one network. */
const subnetsMax = 64;

interface Range {
  readonly first: number;
  readonly last: number;
}

interface Cidr extends Range {
  readonly prefix: number;
  /** The address as typed, which may have host bits. */
  readonly address: number;
}

const cidrRule = 'must be a CIDR, e.g. "192.168.0.0/24"';
const addressRule = 'must be an IP address, e.g. "192.168.0.1"';

/** Rules of kind Network. */
export function validateNetwork(network: ApiObject, old: ApiObject | undefined, errors: FieldErrors): void {
  const spec = asFields(network['spec']);
  const before = old === undefined ? undefined : asFields(old['spec']);
  const tenant = asText(spec['tenantID']);
  const provider = asText(spec['providerNetworkID']);
  const subnets = Object.entries(asFields(spec['subnets']));
  if (tenant.trim() === '') errors.required('spec.tenantID', 'the id of the tenant the network belongs to');
  else if (tenant.length > 255) errors.tooLong('spec.tenantID', 255);
  if (provider !== '' && subnets.length > 0) {
    errors.forbidden('spec.subnets', 'may not be specified when `providerNetworkID` is set');
  } else if (provider === '' && subnets.length === 0) {
    errors.required('spec.subnets', 'at least one subnet is needed, unless `providerNetworkID` is set');
  }
  if (subnets.length > subnetsMax) errors.tooMany('spec.subnets', subnets.length, subnetsMax);
  else validateSubnets(subnets, errors);
  if (before !== undefined) validateUpdate(spec, before, errors);
}

function validateUpdate(spec: Fields, before: Fields, errors: FieldErrors): void {
  for (const field of ['tenantID', 'providerNetworkID']) {
    if (asText(spec[field]) !== asText(before[field])) {
      errors.invalid(`spec.${field}`, asText(spec[field]), 'field is immutable');
    }
  }
  const subnets = asFields(spec['subnets']);
  for (const [name, subnet] of Object.entries(asFields(before['subnets']))) {
    if (subnets[name] !== undefined && !isDeepStrictEqual(subnets[name], subnet)) {
      errors.forbidden(
        `spec.subnets[${name}]`,
        'a subnet cannot be changed: remove it, or add another one under a new name',
      );
    }
  }
}

function validateSubnets(subnets: readonly (readonly [string, unknown])[], errors: FieldErrors): void {
  const known: { readonly name: string; readonly cidr: Cidr }[] = [];
  for (const [name, value] of subnets) {
    const field = `spec.subnets[${name}]`;
    errors.invalidEach(field, name, dnsLabelErrors(name));
    const subnet = asFields(value);
    const cidr = validateCidr(`${field}.cidr`, subnet['cidr'], errors);
    validateGateway(`${field}.gateway`, asText(subnet['gateway']), cidr, errors);
    if (cidr === undefined) continue;
    for (const other of known) {
      if (cidr.first <= other.cidr.last && other.cidr.first <= cidr.last) {
        errors.invalid(`${field}.cidr`, subnet['cidr'], `overlaps with subnet ${JSON.stringify(other.name)}`);
      }
    }
    known.push({ name, cidr });
  }
}

function validateCidr(field: string, value: unknown, errors: FieldErrors): Cidr | undefined {
  const text = asText(value);
  if (text === '') {
    errors.required(field, cidrRule);
    return undefined;
  }
  const cidr = parseCidr(text);
  if (cidr === undefined) {
    errors.invalid(field, text, cidrRule);
    return undefined;
  }
  if (cidr.address !== cidr.first) {
    errors.invalid(
      field,
      text,
      `has host bits set: the network is ${formatAddress(cidr.first)}/${cidr.prefix}`,
    );
    return undefined;
  }
  if (cidr.prefix < 8 || cidr.prefix > 29) {
    errors.invalid(
      field,
      text,
      'the prefix must be from /8 to /29: there must be room for a gateway and pods',
    );
    return undefined;
  }
  const reserved = reservedRanges.find((range) => cidr.first <= range.last && range.first <= cidr.last);
  if (reserved !== undefined) {
    errors.invalid(field, text, `is within ${reserved.name}, which cannot be used for pods`);
    return undefined;
  }
  return cidr;
}

function validateGateway(field: string, text: string, cidr: Cidr | undefined, errors: FieldErrors): void {
  if (text === '') {
    errors.required(field, addressRule);
    return;
  }
  const address = parseAddress(text);
  if (address === undefined) {
    errors.invalid(field, text, addressRule);
    return;
  }
  if (cidr === undefined) return;
  const subnet = `${formatAddress(cidr.first)}/${cidr.prefix}`;
  if (address < cidr.first || address > cidr.last) {
    errors.invalid(field, text, `is not in the range of ${subnet}`);
  } else if (address === cidr.first) {
    errors.invalid(field, text, `is the network address of ${subnet}`);
  } else if (address === cidr.last) {
    errors.invalid(field, text, `is the broadcast address of ${subnet}`);
  }
}

/** IPv4 only, without leading zeros; undefined when it is none. */
function parseAddress(text: string): number | undefined {
  if (!isIPv4(text)) return undefined;
  return text.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
}

function parseCidr(text: string): Cidr | undefined {
  const match = /^([0-9.]+)\/(\d{1,2})$/.exec(text);
  const address = parseAddress(match?.[1] ?? '');
  const prefix = Number(match?.[2]);
  if (address === undefined || prefix > 32 || (match?.[2] ?? '') !== String(prefix)) return undefined;
  const size = 2 ** (32 - prefix);
  const first = Math.floor(address / size) * size;
  return { address, prefix, first, last: first + size - 1 };
}

function formatAddress(address: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join('.');
}

const reservedRanges: readonly (Range & { readonly name: string })[] = [
  ['0.0.0.0/8', 'this network'],
  ['127.0.0.0/8', 'loopback'],
  ['169.254.0.0/16', 'link-local'],
  ['224.0.0.0/3', 'multicast and reserved'],
].map(([text = '', name = '']) => {
  const { first = 0, last = 0 } = parseCidr(text) ?? {};
  return { first, last, name: `${text} (${name})` };
});
