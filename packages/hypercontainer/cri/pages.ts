/** Items per message of the streaming list calls. */
export const itemsPerPage = 100;

/** Cuts a list for a streaming list call; an empty list is no message at all. */
export function* pages<T>(items: readonly T[]): Generator<T[]> {
  for (let at = 0; at < items.length; at += itemsPerPage) yield items.slice(at, at + itemsPerPage);
}
