import { appendFile, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readContainerLog, type LogOptions } from './container-logs.ts';
import { parseLogLine } from './log-files.ts';
import { rotateLog } from './log-rotation.ts';

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hypernetes-logs-'));
  path = join(folder, 'pod', 'web', '0.log');
  await mkdir(join(folder, 'pod', 'web'), { recursive: true });
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

const everything: LogOptions = {
  follow: false,
  timestamps: false,
  tailLines: undefined,
  sinceMs: undefined,
  limitBytes: undefined,
};

function record(number: number, text = `line ${number}`, tag = 'F', stream = 'stdout'): string {
  const time = new Date(1_700_000_000_000 + number * 1_000).toISOString().replace('Z', '000000Z');
  return `${time} ${stream} ${tag} ${text}\n`;
}

async function read(options: Partial<LogOptions> = {}): Promise<string> {
  let text = '';
  const { signal } = new AbortController();
  const chunks = readContainerLog(path, { ...everything, ...options }, () => Promise.resolve(false), signal);
  for await (const chunk of chunks) text += chunk.toString('utf8');
  return text;
}

describe('parseLogLine', () => {
  it.each([
    ['2026-01-01T00:00:00.000000001Z stdout F hello world', 'hello world', true],
    ['2026-01-01T00:00:00Z stderr P part', 'part', false],
    ['2026-01-01T00:00:00Z stdout F ', '', true],
    ['2026-01-01T00:00:00Z stdout F', '', true],
    ['2026-01-01T00:00:00Z stdout P:x part', 'part', false],
  ])('reads %s', (text, content, complete) => {
    const line = parseLogLine(Buffer.from(text));
    expect([line?.content.toString(), line?.complete]).toEqual([content, complete]);
  });

  it.each(['', 'garbage', 'time stdin F x', 'only two'])('refuses %j', (text) => {
    expect(parseLogLine(Buffer.from(text))).toBeUndefined();
  });
});

describe('readContainerLog', () => {
  it('gives lines, or the last of them, or those since a time', async () => {
    await writeFile(path, [1, 2, 3, 4].map((number) => record(number)).join(''));
    expect(await read()).toBe('line 1\nline 2\nline 3\nline 4\n');
    expect(await read({ tailLines: 2 })).toBe('line 3\nline 4\n');
    expect(await read({ tailLines: 0 })).toBe('');
    expect(await read({ tailLines: 99 })).toBe('line 1\nline 2\nline 3\nline 4\n');
    expect(await read({ sinceMs: 1_700_000_004_000 })).toBe('line 4\n');
    expect(await read({ limitBytes: 9 })).toBe('line 1\nli');
    expect(await read({ timestamps: true, tailLines: 1 })).toBe('2023-11-14T22:13:24.000000000Z line 4\n');
  });

  it('joins the pieces of a long line', async () => {
    await writeFile(path, record(1) + record(2, 'one ', 'P') + record(2, 'line', 'F') + record(3));
    expect(await read()).toBe('line 1\none line\nline 3\n');
    expect(await read({ timestamps: true, tailLines: 2 })).toBe(
      '2023-11-14T22:13:22.000000000Z one line\n2023-11-14T22:13:23.000000000Z line 3\n',
    );
  });

  it('tells the streams apart', async () => {
    await writeFile(path, record(1) + record(2, 'oops', 'F', 'stderr'));
    expect(await read({ stream: 'stderr' })).toBe('oops\n');
  });

  it('finds the tail over many blocks and over rotated files', async () => {
    const many = Array.from({ length: 5_000 }, (_none, index) =>
      record(index, `line ${index} ${'x'.repeat(80)}`),
    );
    await writeFile(`${path}.20260101`, many.slice(0, 2_500).join(''));
    await writeFile(path, many.slice(2_500).join(''));
    const tail = (await read({ tailLines: 3_000 })).split('\n');
    expect(tail).toHaveLength(3_001);
    expect(tail[0]).toMatch(/^line 2000 /);
    expect((await read()).split('\n')).toHaveLength(5_001);
  });

  it('skips what is no record', async () => {
    await writeFile(path, `${record(1)}garbage\n\n${record(2)}`);
    expect(await read()).toBe('line 1\nline 2\n');
  });

  it('of a file that is not there is empty', async () => {
    expect(await read({ tailLines: 5 })).toBe('');
  });

  it('follows over a rotation until the container has ended', async () => {
    await writeFile(path, record(1));
    let running = true;
    let text = '';
    const { signal } = new AbortController();
    const following = (async () => {
      const options = { ...everything, follow: true };
      for await (const chunk of readContainerLog(path, options, () => Promise.resolve(running), signal)) {
        text += chunk.toString('utf8');
      }
    })();
    const until = async (wanted: string): Promise<void> => {
      const end = Date.now() + 5_000;
      while (text !== wanted && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 5));
      expect(text).toBe(wanted);
    };
    await until('line 1\n');
    await appendFile(path, record(2));
    await until('line 1\nline 2\n');
    await rename(path, `${path}.1`);
    await appendFile(`${path}.1`, record(3));
    await writeFile(path, record(4));
    await until('line 1\nline 2\nline 3\nline 4\n');
    running = false;
    await appendFile(path, record(5));
    await following;
    expect(text).toBe('line 1\nline 2\nline 3\nline 4\nline 5\n');
  });
});

describe('rotateLog', () => {
  const limits = { bytesMax: 100, filesMax: 3 };

  it('leaves a small log alone', async () => {
    await writeFile(path, record(1));
    expect(await rotateLog(path, limits, () => Promise.reject(new Error('not called')))).toBe(false);
  });

  it('keeps no more files than it may, and loses no line of those', async () => {
    for (let round = 0; round < 5; round++) {
      await writeFile(path, Array.from({ length: 4 }, (_none, index) => record(round * 4 + index)).join(''));
      expect(await rotateLog(path, limits, () => writeFile(path, ''))).toBe(true);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    expect((await read()).split('\n')[0]).toBe('line 12');
  });

  it('puts the log back when the runtime opens no new one', async () => {
    await writeFile(path, [1, 2, 3, 4].map((number) => record(number)).join(''));
    await expect(rotateLog(path, limits, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(await read({ tailLines: 1 })).toBe('line 4\n');
  });
});
