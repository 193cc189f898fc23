import { expect, it } from 'vitest';
import { distributionOf } from './statistics.ts';

it('nearest-rank percentiles', () => {
  expect(distributionOf([])).toBeUndefined();
  expect(distributionOf([5])).toEqual({ count: 1, p50: 5, p95: 5, max: 5 });
  expect(distributionOf(Array.from({ length: 100 }, (_, index) => 100 - index))).toEqual({
    count: 100,
    p50: 50,
    p95: 95,
    max: 100,
  });
});
