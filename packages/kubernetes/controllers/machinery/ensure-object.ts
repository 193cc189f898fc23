import { isDeepStrictEqual } from 'node:util';
import { isPlatformError } from '@hypernetes/foundation/errors';
import type { KubeClient, KubeObject, Resource } from '../../client/index.ts';

/** Creates the object; one of that name that is there already is success, and left as it is. Answers whether it was made. */
export async function createIfAbsent(
  client: KubeClient,
  resource: Resource,
  object: KubeObject,
): Promise<boolean> {
  try {
    await client.create(resource, object);
    return true;
  } catch (error) {
    if (isPlatformError(error, 'AlreadyExists')) return false;
    throw error;
  }
}

/** Makes the object exist with these fields; what else it has stays. `known` is our copy of it, if there is one. */
export async function ensureObject<T extends KubeObject>(
  client: KubeClient,
  resource: Resource,
  wanted: T,
  known: T | undefined,
): Promise<void> {
  if (known === undefined) {
    if (await createIfAbsent(client, resource, wanted)) return;
    const { namespace, name } = wanted.metadata;
    const current = await client.get<T>(resource, namespace === undefined ? { name } : { namespace, name });
    await ensureObject(client, resource, wanted, current);
    return;
  }
  const merged = {
    ...known,
    ...wanted,
    metadata: {
      ...known.metadata,
      labels: { ...known.metadata.labels, ...wanted.metadata.labels },
      annotations: { ...known.metadata.annotations, ...wanted.metadata.annotations },
    },
  };
  if (Object.keys(merged.metadata.labels).length === 0)
    delete (merged.metadata as KubeObject['metadata']).labels;
  if (Object.keys(merged.metadata.annotations).length === 0) {
    delete (merged.metadata as KubeObject['metadata']).annotations;
  }
  if (!isDeepStrictEqual({ ...merged, apiVersion: '', kind: '' }, { ...known, apiVersion: '', kind: '' })) {
    await client.update(resource, merged);
  }
}
