import ipaddr from 'ipaddr.js';
import type { ApiObject, FieldError } from '../../api/index.ts';
import type { Network } from './network.ts';
import type { Strategy } from './strategy.ts';

function subnetsOf(object: ApiObject): [string, { readonly cidr?: string }][] {
  return Object.entries((object as unknown as Network).spec?.subnets ?? {});
}

function overlaps(left: string, right: string): boolean {
  if (!ipaddr.isValidCIDR(left) || !ipaddr.isValidCIDR(right)) return false;
  const [a, aBits] = ipaddr.parseCIDR(left);
  const [b, bBits] = ipaddr.parseCIDR(right);
  if (a.kind() !== b.kind()) return false;
  return a.match(b, Math.min(aBits, bBits));
}

/** Pods of the network reach Services by their addresses: both cannot be the same. */
function serviceOverlap(object: ApiObject, serviceCidr: string): FieldError[] {
  return subnetsOf(object)
    .filter(([_name, subnet]) => overlaps(subnet.cidr ?? '', serviceCidr))
    .map(([name, subnet]) => ({
      reason: 'FieldValueInvalid' as const,
      field: `spec.subnets[${name}].cidr`,
      message: `Invalid value: "${subnet.cidr ?? ''}": overlaps with the service address range ${serviceCidr}`,
    }));
}

function tenantChange(object: ApiObject, old: ApiObject | undefined): FieldError[] {
  const before = (old as unknown as Network | undefined)?.spec?.tenantID;
  const now = (object as unknown as Network).spec?.tenantID;
  if (old === undefined || before === now) return [];
  return [
    {
      reason: 'FieldValueInvalid',
      field: 'spec.tenantID',
      message: `Invalid value: "${now ?? ''}": field is immutable`,
    },
  ];
}

export function makeNetworkStrategy(serviceCidr: string): Strategy {
  return {
    prepareForCreate: (object) => {
      object['status'] = { phase: 'Initializing' };
    },
    validate: (object, old) => {
      const tenant = tenantChange(object, old);
      return [...tenant, ...serviceOverlap(object, serviceCidr)];
    },
    metadataThroughStatus: true,
    countsGenerations: true,
  };
}
