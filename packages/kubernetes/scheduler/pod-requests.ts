import type { Container, PodSpec } from 'kubernetes-types/core/v1';
import { parseQuantity, quantityToMilli, quantityToNumber } from '../api/index.ts';

/** Amounts by resource name: `cpu` in thousandths, all else in whole units (bytes, pieces). */
export type Amounts = Readonly<Record<string, number>>;

/** Quantities of an object (requests, allocatable, overhead) as numbers. One that cannot be parsed counts as none: the API refuses it. */
export function amountsOf(quantities: Readonly<Record<string, string | number>> | undefined): Amounts {
  const amounts: Record<string, number> = {};
  for (const [name, text] of Object.entries(quantities ?? {})) {
    try {
      const quantity = parseQuantity(text);
      amounts[name] = name === 'cpu' ? quantityToMilli(quantity) : quantityToNumber(quantity);
    } catch {
      amounts[name] = 0;
    }
  }
  return amounts;
}

/** Name by name, with a sign for the second. */
export function addAmounts(left: Amounts, right: Amounts, sign: 1 | -1 = 1): Amounts {
  const sum: Record<string, number> = { ...left };
  for (const [name, amount] of Object.entries(right)) sum[name] = (sum[name] ?? 0) + sign * amount;
  return sum;
}

function largerOf(left: Amounts, right: Amounts): Amounts {
  const larger: Record<string, number> = { ...left };
  for (const [name, amount] of Object.entries(right)) larger[name] = Math.max(larger[name] ?? 0, amount);
  return larger;
}

const isSidecar = (container: Container): boolean => container.restartPolicy === 'Always';

/**
 * What a pod asks of its node: the containers together or the largest init container, whichever is more (init containers that stay, as
 * sidecars, count with both), and the overhead of its runtime class.
 */
export function podRequests(spec: PodSpec): Amounts {
  let running: Amounts = {};
  for (const container of spec.containers)
    running = addAmounts(running, amountsOf(container.resources?.requests));
  let sidecars: Amounts = {};
  let starting: Amounts = {};
  for (const container of spec.initContainers ?? []) {
    const requests = amountsOf(container.resources?.requests);
    starting = largerOf(starting, addAmounts(requests, sidecars));
    if (isSidecar(container)) sidecars = addAmounts(sidecars, requests);
  }
  return addAmounts(largerOf(addAmounts(running, sidecars), starting), amountsOf(spec.overhead));
}
