import { randomInt, randomUUID } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import type { ApiObject } from '../../api/index.ts';

// No vowels and no digits that look like letters, so that no words come out.
const suffixAlphabet = 'bcdfghjklmnpqrstvwxz2456789';
const maxGeneratedNameLength = 63;
const suffixLength = 5;

/** A name out of metadata.generateName: the prefix, cut so that the whole fits, and five random characters. */
export function generateName(prefix: string): string {
  const suffix = Array.from(
    { length: suffixLength },
    () => suffixAlphabet[randomInt(suffixAlphabet.length)],
  ).join('');
  return prefix.slice(0, maxGeneratedNameLength - suffixLength) + suffix;
}

/** Metadata that only the server sets, for a new object. */
export function stampNewObject(object: ApiObject, now: string): void {
  const { metadata } = object;
  delete metadata.resourceVersion;
  delete metadata.deletionTimestamp;
  delete metadata.deletionGracePeriodSeconds;
  delete metadata.generation;
  delete metadata['selfLink'];
  delete metadata['managedFields'];
  metadata.uid = randomUUID();
  metadata.creationTimestamp = now;
}

/** Takes over from the stored object what an update cannot change. */
export function keepSystemMetadata(object: ApiObject, old: ApiObject): void {
  const { metadata } = object;
  metadata.name = old.metadata.name ?? '';
  const kept = [
    'namespace',
    'uid',
    'creationTimestamp',
    'deletionTimestamp',
    'deletionGracePeriodSeconds',
    'generation',
    'generateName',
  ] as const;
  for (const field of kept) {
    if (old.metadata[field] === undefined) Reflect.deleteProperty(metadata, field);
    else Object.assign(metadata, { [field]: old.metadata[field] });
  }
  delete metadata['selfLink'];
  delete metadata['managedFields'];
}

/** Whether two states differ in nothing but their version. */
export function isSameState(left: ApiObject, right: ApiObject): boolean {
  const { resourceVersion: _left, ...leftMetadata } = left.metadata;
  const { resourceVersion: _right, ...rightMetadata } = right.metadata;
  return isDeepStrictEqual({ ...left, metadata: leftMetadata }, { ...right, metadata: rightMetadata });
}

/** Whether anything a generation counts has changed: everything but metadata and status. */
export function isSameDesire(left: ApiObject, right: ApiObject): boolean {
  const {
    metadata: _leftMetadata,
    status: _leftStatus,
    ...leftRest
  } = left as ApiObject & { status?: unknown };
  const {
    metadata: _rightMetadata,
    status: _rightStatus,
    ...rightRest
  } = right as ApiObject & { status?: unknown };
  return isDeepStrictEqual(leftRest, rightRest);
}
