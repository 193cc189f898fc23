import { appendFile, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createLogger } from '@hypernetes/foundation/logging';
import { ContainerLog } from './container-log.ts';

let folder: string;
const log = createLogger('test');
const open = () => ContainerLog.open(join(folder, 'logs', '0.log'), join(folder, 'cursor'), log);
const content = async (name = '0.log') =>
  (await readFile(join(folder, 'logs', name), 'utf8')).replaceAll(/^\S+ /gm, '');

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hn-log-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true });
});

describe('ContainerLog', () => {
  it('goes on where it was, cutting off what was written but not recorded', async () => {
    {
      await using first = await open();
      expect(await first.append('stdout', Buffer.from('one\ntw'), 0, false)).toBe(4);
      expect(await first.append('stderr', Buffer.from('bad\n'), 0, true)).toBe(4);
    }
    // What a process killed between writing and recording leaves.
    await appendFile(join(folder, 'logs', '0.log'), '2026 stdout F two\n');
    await using second = await open();
    expect(second.taken('stdout')).toBe(4);
    expect(second.taken('stderr')).toBe(5);
    expect(await second.append('stdout', Buffer.from('two\n'), 4, false)).toBe(4);
    expect(await content()).toBe('stdout F one\nstderr F bad\nstdout F two\n');
  });

  it('writes into a new file after a rotation, and cuts the rotated one after a crash', async () => {
    const first = await open();
    await first.append('stdout', Buffer.from('one\n'), 0, false);
    await rename(join(folder, 'logs', '0.log'), join(folder, 'logs', '0.log.1'));
    await first.reopen();
    await first.append('stdout', Buffer.from('two\n'), 4, false);
    await first[Symbol.asyncDispose]();
    expect(await content('0.log.1')).toBe('stdout F one\n');
    expect(await content()).toBe('stdout F two\n');
    await appendFile(join(folder, 'logs', '0.log'), 'unrecorded\n');
    await rename(join(folder, 'logs', '0.log'), join(folder, 'logs', '0.log.2'));
    await using second = await open();
    await second.append('stdout', Buffer.from('three\n'), 8, false);
    expect(await content('0.log.2')).toBe('stdout F two\n');
    expect(await content()).toBe('stdout F three\n');
  });
});
