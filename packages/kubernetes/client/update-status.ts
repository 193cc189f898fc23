import { isDeepStrictEqual } from 'node:util';
import { isPlatformError } from '@hypernetes/foundation/errors';
import type { KubeClient, KubeObject, ObjectKey, Resource } from './kube-client.ts';

const attemptsMax = 6;

/**
 * Reads the object, lets `change` answer the object with its new status (undefined: leave it) and writes the status subresource; after a
 * Conflict it starts again from a fresh copy. Writes nothing when nothing changed. Answers the object as it is then; NotFound passes through.
 */
export async function updateStatusWithRetry<T extends KubeObject>(
  client: KubeClient,
  resource: Resource,
  key: ObjectKey,
  change: (object: T) => T | undefined,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    const current = await client.get<T>(resource, key);
    const wanted = change(structuredClone(current));
    if (wanted === undefined || isDeepStrictEqual(wanted, current)) return current;
    try {
      return await client.update(resource, wanted, 'status');
    } catch (error) {
      if (!isPlatformError(error, 'Conflict') || attempt >= attemptsMax) throw error;
    }
  }
}
