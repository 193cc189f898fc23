import { run } from '../process/index.ts';

/** Applies a ruleset text as one transaction, in a network namespace if given (a name of `ip netns`). */
export async function nft(ruleset: string, networkNamespace?: string): Promise<void> {
  if (networkNamespace === undefined) await run('nft', ['-f', '-'], { input: ruleset });
  else await run('nsenter', [`--net=/run/netns/${networkNamespace}`, 'nft', '-f', '-'], { input: ruleset });
}

/** Removes a table; one that does not exist is success. `family` and `name` as in nft(8). */
export async function nftDeleteTable(family: string, name: string, networkNamespace?: string): Promise<void> {
  // `add` first makes the delete succeed either way, in one transaction.
  await nft(`add table ${family} ${name}\ndelete table ${family} ${name}\n`, networkNamespace);
}
