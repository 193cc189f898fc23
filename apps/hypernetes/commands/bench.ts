import type { Command } from 'commander';
import { PlatformError } from '@hypernetes/foundation/errors';
import { benchPodStart } from '../benchmarks/pod-start.ts';
import { installationOf, requireRoot } from './options.ts';

const benchmarks = { 'pod-start': benchPodStart } as const;

export function addBench(program: Command): void {
  program
    .command('bench')
    .argument('<name>', `one of: ${Object.keys(benchmarks).join(', ')}`)
    .option('--json', 'as JSON')
    .option('--count <n>', 'how many times', '10')
    .option('--image <reference>', 'the image to start', 'busybox')
    .description('measure, beside a baseline of the same run')
    .addHelpText('after', '\nExample:\n  sudo ./hypernetes bench pod-start --json\n')
    .action(
      async (name: string, options: { json?: boolean; count: string; image: string }, command: Command) => {
        requireRoot('bench');
        const benchmark = Object.entries(benchmarks).find(([known]) => known === name)?.[1];
        if (benchmark === undefined) {
          throw new PlatformError(
            'Invalid',
            `benchmark "${name}": must be one of ${Object.keys(benchmarks).join(', ')}`,
          );
        }
        await benchmark(installationOf(command), {
          json: options.json === true,
          count: Number(options.count),
          image: options.image,
        });
      },
    );
}
