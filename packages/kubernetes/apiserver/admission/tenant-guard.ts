import type { ApiObject } from '../../api/index.ts';
import { tenantIdKey, type Authorizer } from '../authorization/authorizer.ts';
import { notFound } from '../http/status-error.ts';
import type { Network } from '../registry/network.ts';
import type { AdmissionPlugin, AdmissionRequest } from './admission.ts';
import type { FindObject } from './namespace-lifecycle.ts';
import { isMain, refuse, refuseField } from './refusals.ts';

export interface TenantGuardOptions {
  readonly find: FindObject;
  readonly listPods: (namespace: string) => Promise<readonly ApiObject[]>;
  readonly authorizer: Pick<Authorizer, 'tenantOfCaller'>;
}

/** The Network a Namespace is on; undefined: the default one. */
export function networkNameOf(namespace: ApiObject | undefined): string | undefined {
  const spec = namespace?.['spec'] as { network?: string } | undefined;
  return spec?.network === undefined || spec.network === '' ? undefined : spec.network;
}

function tenantOfNetwork(network: ApiObject): string | undefined {
  return (network as unknown as Network).spec?.tenantID;
}

function tenantOfNamespace(namespace: ApiObject | undefined): string | undefined {
  const { annotations, labels } = namespace?.metadata ?? {};
  const tenant = annotations?.[tenantIdKey] ?? labels?.[tenantIdKey];
  return tenant === '' ? undefined : tenant;
}

const ownedKinds: Readonly<Record<string, (object: ApiObject) => string | undefined>> = {
  namespaces: tenantOfNamespace,
  networks: tenantOfNetwork,
};

// The tenant stands as annotation (what is read) and as label (what is selected by); both always say the same.
function setTenant(namespace: ApiObject, tenant: string | undefined): void {
  for (const field of ['annotations', 'labels'] as const) {
    const { [tenantIdKey]: _old, ...others } = namespace.metadata[field] ?? {};
    const values = tenant === undefined ? others : { ...others, [tenantIdKey]: tenant };
    if (Object.keys(values).length === 0) Reflect.deleteProperty(namespace.metadata, field);
    else namespace.metadata[field] = values;
  }
}

/**
 * The tenant comes from who the caller is, never from what was typed: Networks and Namespaces of a tenant's caller are the
 * tenant's, and a Namespace goes on a Network of its own tenant only.
 */
export function tenantGuard(options: TenantGuardOptions): AdmissionPlugin {
  const guard = new TenantGuard(options);
  return {
    name: 'TenantGuard',
    mutate: async (request) => {
      if (request.object === undefined) return;
      if (isMain(request, 'networks')) guard.network(request, request.object);
      if (request.kind.group === '' && request.kind.plural === 'namespaces') {
        await guard.namespace(request, request.object);
      }
    },
    validate: (request) => guard.requireOwn(request),
  };
}

class TenantGuard {
  readonly #options: TenantGuardOptions;

  constructor(options: TenantGuardOptions) {
    this.#options = options;
  }

  network(request: AdmissionRequest, network: ApiObject): void {
    const caller = this.#options.authorizer.tenantOfCaller(request.user);
    if (caller === undefined) return;
    const said = tenantOfNetwork(network) ?? '';
    if (said === '') network['spec'] = { ...(network['spec'] as object | undefined), tenantID: caller };
    else if (said !== caller) {
      throw refuse(
        request,
        `spec.tenantID is ${said}, but you act for tenant ${caller}: a Network belongs to the tenant of its creator`,
      );
    }
  }

  // What the caller could see a moment ago may have been replaced by another tenant's under the same name.
  requireOwn({ kind, name, old, user }: AdmissionRequest): void {
    const tenantOf = kind.group === '' ? ownedKinds[kind.plural] : undefined;
    if (old === undefined || tenantOf === undefined) return;
    const caller = this.#options.authorizer.tenantOfCaller(user);
    if (caller !== undefined && tenantOf(old) !== caller) throw notFound(kind, name);
  }

  async namespace(request: AdmissionRequest, namespace: ApiObject): Promise<void> {
    const caller = this.#options.authorizer.tenantOfCaller(request.user);
    const before = tenantOfNamespace(request.old);
    const said = caller === undefined ? this.#saidByOperator(request, namespace) : (before ?? caller);
    const network = networkNameOf(namespace);
    const had = networkNameOf(request.old);
    if (network === had && said === before) {
      setTenant(namespace, said);
      return;
    }
    if (request.old !== undefined && network !== had) await this.#requireEmpty(request, had, network);
    const owner = network === undefined ? undefined : await this.#usable(request, network, caller);
    const tenant = said ?? owner;
    if (owner !== undefined && tenant !== owner) {
      throw refuse(
        request,
        `Network "${network ?? ''}" belongs to tenant ${owner}, the namespace to tenant ${tenant ?? ''}`,
      );
    }
    setTenant(namespace, tenant);
  }

  // An operator may give a namespace to a tenant by its annotation or label; leaving both out changes nothing.
  #saidByOperator(request: AdmissionRequest, namespace: ApiObject): string | undefined {
    const before = tenantOfNamespace(request.old);
    const { annotations, labels } = namespace.metadata;
    const said = [annotations?.[tenantIdKey], labels?.[tenantIdKey]].find(
      (value) => value !== undefined && value !== '' && value !== before,
    );
    return said ?? before;
  }

  // Where the Network is another tenant's, the caller learns no more than that it cannot be used.
  async #usable(
    request: AdmissionRequest,
    name: string,
    caller: string | undefined,
  ): Promise<string | undefined> {
    const network = await this.#options.find('networks', { namespace: '', name });
    const owner = network === undefined ? undefined : tenantOfNetwork(network);
    if (network === undefined || (caller !== undefined && owner !== caller)) {
      throw refuseField(request, {
        reason: 'FieldValueNotFound',
        field: 'spec.network',
        message: `Not found: ${JSON.stringify(name)}: the Network does not exist${caller === undefined ? '' : ' in your tenant'}; create it first`,
      });
    }
    if (network.metadata.deletionTimestamp !== undefined) {
      throw refuse(request, `Network "${name}" is being deleted`);
    }
    return owner;
  }

  async #requireEmpty(
    request: AdmissionRequest,
    had: string | undefined,
    wanted: string | undefined,
  ): Promise<void> {
    const pods = await this.#options.listPods(request.name);
    if (pods.length === 0) return;
    const names = pods.slice(0, 3).map((pod) => pod.metadata.name ?? '');
    const more = pods.length > names.length ? ` and ${pods.length - names.length} more` : '';
    throw refuseField(request, {
      reason: 'FieldValueForbidden',
      field: 'spec.network',
      message: `Forbidden: cannot change from ${JSON.stringify(had ?? '')} to ${JSON.stringify(wanted ?? '')} while pods are in the namespace (${names.join(', ')}${more}); delete them first`,
    });
  }
}
