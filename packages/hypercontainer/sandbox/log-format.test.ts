import { describe, expect, it } from 'vitest';
import { formatLogEntries } from './log-format.ts';

const format = (data: string, atEnd = false) => {
  const { text, consumed } = formatLogEntries(Buffer.from(data), 'stdout', 'T', atEnd);
  return { text: text.toString(), consumed };
};

describe('formatLogEntries', () => {
  it('takes whole lines and leaves the begun one', () => {
    expect(format('a\n\nb')).toEqual({ text: 'T stdout F a\nT stdout F \n', consumed: 3 });
  });

  it('takes the rest at the end', () => {
    expect(format('a\nb', true)).toEqual({ text: 'T stdout F a\nT stdout F b\n', consumed: 3 });
    expect(format('', true)).toEqual({ text: '', consumed: 0 });
  });

  it('marks the pieces of a line over 16 KiB as partial', () => {
    const long = 'x'.repeat(40_000);
    const { text, consumed } = format(`${long}\n`);
    const lines = text.trimEnd().split('\n');
    expect(lines.map((line) => line.slice(9, 10))).toEqual(['P', 'P', 'F']);
    expect(lines.map((line) => line.slice(11)).join('')).toBe(long);
    expect(consumed).toBe(40_001);
  });

  it('never needs more than a window: a full piece goes though its line has not ended', () => {
    expect(format('x'.repeat(16_384)).consumed).toBe(16_384);
    expect(format('x'.repeat(16_383)).consumed).toBe(0);
    expect(format('x'.repeat(16_384) + '\n').text).toMatch(/^T stdout F x+\n$/);
  });
});
