import { expect, test } from 'vitest';
import { createCpuRates } from './cpu-rates.ts';

const second = 1_000_000_000n;

test('the rate is what was used between two samples at least a second apart', () => {
  const rate = createCpuRates();
  expect(rate('a', 10n * second, 5n * second)).toBeUndefined();
  expect(rate('a', 12n * second, 6n * second)).toBe(second / 2n);
  expect(rate('a', 12n * second + 1n, 9n * second)).toBe(second / 2n);
  expect(rate('b', 12n * second, 0n)).toBeUndefined();
});

test('a counter that went back (the container was started again) gives no rate', () => {
  const rate = createCpuRates();
  rate('a', 1n * second, 5n * second);
  expect(rate('a', 3n * second, 1n)).toBeUndefined();
  expect(rate('a', 5n * second, 2n * second + 1n)).toBe(second);
});
