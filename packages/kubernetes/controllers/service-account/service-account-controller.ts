import { resources, type ServiceAccount } from '../../client/index.ts';
import type { Controller, ControllerContext } from '../machinery/controller.ts';
import { startInEachNamespace } from '../machinery/each-namespace.ts';
import { createIfAbsent } from '../machinery/ensure-object.ts';

/** Every namespace has the ServiceAccount `default`, which pods without another run as. */
export function startServiceAccountController(context: ControllerContext): Controller {
  const target = { resource: resources.serviceAccounts, name: 'default' };
  return startInEachNamespace(context, 'service-account', target, async ({ metadata }, known) => {
    if (known !== undefined) return;
    const account: ServiceAccount = { metadata: { name: target.name, namespace: metadata.name } };
    await createIfAbsent(context.client, resources.serviceAccounts, account);
  });
}
