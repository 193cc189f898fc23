import { resources, type KubeObject, type Namespace, type RoleBinding } from '../../client/index.ts';
import type { Controller, ControllerContext } from '../machinery/controller.ts';
import { startInEachNamespace } from '../machinery/each-namespace.ts';
import { ensureObject } from '../machinery/ensure-object.ts';

const bindingName = 'hypernetes:tenant-admin';

/** The tenant a namespace belongs to, as admission wrote it. */
export function tenantOf({ metadata }: KubeObject): string | undefined {
  const id =
    metadata.labels?.['hypernetes.io/tenant-id'] ?? metadata.annotations?.['hypernetes.io/tenant-id'];
  return id === '' ? undefined : id;
}

/** The binding that makes the tenant's users administrators of its namespace; none for a namespace without tenant. */
export function tenantBinding(namespace: Namespace): RoleBinding | undefined {
  const tenant = tenantOf(namespace);
  if (tenant === undefined) return undefined;
  return {
    metadata: { name: bindingName, namespace: namespace.metadata.name },
    roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'admin' },
    subjects: [{ apiGroup: 'rbac.authorization.k8s.io', kind: 'Group', name: `tenant:${tenant}` }],
  };
}

/** Keeps the tenant's binding in each of its namespaces, and removes it where the tenant went. */
export function startTenantRbacController(context: ControllerContext): Controller {
  const target = { resource: resources.roleBindings, name: bindingName };
  return startInEachNamespace(context, 'tenant-rbac', target, async (namespace, known) => {
    const wanted = tenantBinding(namespace);
    if (wanted !== undefined) {
      await ensureObject<RoleBinding>(
        context.client,
        resources.roleBindings,
        wanted,
        known as RoleBinding | undefined,
      );
    } else if (known !== undefined) {
      await context.client.delete(resources.roleBindings, {
        namespace: namespace.metadata.name,
        name: bindingName,
      });
    }
  });
}
