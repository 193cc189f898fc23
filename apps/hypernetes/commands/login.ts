import type { Command } from 'commander';
import { chmod, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { callUnary } from '@hypernetes/foundation/grpc';
import { writeFileAtomic } from '@hypernetes/foundation/files';
import { loadSettings, defaultSettings } from '../config/installation.ts';
import { connectKubestack } from './kubestack-client.ts';
import { installationOf, requireRoot } from './options.ts';

export function addLogin(program: Command): void {
  program
    .command('login')
    .description('write a kubeconfig for a user of a tenant (embedded identity)')
    .requiredOption('--tenant <id>', 'the tenant')
    .requiredOption('--user <name>', 'the user')
    .option('--role <role>', 'admin, member or reader', 'member')
    .requiredOption('--kubeconfig <file>', 'file to write (mode 0600)')
    .addHelpText(
      'after',
      '\nExample:\n  sudo ./hypernetes login --tenant 065f210a2ca9442aad898ab129426350 --user ada --kubeconfig ada.kubeconfig\n',
    )
    .action(
      async (
        options: { tenant: string; user: string; role: string; kubeconfig: string },
        command: Command,
      ) => {
        requireRoot('login');
        const installation = installationOf(command);
        const settings = (await loadSettings(installation)) ?? defaultSettings;
        using kubestack = connectKubestack(installation);
        const issued = await callUnary(
          kubestack.identity.issueToken.bind(kubestack.identity),
          { tenantId: options.tenant, userName: options.user, roles: [options.role], lifetimeS: 0n },
          10_000,
        );
        const ca = await readFile(join(installation.pkiDir, 'ca.crt'));
        const name = `${options.user}@${options.tenant}`;
        const config = {
          apiVersion: 'v1',
          kind: 'Config',
          clusters: [
            {
              name: 'hypernetes',
              cluster: {
                server: `https://127.0.0.1:${settings.apiPort}`,
                'certificate-authority-data': ca.toString('base64'),
              },
            },
          ],
          users: [{ name, user: { token: issued.token } }],
          contexts: [{ name, context: { cluster: 'hypernetes', user: name } }],
          'current-context': name,
        };
        await writeFileAtomic(options.kubeconfig, stringify(config), 0o600);
        await chmod(options.kubeconfig, 0o600);
        console.log(`kubeconfig for ${name} written to ${options.kubeconfig}`);
      },
    );
}
