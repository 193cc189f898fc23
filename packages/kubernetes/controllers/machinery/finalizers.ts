import type { KubeClient, KubeObject, Resource } from '../../client/index.ts';

async function writeFinalizers(
  client: KubeClient,
  resource: Resource,
  object: KubeObject,
  finalizers: readonly string[],
): Promise<void> {
  const { name, namespace, resourceVersion, uid } = object.metadata;
  // The version makes it a compare-and-swap: the list is written whole.
  await client.patch(resource, namespace === undefined ? { name } : { namespace, name }, 'merge', {
    metadata: { finalizers: finalizers.length === 0 ? null : finalizers, resourceVersion, uid },
  });
}

export function hasFinalizer(object: KubeObject, finalizer: string): boolean {
  return object.metadata.finalizers?.includes(finalizer) === true;
}

/** Throws Conflict when our copy of the object is old. */
export async function addFinalizer(
  client: KubeClient,
  resource: Resource,
  object: KubeObject,
  finalizer: string,
): Promise<void> {
  if (hasFinalizer(object, finalizer)) return;
  await writeFinalizers(client, resource, object, [...(object.metadata.finalizers ?? []), finalizer]);
}

/** Throws Conflict when our copy of the object is old. */
export async function removeFinalizer(
  client: KubeClient,
  resource: Resource,
  object: KubeObject,
  finalizer: string,
): Promise<void> {
  if (!hasFinalizer(object, finalizer)) return;
  const others = (object.metadata.finalizers ?? []).filter((name) => name !== finalizer);
  await writeFinalizers(client, resource, object, others);
}
