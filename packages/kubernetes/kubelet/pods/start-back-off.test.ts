import { describe, expect, it } from 'vitest';
import { StartBackOff, type Trouble } from './start-back-off.ts';

describe('StartBackOff', () => {
  it.each<[Trouble, number]>([
    ['attach', 10_000],
    ['config', 10_000],
    ['volume', 120_000],
    ['sandbox', 30_000],
    ['runtime', 120_000],
  ])('doubles the delay from 500 ms, for %s up to %i ms', (trouble, max) => {
    const backOff = new StartBackOff();
    let now = 1_000_000;
    for (let delay = 500; delay < 4 * max; delay *= 2) {
      expect(backOff.fail('web', trouble, 'no', now)).toBe(true);
      const end = now + Math.min(delay, max);
      expect(backOff.retryAtMs('web')).toBe(end);
      expect([backOff.waits('web', end - 1), backOff.waits('web', end)]).toEqual([true, false]);
      now = end;
    }
  });

  it('knows one failure told twice from two', () => {
    const backOff = new StartBackOff();
    expect(backOff.fail('v', 'volume', 'a is missing', 0)).toBe(true);
    expect(backOff.fail('v', 'volume', 'a is missing', 499)).toBe(false);
    expect(backOff.retryAtMs('v')).toBe(500);
    expect(backOff.fail('v', 'volume', 'b is missing', 499)).toBe(true);
  });

  it('forgets what was started, and what has changed', () => {
    const backOff = new StartBackOff();
    backOff.fail('a', 'config', '', 0);
    backOff.fail('b', 'attach', '', 0);
    backOff.clearTrouble('config');
    expect([backOff.waits('a', 1), backOff.waits('b', 1), backOff.waits('c', 1)]).toEqual([
      false,
      true,
      false,
    ]);
    backOff.clear('b');
    expect(backOff.retryAtMs('b')).toBeUndefined();
  });
});
