import { describe, expect, it } from 'vitest';
import {
  checkCount,
  checkPort,
  checkSize,
  checkText,
  checkUserId,
  optionalIdentifier,
  requireIdentifier,
} from './validation.ts';

const invalid: unknown = expect.objectContaining({ reason: 'Invalid' });

describe('identifiers', () => {
  it.each(['default', '651b2a7b-683e-47e1-bdd6-e3c62e8f91c0', 'a', 'A.b_c-9'])('takes %s', (value) => {
    expect(requireIdentifier('uid', value)).toBe(value);
  });
  it.each(['', '-a', 'a-', '../etc', 'a/b', 'a b', 'a\n', 'a;b', '$(x)', 'é', 'a'.repeat(129)])(
    'refuses %j',
    (value) => {
      expect(() => requireIdentifier('uid', value)).toThrow(invalid);
    },
  );
  it('may be left out where that has a meaning', () => {
    expect(optionalIdentifier('tenant_id', '')).toBe('');
    expect(() => optionalIdentifier('tenant_id', '..')).toThrow(invalid);
  });
});

describe('values', () => {
  it.each([
    ['control characters', () => checkText('name', 'a\u0000b')],
    ['a long text', () => checkText('name', 'a'.repeat(513))],
    ['too many entries', () => checkCount('list', [1, 2, 3], 2)],
    ['the user id that means none', () => checkUserId('uid', 0xffffffff)],
    ['port 0', () => checkPort('port', 0)],
    ['port 65536', () => checkPort('port', 65_536)],
    ['a negative size', () => checkSize('size', -1n)],
    ['a size beyond exact numbers', () => checkSize('size', 2n ** 53n)],
  ])('refuses %s', (_what, check) => {
    expect(check).toThrow(invalid);
  });
  it('takes what is in range', () => {
    expect(checkSize('size', 1n << 40n)).toBe(2 ** 40);
    expect(checkUserId('uid', 0)).toBe(0);
    expect(checkPort('port', 65_535)).toBe(65_535);
  });
});
