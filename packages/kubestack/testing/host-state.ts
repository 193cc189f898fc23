import { runText } from '@hypernetes/foundation/process';

/** For tests: everything of the host's network that Kubestack could leave behind, one line each, those with the word in them. */
export async function hostState(word: string): Promise<readonly string[]> {
  const outputs = await Promise.all([
    runText('ip', ['netns', 'list']),
    runText('ip', ['-oneline', 'address']),
    runText('ip', ['-oneline', 'link']),
    runText('ip', ['route', 'show', 'table', 'all']),
    runText('nft', ['list', 'tables']),
    runText('ps', ['-eo', 'args']),
  ]);
  return outputs
    .join('\n')
    .split('\n')
    .filter((line) => line.includes(word) && !line.includes('vitest'));
}
