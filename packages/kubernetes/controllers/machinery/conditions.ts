import type { Condition } from '../../client/index.ts';

/** meta/v1 Time: whole seconds. */
export function formatTime(epochMs: number): string {
  return `${new Date(epochMs).toISOString().slice(0, 19)}Z`;
}

export function findCondition<T extends { type: string }>(
  conditions: readonly T[] | undefined,
  type: string,
): T | undefined {
  return conditions?.find((condition) => condition.type === type);
}

/** The list with this condition in it; its transition time moves only when its status does. */
export function withCondition(
  conditions: readonly Condition[] | undefined,
  wanted: Omit<Condition, 'lastTransitionTime'>,
  nowMs: number,
): Condition[] {
  const old = findCondition(conditions, wanted.type);
  const since = old?.status === wanted.status ? old.lastTransitionTime : undefined;
  const condition: Condition = { ...wanted, lastTransitionTime: since ?? formatTime(nowMs) };
  const list = [...(conditions ?? [])];
  const place = list.findIndex(({ type }) => type === wanted.type);
  if (place < 0) list.push(condition);
  else list[place] = condition;
  return list;
}
