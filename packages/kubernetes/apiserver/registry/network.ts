import type { ObjectMeta } from '../../api/index.ts';

/** v1 Network: a tenant's network that namespaces can be put on. */
export interface Network {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: ObjectMeta;
  readonly spec?: {
    readonly tenantID?: string;
    readonly subnets?: Readonly<Record<string, { readonly cidr: string; readonly gateway?: string }>>;
    readonly [field: string]: unknown;
  };
  readonly status?: {
    readonly phase?: string;
    readonly providerNetworkID?: string;
    readonly [field: string]: unknown;
  };
}
