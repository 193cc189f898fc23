import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { createLogger } from '@hypernetes/foundation/logging';
import type { GuestAgent, Operation } from '../guest-agent/index.ts';
import { FileSetSync } from './file-sets.ts';

test('two pushes of one set at once: the guest and the record of it end with what is there last', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'hn-sets-'));
  const taken: string[] = [];
  const releases: (() => void)[] = [];
  const agent = {
    request: async (operation: Operation): Promise<undefined> => {
      if (operation.$case !== 'putFiles') return;
      const text = operation.value.files.map(({ data }) => data.toString()).join();
      // The first push is held up on its way.
      if (text === 'old') await new Promise<void>((resolve) => releases.push(resolve));
      taken.push(text);
    },
  };
  const set = { setId: 's', hostPath: folder, kind: 'folder', inMemory: false, writeBack: false } as const;
  // What a push needs of an agent is here.
  using sync = new FileSetSync(agent as unknown as GuestAgent, createLogger('test'));
  try {
    await writeFile(join(folder, 'key'), 'old');
    const first = sync.push(set);
    await expect.poll(() => releases.length).toBe(1);
    await writeFile(join(folder, 'key'), 'new');
    const second = sync.push(set);
    setTimeout(() => releases[0]?.(), 50);
    await Promise.all([first, second]);
    expect(taken.at(-1)).toBe('new');
    await writeFile(join(folder, 'key'), 'old');
    setTimeout(() => releases[1]?.(), 50);
    await sync.push(set);
    expect(taken.at(-1)).toBe('old');
  } finally {
    await rm(folder, { recursive: true });
  }
});
