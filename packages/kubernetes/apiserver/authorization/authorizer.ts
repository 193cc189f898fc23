import type { ResourceCache } from '../cache/resource-cache.ts';
import {
  groupNames,
  parseServiceAccountUserName,
  serviceAccountUserName,
  tenantOf,
  type UserInfo,
} from '../authentication/user.ts';
import { ruleAllows, type AccessAttributes, type PolicyRule } from './rules.ts';

/** Annotation and label of a Namespace: the tenant it belongs to. */
export const tenantIdKey = 'hypernetes.io/tenant-id';

interface Subject {
  readonly kind: string;
  readonly name: string;
  readonly namespace?: string;
}

interface Binding {
  readonly metadata: { readonly name?: string; readonly namespace?: string };
  readonly subjects?: readonly Subject[];
  readonly roleRef: { readonly kind: string; readonly name: string };
}

interface Role {
  readonly rules?: readonly PolicyRule[];
}

/** Where the rules come from: caches that follow the store. */
export interface AuthorizerCaches {
  readonly roles: ResourceCache;
  readonly clusterRoles: ResourceCache;
  readonly roleBindings: ResourceCache;
  readonly clusterRoleBindings: ResourceCache;
  readonly namespaces: ResourceCache;
}

export interface Decision {
  readonly allowed: boolean;
  /** Why, for reviews. */
  readonly reason: string;
}

/** Rules held, with what gave them. */
interface Grant {
  readonly rules: readonly PolicyRule[];
  readonly because: string;
}

/** Roles that users of a tenant have in every namespace of their tenant, without a binding. */
const tenantRoles = { writer: 'admin', reader: 'view' } as const;

const everything: readonly PolicyRule[] = [
  { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
  { verbs: ['*'], nonResourceURLs: ['*'] },
];

/** RBAC, plus: users of a tenant own the namespaces of their tenant. */
export class Authorizer {
  readonly #caches: AuthorizerCaches;

  constructor(caches: AuthorizerCaches) {
    this.#caches = caches;
  }

  async load(): Promise<void> {
    await Promise.all(
      Object.values(this.#caches as unknown as Record<string, ResourceCache>).map((cache) => cache.load()),
    );
  }

  authorize(user: UserInfo, wanted: AccessAttributes): Decision {
    const namespace = wanted.kind === 'resource' ? wanted.namespace : '';
    for (const grant of this.#grants(user, namespace)) {
      if (grant.rules.some((rule) => ruleAllows(rule, wanted))) {
        return { allowed: true, reason: grant.because };
      }
    }
    return { allowed: false, reason: '' };
  }

  /** All rules the user holds in the namespace (and, with '', cluster-wide only). */
  rulesOf(user: UserInfo, namespace: string): PolicyRule[] {
    return [...this.#grants(user, namespace)].flatMap((grant) => [...grant.rules]);
  }

  /** The rules of a role as a binding in the namespace refers to it; undefined when there is no such role. */
  rulesOfRole(
    reference: { readonly kind: string; readonly name: string },
    namespace: string,
  ): readonly PolicyRule[] | undefined {
    const item =
      reference.kind === 'ClusterRole'
        ? this.#caches.clusterRoles.get({ namespace: '', name: reference.name })
        : this.#caches.roles.get({ namespace, name: reference.name });
    return item === undefined ? undefined : ((item.object as unknown as Role).rules ?? []);
  }

  *#grants(user: UserInfo, namespace: string): Iterable<Grant> {
    if (user.groups.includes(groupNames.masters)) {
      yield { rules: everything, because: `group ${groupNames.masters}` };
      return;
    }
    for (const item of this.#caches.clusterRoleBindings.list({})) {
      const binding = item.object as unknown as Binding;
      if (!isBound(binding, user, '')) continue;
      const rules = this.rulesOfRole(binding.roleRef, '');
      if (rules !== undefined) yield { rules, because: because('ClusterRoleBinding', binding, user) };
    }
    if (namespace === '') return;
    yield* this.#namespaceGrants(user, namespace);
  }

  *#namespaceGrants(user: UserInfo, namespace: string): Iterable<Grant> {
    const tenant = tenantOf(user);
    if (tenant !== undefined && this.#tenantOfNamespace(namespace) === tenant) {
      const name = user.groups.includes(groupNames.tenantWriters) ? tenantRoles.writer : tenantRoles.reader;
      const rules = this.rulesOfRole({ kind: 'ClusterRole', name }, '');
      if (rules !== undefined) yield { rules, because: `namespace ${namespace} belongs to tenant ${tenant}` };
    }
    for (const item of this.#caches.roleBindings.list({ namespace })) {
      const binding = item.object as unknown as Binding;
      if (!isBound(binding, user, namespace)) continue;
      const rules = this.rulesOfRole(binding.roleRef, namespace);
      if (rules !== undefined) yield { rules, because: because('RoleBinding', binding, user) };
    }
  }

  #tenantOfNamespace(namespace: string): string | undefined {
    const item = this.#caches.namespaces.get({ namespace: '', name: namespace });
    return item?.object.metadata.annotations?.[tenantIdKey];
  }

  /** The tenant a caller acts for: its own, or for a service account the one of its namespace. */
  tenantOfCaller(user: UserInfo): string | undefined {
    const own = tenantOf(user);
    if (own !== undefined) return own;
    const account = parseServiceAccountUserName(user.name);
    return account === undefined ? undefined : this.#tenantOfNamespace(account.namespace);
  }
}

function because(kind: string, binding: Binding, user: UserInfo): string {
  const place = binding.metadata.namespace === undefined ? '' : `${binding.metadata.namespace}/`;
  return `RBAC: allowed by ${kind} "${place}${binding.metadata.name ?? ''}" of ${binding.roleRef.kind} "${binding.roleRef.name}" to user "${user.name}"`;
}

function isBound(binding: Binding, user: UserInfo, namespace: string): boolean {
  return (binding.subjects ?? []).some((subject) => {
    switch (subject.kind) {
      case 'User':
        return subject.name === user.name;
      case 'Group':
        return user.groups.includes(subject.name);
      case 'ServiceAccount':
        return user.name === serviceAccountUserName(subject.namespace ?? namespace, subject.name);
      default:
        return false;
    }
  });
}
