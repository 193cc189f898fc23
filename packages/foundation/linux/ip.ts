import { run, runText } from '../process/index.ts';

/** iproute2, one command: ip(['link', 'show']). In a network namespace: ip([...], 'name'). */
export async function ip(args: readonly string[], networkNamespace?: string): Promise<string> {
  return await runText('ip', networkNamespace === undefined ? args : ['-n', networkNamespace, ...args]);
}

/** Many commands in one process ("link add ..." per line), stopping at the first that fails unless force. */
export async function ipBatch(
  lines: readonly string[],
  networkNamespace?: string,
  force = false,
): Promise<void> {
  if (lines.length === 0) return;
  const scope = networkNamespace === undefined ? [] : ['-n', networkNamespace];
  await run('ip', [...scope, ...(force ? ['-force'] : []), '-batch', '-'], {
    input: lines.join('\n') + '\n',
    allowExitCodes: force ? [1, 2] : [],
  });
}

/** `ip -json` output, parsed; the caller says what it expects. */
export async function ipJson(args: readonly string[], networkNamespace?: string): Promise<unknown> {
  const text = await ip(['-json', ...args], networkNamespace);
  return text.trim() === '' ? [] : JSON.parse(text);
}

export async function netnsExists(name: string): Promise<boolean> {
  const list = (await ipJson(['netns', 'list'])) as { name: string }[];
  return list.some((entry) => entry.name === name);
}
