import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { PlatformError } from '@hypernetes/foundation/errors';
import { installationOf } from './options.ts';

export function addKubeconfig(program: Command): void {
  program
    .command('kubeconfig')
    .description("print the path of the administrator's kubeconfig")
    .addHelpText('after', '\nExample:\n  export KUBECONFIG=$(sudo ./hypernetes kubeconfig)\n')
    .action((_options: object, command: Command) => {
      const { kubeconfigPath } = installationOf(command);
      // Without permission to look into the data directory the path is still what was asked for.
      if (process.getuid?.() === 0 && !existsSync(kubeconfigPath)) {
        throw new PlatformError(
          'NotFound',
          `${kubeconfigPath} does not exist yet: run "sudo ./hypernetes up" first`,
        );
      }
      console.log(kubeconfigPath);
    });
}
