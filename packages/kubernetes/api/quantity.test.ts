import { describe, expect, test } from 'vitest';
import {
  addQuantities,
  compareQuantities,
  formatQuantity,
  parseQuantity,
  quantityToMilli,
  quantityToNumber,
  subtractQuantities,
  tryParseQuantity,
} from './quantity.ts';

describe('quantities', () => {
  test.each([
    ['0', '0'],
    ['0Gi', '0'],
    ['1', '1'],
    ['+1', '1'],
    ['-1.5', '-1500m'],
    ['0.5', '500m'],
    ['.5', '500m'],
    ['1.', '1'],
    ['100m', '100m'],
    ['1000m', '1'],
    ['1500m', '1500m'],
    ['1000', '1k'],
    ['1024', '1024'],
    ['1000k', '1M'],
    ['1.5Gi', '1536Mi'],
    ['1024Mi', '1Gi'],
    ['1023Mi', '1023Mi'],
    ['512Ki', '512Ki'],
    ['0.5Ki', '512'],
    ['0.0001Ki', '102400u'],
    ['2e3', '2e3'],
    ['12E2', '1200'],
    ['1e-3', '1e-3'],
    ['1n', '1n'],
    ['0.1n', '1n'],
    ['-0.1n', '-1n'],
    ['64Ei', '9223372036854775807'],
    ['123456789', '123456789'],
    ['1E', '1E'],
    ['5Ti', '5Ti'],
  ])('%s is printed as %s', (text, canonical) => {
    expect(formatQuantity(parseQuantity(text))).toBe(canonical);
  });

  test.each(['', ' 1', '1 ', '1KB', '1ki', '1e', 'e3', 'Mi', '1.2.3', '--1', '1mm', '0x10', '1e1000', '.'])(
    '%j is refused',
    (text) => {
      expect(tryParseQuantity(text)).toBeUndefined();
      expect(() => parseQuantity(text)).toThrow(/must match the regular expression/);
    },
  );

  test('the canonical text means the same amount and is canonical itself', () => {
    for (let n = 1; n < 4_000; n++) {
      const suffix = ['', 'm', 'k', 'M', 'Ki', 'Mi', 'Gi', 'e2', 'u', 'e-2'][n % 10] ?? '';
      const quantity = parseQuantity(`${n % 7 === 0 ? '-' : ''}${n / 8}${suffix}`);
      const text = formatQuantity(quantity);
      const again = parseQuantity(text);
      expect(again.nano).toBe(quantity.nano);
      expect(formatQuantity(again)).toBe(text);
    }
  });

  test('sums are exact', () => {
    const tenth = parseQuantity('0.1');
    const sum = addQuantities(addQuantities(tenth, tenth), tenth);
    expect(compareQuantities(sum, parseQuantity('300m'))).toBe(0);
    expect(formatQuantity(subtractQuantities(parseQuantity('1Gi'), parseQuantity('1Mi')))).toBe('1023Mi');
    expect(formatQuantity(addQuantities(parseQuantity('0'), parseQuantity('1Gi')))).toBe('1Gi');
    expect(compareQuantities(parseQuantity('1G'), parseQuantity('1Gi'))).toBe(-1);
    expect(compareQuantities(parseQuantity('2'), parseQuantity('1999m'))).toBe(1);
  });

  test('numbers are rounded up', () => {
    expect(quantityToNumber(parseQuantity('1.5Gi'))).toBe(1610612736);
    expect(quantityToNumber(parseQuantity('1m'))).toBe(1);
    expect(quantityToMilli(parseQuantity('0.1'))).toBe(100);
    expect(quantityToMilli(parseQuantity('1u'))).toBe(1);
    expect(quantityToMilli(parseQuantity(2))).toBe(2000);
  });
});
