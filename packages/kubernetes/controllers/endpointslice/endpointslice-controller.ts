import { isPlatformError } from '@hypernetes/foundation/errors';
import { keyOf, resources, type EndpointSlice, type Service } from '../../client/index.ts';
import { createQueue, type Controller, type ControllerContext } from '../machinery/controller.ts';
import { UnseenChanges } from '../machinery/unseen-changes.ts';
import { managedByLabel, managerName, planSlices, serviceNameLabel } from './endpointslice-plan.ts';
import { followSelectedPods } from './selected-pods.ts';

/** Keeps the EndpointSlices of every Service with a selector. */
export function startEndpointSliceController(context: ControllerContext): Controller {
  const { client, informers, clock } = context;
  const services = informers.of<Service>(resources.services);
  const slices = informers.of<EndpointSlice>(resources.endpointSlices);
  const unseen = new UnseenChanges(clock);
  const queue = createQueue(context, 'endpointslice', async (key) => {
    const service = services.get(key);
    const existing = slices
      .byIndex('service', key)
      .filter(({ metadata }) => metadata.labels?.[managedByLabel] === managerName);
    if (service === undefined) {
      // Without the service its slices go by garbage collection.
      unseen.forgetOwner(key);
      return undefined;
    }
    const alive = new Set(existing.map(({ metadata }) => metadata.uid ?? ''));
    if (!unseen.settled(key, alive, alive)) return { requeueAfterMs: 1_000 };
    const selector = selectorOf(service);
    if (selector === undefined) {
      // The selector was taken away: the endpoints are the user's from now on.
      return undefined;
    }
    const plan = planSlices(service, pods.selectedBy(service), existing);
    for (const slice of plan.update) await client.update(resources.endpointSlices, slice);
    for (const slice of plan.create) {
      const made = await client.create(resources.endpointSlices, slice);
      unseen.created(key, made.metadata.uid);
    }
    for (const { metadata } of plan.remove) {
      await client
        .delete(resources.endpointSlices, metadata, metadata.uid === undefined ? {} : { uid: metadata.uid })
        .catch((error: unknown) => {
          if (!isPlatformError(error, 'NotFound')) throw error;
        });
      unseen.deleted(key, metadata.uid);
    }
    return undefined;
  });
  const pods = followSelectedPods(context, (key) => queue.add(key));
  slices.onChange(({ old, current }) => {
    const { metadata } = current ?? old ?? { metadata: undefined };
    const service = metadata?.labels?.[serviceNameLabel];
    if (current === undefined) unseen.gone(old?.metadata.uid);
    if (service !== undefined)
      queue.add(keyOf({ metadata: { namespace: metadata?.namespace ?? '', name: service } }));
  });
  return queue;
}

/** The selector by which we choose endpoints; undefined for services whose endpoints are others' business. */
export function selectorOf({ spec }: Service): Readonly<Record<string, string>> | undefined {
  const selector = spec?.selector;
  if (selector === undefined || Object.keys(selector).length === 0 || spec?.type === 'ExternalName')
    return undefined;
  return selector;
}
