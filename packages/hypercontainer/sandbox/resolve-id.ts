import { PlatformError } from '@hypernetes/foundation/errors';

/** By identifier or unique prefix of one; undefined when there is none. Invalid when a prefix fits several. Pure. */
export function resolveById<T>(
  id: string,
  entries: readonly (readonly [string, T])[],
  what: string,
): T | undefined {
  if (id === '') return undefined;
  const exact = entries.find(([name]) => name === id);
  if (exact !== undefined) return exact[1];
  const [first, second] = entries.filter(([name]) => name.startsWith(id));
  if (second !== undefined)
    throw new PlatformError('Invalid', `${what} ${id} is ambiguous: several begin so`);
  return first?.[1];
}
