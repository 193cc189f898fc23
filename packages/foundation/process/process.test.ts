import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import { describe, expect, it } from 'vitest';
import { waitFor } from '../lifecycle/index.ts';
import { isAlive, killProcess, run, runText, spawnDetached, startTimeOf } from './index.ts';

describe('run', () => {
  it('gives input and answers output', async () => {
    expect(await runText('cat', [], { input: 'hello' })).toBe('hello');
  });

  it('a failure quotes standard error; an allowed exit code is no failure', async () => {
    await expect(run('sh', ['-c', 'echo broken >&2; exit 3'])).rejects.toThrow('exit code 3: broken');
    expect((await run('sh', ['-c', 'exit 3'], { allowExitCodes: [3] })).exitCode).toBe(3);
  });

  it('a missing program, a deadline and too much output are errors', async () => {
    await expect(run('no-such-program-anywhere', [])).rejects.toMatchObject({ reason: 'Precondition' });
    await expect(run('sleep', ['10'], { timeoutMs: 20 })).rejects.toMatchObject({
      reason: 'DeadlineExceeded',
    });
    await expect(run('sh', ['-c', 'yes'], { maxOutputBytes: 1000 })).rejects.toMatchObject({
      reason: 'Exhausted',
    });
  });
});

describe('process identity', () => {
  it('a process is alive until killed, and a reused number would not be taken for it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'hn-process-'));
    try {
      const logFile = join(folder, 'log');
      const identity = await spawnDetached('sh', ['-c', 'echo started; exec sleep 60'], { logFile });
      await waitFor(
        'its first line',
        { timeoutMs: 5_000, intervalMs: 5 },
        async () => (await readFile(logFile, 'utf8')) === 'started\n',
      );
      expect(isAlive(identity)).toBe(true);
      expect(isAlive({ ...identity, startTime: '1' })).toBe(false);
      await killProcess(identity, 1_000);
      expect(isAlive(identity)).toBe(false);
      expect(await startTimeOf(identity.pid)).toBeUndefined();
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
