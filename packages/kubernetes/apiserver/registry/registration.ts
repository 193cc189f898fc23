import type { Kind } from '../../api/index.ts';
import { storePrefix } from '../cache/resource-cache.ts';
import type { ColumnSet } from '../columns/column-set.ts';
import type { Strategy } from './strategy.ts';

/** One kind as this server serves it. */
export interface Registration {
  readonly kind: Kind;
  /** Where its objects are stored; another kind's place for kinds that only show them. */
  readonly prefix: string;
  readonly strategy: Strategy;
  readonly columns: ColumnSet;
}

/** Kinds that are answered, not stored (access reviews, token requests). */
export function isStored(kind: Kind): boolean {
  return kind.verbs.includes('get');
}

export function makeRegistration(kind: Kind, strategy: Strategy, columns: ColumnSet): Registration {
  return { kind, prefix: storePrefix(kind.storedAs ?? kind), strategy, columns };
}
