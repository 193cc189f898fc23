import { expect, test } from 'vitest';
import { formatAge, formatDuration } from './duration.ts';

test.each([
  [-5, '<invalid>'],
  [-0.5, '0s'],
  [0.9, '0s'],
  [45, '45s'],
  [119, '119s'],
  [120, '2m'],
  [192, '3m12s'],
  [599, '9m59s'],
  [600, '10m'],
  [7_500, '125m'],
  [10_800, '3h'],
  [11_040, '3h4m'],
  [28_800, '8h'],
  [172_799, '47h'],
  [172_800, '2d'],
  [183_600, '2d3h'],
  [8 * 86_400, '8d'],
  [400 * 86_400, '400d'],
  [3 * 365 * 86_400, '3y'],
  [(3 * 365 + 40) * 86_400, '3y40d'],
  [9 * 365 * 86_400, '9y'],
])('%d seconds are %s', (seconds, text) => {
  expect(formatDuration(seconds * 1_000)).toBe(text);
});

test('ages count from a timestamp', () => {
  expect(formatAge('2026-01-01T00:00:00Z', Date.parse('2026-01-01T00:05:01Z'))).toBe('5m1s');
  expect(formatAge(undefined, 0)).toBe('<unknown>');
  expect(formatAge('nonsense', 0)).toBe('<unknown>');
});
