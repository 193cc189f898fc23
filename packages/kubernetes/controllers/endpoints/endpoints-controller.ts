import { isDeepStrictEqual } from 'node:util';
import { isPlatformError } from '@hypernetes/foundation/errors';
import { parseKey, resources, type Endpoints, type Service } from '../../client/index.ts';
import { headlessLabel, isHeadless } from '../endpointslice/endpointslice-plan.ts';
import { selectorOf } from '../endpointslice/endpointslice-controller.ts';
import { followSelectedPods } from '../endpointslice/selected-pods.ts';
import { createQueue, type Controller, type ControllerContext } from '../machinery/controller.ts';
import { createIfAbsent } from '../machinery/ensure-object.ts';
import { planSubsets } from './endpoints-plan.ts';

const manager = 'endpoints.kubernetes.io/managed-by';
const managerName = 'endpoints-controller';

/** Keeps the Endpoints object of every Service with a selector, for those who still read it. */
export function startEndpointsController(context: ControllerContext): Controller {
  const { client, informers } = context;
  const services = informers.of<Service>(resources.services);
  const endpoints = informers.of<Endpoints>(resources.endpoints);
  const queue = createQueue(context, 'endpoints', async (key) => {
    const service = services.get(key);
    const known = endpoints.get(key);
    if (service === undefined) {
      if (known?.metadata.labels?.[manager] === managerName) await remove(key);
      return undefined;
    }
    if (selectorOf(service) === undefined) return undefined;
    const subsets = planSubsets(service, pods.selectedBy(service));
    const labels = {
      ...service.metadata.labels,
      [manager]: managerName,
      ...(isHeadless(service) ? { [headlessLabel]: '' } : {}),
    };
    const { name, namespace = '' } = service.metadata;
    if (known === undefined) {
      await createIfAbsent(client, resources.endpoints, {
        metadata: { name, namespace, labels },
        subsets,
      } as Endpoints);
    } else if (
      !isDeepStrictEqual(known.subsets ?? [], subsets) ||
      !isDeepStrictEqual(known.metadata.labels, labels)
    ) {
      await client.update(resources.endpoints, {
        ...known,
        metadata: { ...known.metadata, labels },
        subsets,
      });
    }
    return undefined;
  });
  const remove = async (key: string): Promise<void> => {
    await client.delete(resources.endpoints, parseKey(key)).catch((error: unknown) => {
      if (!isPlatformError(error, 'NotFound')) throw error;
    });
  };
  const pods = followSelectedPods(context, (key) => queue.add(key));
  endpoints.onChange(({ key }) => queue.add(key));
  return queue;
}
