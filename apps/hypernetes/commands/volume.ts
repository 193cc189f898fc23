import type { Command } from 'commander';
import { callUnary } from '@hypernetes/foundation/grpc';
import { Volume_State } from '@hypernetes/proto/kubestack';
import { printList } from '../output/table.ts';
import { connectKubestack } from './kubestack-client.ts';
import { installationOf, parseSize, requireRoot } from './options.ts';

export function addVolume(program: Command): void {
  const volume = program.command('volume').description('volumes, attached to pods as block devices');

  volume
    .command('create')
    .option('--id <id>', 'identifier, as in volumes[].cinder.volumeID (default: a new one)')
    .option('--name <name>', 'name for people', '')
    .option(
      '--tenant <id>',
      'the owning tenant (default: none yet; the first tenant that attaches it owns it)',
      '',
    )
    .requiredOption('--size <size>', 'size, e.g. 1Gi')
    .description('create a blank volume')
    .addHelpText(
      'after',
      '\nExample:\n  sudo ./hypernetes volume create --id 651b2a7b-683e-47e1-bdd6-e3c62e8f91c0 --size 1Gi\n',
    )
    .action(
      async (options: { id?: string; name: string; tenant: string; size: string }, command: Command) => {
        requireRoot('volume create');
        const sizeBytes = parseSize(options.size);
        using kubestack = connectKubestack(installationOf(command));
        const created = await callUnary(
          kubestack.volumes.createVolume.bind(kubestack.volumes),
          { id: options.id ?? '', name: options.name, tenantId: options.tenant, sizeBytes },
          30_000,
        );
        console.log(`volume ${created.id} created, ${options.size}`);
      },
    );

  volume
    .command('list')
    .alias('ls')
    .option('--tenant <id>', 'only of this tenant', '')
    .option('--json', 'as JSON')
    .description('list volumes')
    .action(async (options: { tenant: string; json?: boolean }, command: Command) => {
      requireRoot('volume list');
      using kubestack = connectKubestack(installationOf(command));
      const { volumes } = await callUnary(
        kubestack.volumes.listVolumes.bind(kubestack.volumes),
        { tenantId: options.tenant },
        10_000,
      );
      printList(volumes, options.json === true, {
        ID: (item) => item.id,
        NAME: (item) => item.name,
        TENANT: (item) => item.tenantId,
        SIZE: (item) => `${Number(item.sizeBytes) / 2 ** 20} MiB`,
        STATE: (item) => Volume_State[item.state].toLowerCase(),
        'USED BY': (item) =>
          item.attachment?.pod === undefined
            ? ''
            : `${item.attachment.pod.namespace}/${item.attachment.pod.name}`,
      });
    });

  volume
    .command('delete')
    .argument('<id>', 'identifier')
    .description('delete a volume nobody uses, with its data')
    .action(async (id: string, _options: object, command: Command) => {
      requireRoot('volume delete');
      using kubestack = connectKubestack(installationOf(command));
      await callUnary(kubestack.volumes.deleteVolume.bind(kubestack.volumes), { id }, 30_000);
      console.log(`volume ${id} deleted`);
    });
}
