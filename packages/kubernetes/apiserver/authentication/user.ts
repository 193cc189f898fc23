/** Who makes a request (authentication.k8s.io UserInfo). */
export interface UserInfo {
  readonly name: string;
  readonly uid?: string;
  readonly groups: readonly string[];
  readonly extra: Readonly<Record<string, readonly string[]>>;
}

export const groupNames = {
  masters: 'system:masters',
  authenticated: 'system:authenticated',
  unauthenticated: 'system:unauthenticated',
  nodes: 'system:nodes',
  serviceAccounts: 'system:serviceaccounts',
  /** Every user of a tenant. */
  tenants: 'hypernetes:tenants',
  /** Users of a tenant with a role that may change things. */
  tenantWriters: 'hypernetes:tenant-writers',
} as const;

export const anonymousUser: UserInfo = {
  name: 'system:anonymous',
  groups: [groupNames.unauthenticated],
  extra: {},
};

/** Key of UserInfo.extra that holds the tenant of a user who belongs to one. */
export const tenantExtraKey = 'hypernetes.io/tenant-id';

const serviceAccountPrefix = 'system:serviceaccount:';

export function serviceAccountUserName(namespace: string, name: string): string {
  return `${serviceAccountPrefix}${namespace}:${name}`;
}

/** Namespace and name of a service account's user name, undefined for other users. */
export function parseServiceAccountUserName(name: string): { namespace: string; name: string } | undefined {
  if (!name.startsWith(serviceAccountPrefix)) return undefined;
  const [namespace, account, ...more] = name.slice(serviceAccountPrefix.length).split(':');
  if (namespace === undefined || account === undefined || more.length > 0) return undefined;
  return { namespace, name: account };
}

/** The tenant the caller belongs to; undefined: an operator of the whole cluster, or a part of it. */
export function tenantOf(user: UserInfo): string | undefined {
  return user.extra[tenantExtraKey]?.[0];
}
