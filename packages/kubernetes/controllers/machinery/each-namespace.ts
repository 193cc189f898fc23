import { resources, type KubeObject, type Namespace, type Resource } from '../../client/index.ts';
import { createQueue, type Controller, type ControllerContext } from './controller.ts';

/** A controller that keeps one object of a fixed name in every namespace that is not being deleted. */
export function startInEachNamespace(
  context: ControllerContext,
  name: string,
  target: { readonly resource: Resource; readonly name: string },
  sync: (namespace: Namespace, known: KubeObject | undefined) => Promise<void>,
): Controller {
  const namespaces = context.informers.of<Namespace>(resources.namespaces);
  const objects = context.informers.of<KubeObject>(target.resource);
  const queue = createQueue(context, name, async (key) => {
    const namespace = namespaces.get(key);
    if (namespace === undefined || namespace.metadata.deletionTimestamp !== undefined) return undefined;
    await sync(namespace, objects.get(`${key}/${target.name}`));
    return undefined;
  });
  namespaces.onChange(({ key }) => queue.add(key));
  objects.onChange(({ key }) => {
    const slash = key.indexOf('/');
    if (key.slice(slash + 1) === target.name) queue.add(key.slice(0, slash));
  });
  return queue;
}
