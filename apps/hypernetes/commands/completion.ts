import type { Command } from 'commander';
import { PlatformError } from '@hypernetes/foundation/errors';

interface CompletionEntry {
  /** 'tenant create' */
  readonly path: string;
  readonly words: readonly string[];
}

/** Every command path with the words that can follow it: sub-commands and long options. */
export function completionEntries(command: Command, path = ''): readonly CompletionEntry[] {
  const visible = command.createHelp().visibleCommands(command);
  const options = command.createHelp().visibleOptions(command);
  const words = [
    ...visible.map((child) => child.name()),
    ...options.flatMap((option) => (option.long == null ? [] : [option.long])),
  ];
  return [
    { path, words },
    ...visible
      .filter((child) => child.name() !== 'help')
      .flatMap((child) => completionEntries(child, path === '' ? child.name() : `${path} ${child.name()}`)),
  ];
}

/** A bash completion script; zsh reads it through bashcompinit. */
export function bashCompletion(program: Command): string {
  const cases = completionEntries(program).map(
    (entry) => `    '${entry.path}') words='${entry.words.join(' ')}' ;;`,
  );
  return `_hypernetes() {
  local path='' word words=''
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in -*) ;; *) path="\${path:+$path }$word" ;; esac
  done
  case $path in
${cases.join('\n')}
  esac
  COMPREPLY=($(compgen -W "$words" -- "\${COMP_WORDS[COMP_CWORD]}"))
}
complete -F _hypernetes hypernetes ./hypernetes
`;
}

export function addCompletion(program: Command): void {
  program
    .command('completion')
    .argument('<shell>', 'bash or zsh')
    .description('print a shell completion script')
    .addHelpText('after', '\nExample:\n  source <(./hypernetes completion bash)\n')
    .action((shell: string) => {
      if (shell !== 'bash' && shell !== 'zsh')
        throw new PlatformError('Invalid', `shell "${shell}": must be bash or zsh`);
      console.log(
        (shell === 'zsh' ? 'autoload -U +X bashcompinit && bashcompinit\n' : '') + bashCompletion(program),
      );
    });
}
