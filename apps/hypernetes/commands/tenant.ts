import type { Command } from 'commander';
import { callUnary } from '@hypernetes/foundation/grpc';
import { printList } from '../output/table.ts';
import { connectKubestack } from './kubestack-client.ts';
import { installationOf, requireRoot } from './options.ts';

export function addTenant(program: Command): void {
  const tenant = program.command('tenant').description('tenants of the embedded identity service');

  tenant
    .command('create')
    .argument('<name>', 'unique name')
    .option('--id <id>', 'identifier, as in Network.spec.tenantID (default: a new one)')
    .description('create a tenant')
    .addHelpText(
      'after',
      '\nExample:\n  sudo ./hypernetes tenant create demo --id 065f210a2ca9442aad898ab129426350\n',
    )
    .action(async (name: string, options: { id?: string }, command: Command) => {
      requireRoot('tenant create');
      using kubestack = connectKubestack(installationOf(command));
      const created = await callUnary(
        kubestack.identity.createTenant.bind(kubestack.identity),
        { id: options.id ?? '', name },
        10_000,
      );
      console.log(`tenant ${created.name} created with id ${created.id}`);
    });

  tenant
    .command('list')
    .alias('ls')
    .option('--json', 'as JSON')
    .description('list tenants')
    .action(async (options: { json?: boolean }, command: Command) => {
      requireRoot('tenant list');
      using kubestack = connectKubestack(installationOf(command));
      const { tenants } = await callUnary(
        kubestack.identity.listTenants.bind(kubestack.identity),
        {},
        10_000,
      );
      printList(tenants, options.json === true, {
        ID: (item) => item.id,
        NAME: (item) => item.name,
        ENABLED: (item) => String(item.enabled),
      });
    });

  tenant
    .command('delete')
    .argument('<id>', 'identifier')
    .description('delete a tenant that has no networks and volumes')
    .action(async (id: string, _options: object, command: Command) => {
      requireRoot('tenant delete');
      using kubestack = connectKubestack(installationOf(command));
      await callUnary(kubestack.identity.deleteTenant.bind(kubestack.identity), { id }, 10_000);
      console.log(`tenant ${id} deleted`);
    });
}
