import type { ApiObject } from '../../api/index.ts';
import { tenantIdKey, type Authorizer } from '../authorization/authorizer.ts';
import type { RequestContext } from '../http/request-context.ts';
import type { Network } from '../registry/network.ts';
import type { ResourceStorage } from '../registry/resource-storage.ts';

/** The tenant a cluster-scoped object belongs to; kinds that are not listed belong to nobody and are shown to whom RBAC allows. */
const tenantReaders: Readonly<Record<string, (object: ApiObject) => string | undefined>> = {
  namespaces: (object) => object.metadata.annotations?.[tenantIdKey],
  networks: (object) => (object as unknown as Network).spec?.tenantID,
};

/** Callers of a tenant see of Namespaces and Networks their own only, in every verb. */
export function makeVisibility(
  authorizer: Authorizer,
): (context: RequestContext, storage: ResourceStorage) => ((object: ApiObject) => boolean) | undefined {
  return (context, storage) => {
    const { kind } = storage.registration;
    const tenantOfObject = kind.group === '' ? tenantReaders[kind.plural] : undefined;
    if (tenantOfObject === undefined) return undefined;
    const tenant = authorizer.tenantOfCaller(context.user);
    return tenant === undefined ? undefined : (object) => tenantOfObject(object) === tenant;
  };
}
