import { PlatformError } from '@hypernetes/foundation/errors';

/** An exact decimal amount: numerator / 10^9 units, as Kubernetes keeps at most nano precision. */
export interface Quantity {
  readonly nano: bigint;
  readonly format: 'DecimalSI' | 'BinarySI' | 'DecimalExponent';
}

/** `100m`, `1.5Gi`, `2e3`. Finer than nano is rounded up. Throws Invalid. */
export function parseQuantity(text: string | number): Quantity {
  throw new PlatformError('Unimplemented', `quantity ${text}: not there yet`);
}

/** Negative, zero or positive. */
export function compareQuantities(a: Quantity, b: Quantity): number {
  return a.nano < b.nano ? -1 : a.nano > b.nano ? 1 : 0;
}

export function addQuantities(a: Quantity, b: Quantity): Quantity {
  return { nano: a.nano + b.nano, format: a.nano === 0n ? b.format : a.format };
}

export function subtractQuantities(a: Quantity, b: Quantity): Quantity {
  return { nano: a.nano - b.nano, format: a.nano === 0n ? b.format : a.format };
}

/** Canonical text: `1500m`, `1536Mi`. */
export function formatQuantity(_quantity: Quantity): string {
  throw new PlatformError('Unimplemented', 'quantities: not there yet');
}

/** In whole units, rounded up (bytes, pods). */
export function quantityToNumber(quantity: Quantity): number {
  return Number(-(-quantity.nano / 1_000_000_000n));
}

/** In thousandths, rounded up (CPU). */
export function quantityToMilli(quantity: Quantity): number {
  return Number(-(-quantity.nano / 1_000_000n));
}
