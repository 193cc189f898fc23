import { Command } from 'commander';
import { expect, it } from 'vitest';
import { run } from '@hypernetes/foundation/process';
import { bashCompletion, completionEntries } from './completion.ts';

function program(): Command {
  const command = new Command('hypernetes').option('--data-dir <directory>');
  command.command('up').option('--accel <kind>');
  command.command('tenant').command('create').option('--id <id>');
  return command;
}

it('knows commands, sub-commands and options', () => {
  const entries = new Map(completionEntries(program()).map((entry) => [entry.path, entry.words]));
  expect(entries.get('')).toEqual(expect.arrayContaining(['up', 'tenant', '--data-dir']));
  expect(entries.get('tenant')).toContain('create');
  expect(entries.get('tenant create')).toContain('--id');
});

it('completes in a real bash', async () => {
  const script = `${bashCompletion(program())}
COMP_WORDS=(hypernetes tenant cr) COMP_CWORD=2
_hypernetes
echo "\${COMPREPLY[@]}"`;
  expect((await run('bash', ['-c', script])).stdout.toString().trim()).toBe('create');
});
