import { keyOf, type KubeObject } from '../../client/index.ts';
import { createQueue, type Controller, type ControllerContext } from '../machinery/controller.ts';
import { ensureObject } from '../machinery/ensure-object.ts';
import { bootstrapObjects, type AdvertisedAddress } from './bootstrap-objects.ts';

/** Makes the objects every cluster has exist, and exist again should somebody delete them. */
export function startBootstrapController(
  context: ControllerContext,
  advertised: AdvertisedAddress | undefined,
): Controller {
  const { client, informers } = context;
  const wanted = new Map(
    bootstrapObjects(advertised).map((each) => [`${each.resource.plural}|${keyOf(each.object)}`, each]),
  );
  const queue = createQueue(context, 'bootstrap', async (key) => {
    const each = wanted.get(key);
    if (each === undefined) return undefined;
    const known = informers.of<KubeObject>(each.resource).get(keyOf(each.object));
    if (known === undefined || each.enforced) await ensureObject(client, each.resource, each.object, known);
    return undefined;
  });
  for (const { resource } of new Map(
    [...wanted.values()].map((each) => [each.resource.plural, each]),
  ).values()) {
    informers.of(resource).onChange(({ key }) => {
      const id = `${resource.plural}|${key}`;
      if (wanted.has(id)) queue.add(id);
    });
  }
  for (const key of wanted.keys()) queue.add(key);
  return queue;
}
