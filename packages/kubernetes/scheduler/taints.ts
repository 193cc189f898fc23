import type { Taint, Toleration } from 'kubernetes-types/core/v1';

/** Whether one toleration covers the taint (core/v1 Toleration). */
export function tolerates(toleration: Toleration, taint: Taint): boolean {
  if (toleration.effect !== undefined && toleration.effect !== '' && toleration.effect !== taint.effect)
    return false;
  const anyKey = toleration.key === undefined || toleration.key === '';
  if (!anyKey && toleration.key !== taint.key) return false;
  if (toleration.operator === 'Exists') return true;
  return !anyKey && (toleration.value ?? '') === (taint.value ?? '');
}

/** The taints with one of these effects that no toleration covers. */
export function untolerated(
  taints: readonly Taint[] | undefined,
  tolerations: readonly Toleration[] | undefined,
  effects: readonly string[],
): Taint[] {
  return (taints ?? []).filter(
    (taint) =>
      effects.includes(taint.effect) &&
      !(tolerations ?? []).some((toleration) => tolerates(toleration, taint)),
  );
}
