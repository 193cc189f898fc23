import type { Command } from 'commander';
import { installPackages, missingPackages, runtimePackages, testPackages } from '../setup/packages.ts';
import { assembleGuest } from '../setup/guest.ts';
import { makeDirectories } from '../config/installation.ts';
import { createProgress } from '../output/progress.ts';
import { runTests } from '../testing/run-tests.ts';
import { installationOf, requireRoot } from './options.ts';
import { join } from 'node:path';

export function addTest(program: Command): void {
  program
    .command('test')
    .description('set up, then run the whole test suite, or the test files matching a pattern')
    .option('--only <pattern>', 'only test files whose path contains this')
    .addHelpText('after', '\nExample:\n  sudo ./hypernetes test --only tests/e2e/announcement\n')
    .action(async (options: { only?: string }, command: Command) => {
      requireRoot('test');
      const installation = installationOf(command);
      const progress = createProgress();
      const missing = await missingPackages([...runtimePackages, ...testPackages]);
      if (missing.length > 0) {
        await progress.step(`Debian packages: ${missing.join(' ')}`, async () => {
          await installPackages(missing, join(installation.cacheDir, 'apt.log'));
        });
      }
      makeDirectories(installation);
      await progress.step(
        'guest kernel and hyperstart',
        async (note) => await assembleGuest(installation, note),
      );
      process.exitCode = await runTests(options.only);
    });
}
