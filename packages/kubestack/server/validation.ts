import { PlatformError } from '@hypernetes/foundation/errors';
import type { PodReference as PodReferenceMessage } from '@hypernetes/proto/kubestack';
import type { PodReference } from '../provider-api/index.ts';

// What peers may send, at most. The socket is root's alone, but what comes through it was typed by users of the Kubernetes API.
const identifierPattern = /^[A-Za-z0-9]([A-Za-z0-9._-]{0,126}[A-Za-z0-9])?$/;
const nameLengthMax = 512;

function refuse(field: string, why: string): never {
  throw new PlatformError('Invalid', `${field}: ${why}`);
}

/** A key chosen by a caller: uid, sandbox or tenant id. */
export function requireIdentifier(field: string, value: string): string {
  if (value === '') refuse(field, 'is missing');
  if (!identifierPattern.test(value)) {
    refuse(field, `"${value.slice(0, 64)}": must be 1 to 128 letters, digits, "-", "_" and "."`);
  }
  return value;
}

/** requireIdentifier, or empty. */
export function optionalIdentifier(field: string, value: string): string {
  return value === '' ? '' : requireIdentifier(field, value);
}

/** Text for people: printable, bounded, may be empty. */
export function checkText(field: string, value: string): string {
  if (value.length > nameLengthMax) refuse(field, `is longer than ${nameLengthMax} characters`);
  // eslint-disable-next-line no-control-regex -- control characters are what is looked for
  if (/[\u0000-\u001f\u007f]/.test(value)) refuse(field, 'has control characters');
  return value;
}

/** checkText, not empty. */
export function requireText(field: string, value: string): string {
  if (value === '') refuse(field, 'is missing');
  return checkText(field, value);
}

/** A list of at most so many entries. */
export function checkCount<T>(field: string, values: readonly T[], max: number): readonly T[] {
  if (values.length > max) refuse(field, `has ${values.length} entries, more than ${max}`);
  return values;
}

/** A user id Linux knows; 0xffffffff means "no change" to chown(2) and is none. */
export function checkUserId(field: string, value: number): number {
  if (!Number.isInteger(value) || value < 0 || value >= 0xffffffff) refuse(field, `${value}: is no user id`);
  return value;
}

export function checkPort(field: string, value: number): number {
  if (!Number.isInteger(value) || value < 1 || value > 65_535) refuse(field, `${value}: is no port number`);
  return value;
}

/** A 64-bit number that also fits where ours are kept. */
export function checkSize(field: string, value: bigint): number {
  if (value < 0n || value > BigInt(Number.MAX_SAFE_INTEGER))
    refuse(field, `${value.toString()}: is out of range`);
  return Number(value);
}

export function toPodReference(pod: PodReferenceMessage | undefined): PodReference | undefined {
  if (pod === undefined) return undefined;
  return {
    namespace: checkText('pod.namespace', pod.namespace),
    name: checkText('pod.name', pod.name),
    uid: checkText('pod.uid', pod.uid),
  };
}
