import { PlatformError } from '@hypernetes/foundation/errors';

/** An exact amount in billionths, the finest step Kubernetes keeps; the format decides how it is printed. */
export interface Quantity {
  readonly nano: bigint;
  readonly format: QuantityFormat;
}

export type QuantityFormat = 'DecimalSI' | 'BinarySI' | 'DecimalExponent';

const nanoPerUnit = 1_000_000_000n;
/** Amounts are capped here, as in Kubernetes: 2^63 - 1 units. */
const nanoMax = (2n ** 63n - 1n) * nanoPerUnit;

/** Powers of ten of the decimal suffixes. */
const decimalSuffixes: ReadonlyMap<string, number> = new Map([
  ['n', -9],
  ['u', -6],
  ['m', -3],
  ['', 0],
  ['k', 3],
  ['M', 6],
  ['G', 9],
  ['T', 12],
  ['P', 15],
  ['E', 18],
]);

/** Powers of two of the binary suffixes. */
const binarySuffixes: ReadonlyMap<string, number> = new Map([
  ['Ki', 10],
  ['Mi', 20],
  ['Gi', 30],
  ['Ti', 40],
  ['Pi', 50],
  ['Ei', 60],
]);

const shape = /^([+-]?)(\d*)(?:\.(\d*))?(?:([eE][+-]?\d{1,3})|([A-Za-z]{0,2}))$/;
const rule = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";

/** `100m`, `1.5Gi`, `2e3`. What is finer than a billionth is rounded away from zero. Throws Invalid. */
export function parseQuantity(text: string | number): Quantity {
  const quantity = tryParseQuantity(String(text));
  if (quantity === undefined) {
    throw new PlatformError('Invalid', `quantity ${JSON.stringify(text)}: ${rule}`);
  }
  return quantity;
}

/** The same, undefined when it is not a quantity. */
export function tryParseQuantity(text: string): Quantity | undefined {
  const match = text.length > 64 ? null : shape.exec(text);
  if (match === null) return undefined;
  const [, sign = '', whole = '', fraction = '', exponent, suffix = ''] = match;
  if (whole === '' && fraction === '') return undefined;
  const scale = scaleOf(exponent, suffix);
  if (scale === undefined) return undefined;
  const digits = BigInt(whole + fraction);
  const magnitude = scaled(digits, scale, fraction.length);
  const capped = magnitude > nanoMax ? nanoMax : magnitude;
  return { nano: sign === '-' ? -capped : capped, format: scale.format };
}

interface Scale {
  readonly base: bigint;
  readonly power: number;
  readonly format: QuantityFormat;
}

function scaleOf(exponent: string | undefined, suffix: string): Scale | undefined {
  if (exponent !== undefined) {
    return { base: 10n, power: Number(exponent.slice(1)), format: 'DecimalExponent' };
  }
  const decimal = decimalSuffixes.get(suffix);
  if (decimal !== undefined) return { base: 10n, power: decimal, format: 'DecimalSI' };
  const binary = binarySuffixes.get(suffix);
  return binary === undefined ? undefined : { base: 2n, power: binary, format: 'BinarySI' };
}

/** digits * 10^-fractionDigits * base^power in billionths, rounded up. */
function scaled(digits: bigint, scale: Scale, fractionDigits: number): bigint {
  let numerator = digits * nanoPerUnit;
  let denominator = 10n ** BigInt(fractionDigits);
  if (scale.power >= 0) numerator *= scale.base ** BigInt(scale.power);
  else denominator *= scale.base ** BigInt(-scale.power);
  return ceilDivide(numerator, denominator);
}

function ceilDivide(numerator: bigint, denominator: bigint): bigint {
  const quotient = numerator / denominator;
  return numerator % denominator > 0n ? quotient + 1n : quotient;
}

/** Negative, zero or positive. */
export function compareQuantities(a: Quantity, b: Quantity): number {
  return a.nano < b.nano ? -1 : a.nano > b.nano ? 1 : 0;
}

/** The sum in the format of the first, unless that is zero. */
export function addQuantities(a: Quantity, b: Quantity): Quantity {
  return { nano: a.nano + b.nano, format: a.nano === 0n ? b.format : a.format };
}

/** The difference in the format of the first, unless that is zero. */
export function subtractQuantities(a: Quantity, b: Quantity): Quantity {
  return { nano: a.nano - b.nano, format: a.nano === 0n ? b.format : a.format };
}

/** Canonical text: the largest suffix that leaves no fraction: `1500m`, `1536Mi`, `12e3`. */
export function formatQuantity(quantity: Quantity): string {
  const { nano, format } = quantity;
  if (nano === 0n) return '0';
  if (format === 'BinarySI' && isWhole(nano) && magnitude(nano) >= 1024n * nanoPerUnit) {
    return formatBinary(nano / nanoPerUnit);
  }
  return formatDecimal(nano, format === 'DecimalExponent');
}

const isWhole = (nano: bigint): boolean => nano % nanoPerUnit === 0n;
const magnitude = (nano: bigint): bigint => (nano < 0n ? -nano : nano);

function formatBinary(units: bigint): string {
  for (const [suffix, power] of [...binarySuffixes].reverse()) {
    const size = 2n ** BigInt(power);
    if (units % size === 0n) return `${units / size}${suffix}`;
  }
  return `${units}`;
}

function formatDecimal(nano: bigint, withExponent: boolean): string {
  for (const [suffix, power] of [...decimalSuffixes].reverse()) {
    const size = 10n ** BigInt(power + 9);
    if (nano % size !== 0n) continue;
    if (!withExponent) return `${nano / size}${suffix}`;
    return power === 0 ? `${nano / size}` : `${nano / size}e${power}`;
  }
  return `${nano}n`;
}

/** In whole units, rounded up (bytes, pods). */
export function quantityToNumber(quantity: Quantity): number {
  return Number(ceilDivide(quantity.nano, nanoPerUnit));
}

/** In thousandths, rounded up (CPU). */
export function quantityToMilli(quantity: Quantity): number {
  return Number(ceilDivide(quantity.nano, 1_000_000n));
}
