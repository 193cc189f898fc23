import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { PodTemplateSpec } from 'kubernetes-types/core/v1';

export const hashLabel = 'pod-template-hash';
/** Letters and digits that make no words and are not mistaken for one another. */
const alphabet = 'bcdfghjklmnpqrstvwxz2456789';
const hashCharacters = 10;

function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical);
  if (typeof value !== 'object' || value === null) return value;
  const fields = value as Readonly<Record<string, unknown>>;
  const sorted = Object.keys(fields).toSorted();
  return Object.fromEntries(
    sorted.filter((key) => fields[key] !== undefined).map((key) => [key, canonical(fields[key])]),
  );
}

/** A short name for a pod template; `salt` tells apart templates whose names would be the same. */
export function templateHash(template: PodTemplateSpec, salt: string): string {
  const digest = createHash('sha256')
    .update(JSON.stringify(canonical(template)))
    .update(salt)
    .digest();
  return [...digest.subarray(0, hashCharacters)]
    .map((byte) => alphabet[byte % alphabet.length] ?? '')
    .join('');
}

/** The same template, not looking at the hash label. */
export function sameTemplate(left: PodTemplateSpec | undefined, right: PodTemplateSpec | undefined): boolean {
  const stripped = (template: PodTemplateSpec | undefined): unknown => {
    const { [hashLabel]: _hash, ...labels } = template?.metadata?.labels ?? {};
    const { creationTimestamp: _time, ...metadata } = template?.metadata ?? {};
    return canonical({ ...template, metadata: { ...metadata, labels } });
  };
  return isDeepStrictEqual(stripped(left), stripped(right));
}
