import type { Service } from 'kubernetes-types/core/v1';
import type { ApiObject } from '../../api/index.ts';
import { tenantIdKey } from '../authorization/authorizer.ts';
import type { AdmissionPlugin } from './admission.ts';
import type { FindObject } from './namespace-lifecycle.ts';
import { isMain, refuse } from './refusals.ts';
import { networkNameOf } from './tenant-guard.ts';

function addressesOf(service: ApiObject | undefined): readonly string[] {
  return (service as unknown as Service | undefined)?.spec?.externalIPs ?? [];
}

/**
 * On the default network the node itself takes over external addresses, for everybody on this host: no tenant may name any there. On a
 * tenant's own Network they become a load balancer, whose provider checks them.
 */
export function externalAddresses(find: FindObject): AdmissionPlugin {
  return {
    name: 'ExternalAddresses',
    validate: async (request) => {
      if (!isMain(request, 'services')) return;
      const before = new Set(addressesOf(request.old));
      const added = addressesOf(request.object).filter((address) => !before.has(address));
      if (added.length === 0) return;
      const namespace = await find('namespaces', { namespace: '', name: request.namespace });
      const tenant = namespace?.metadata.annotations?.[tenantIdKey] ?? '';
      if (tenant === '' || networkNameOf(namespace) !== undefined) return;
      throw refuse(
        request,
        `spec.externalIPs (${added.join(', ')}) need a Network: namespace "${request.namespace}" belongs to tenant ${tenant} and is on the default network; put it on a Network of the tenant`,
      );
    },
  };
}
