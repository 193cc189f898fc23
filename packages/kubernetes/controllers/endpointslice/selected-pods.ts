import { isDeepStrictEqual } from 'node:util';
import { keyOf, resources, type Pod, type Service } from '../../client/index.ts';
import type { ControllerContext } from '../machinery/controller.ts';
import { isFinished, isReady } from '../machinery/pods.ts';
import { selects } from './service-ports.ts';

/** The pods a service selects. */
export interface SelectedPods {
  selectedBy(service: Service): Pod[];
}

/** Calls `wake` with the key of every service whose endpoints a change of a pod or of the service itself may touch. */
export function followSelectedPods(
  context: ControllerContext,
  wake: (serviceKey: string) => void,
): SelectedPods {
  const pods = context.informers.of<Pod>(resources.pods);
  const services = context.informers.of<Service>(resources.services);
  services.onChange(({ key }) => wake(key));
  pods.onChange(({ old, current }) => {
    if (
      old !== undefined &&
      current !== undefined &&
      isDeepStrictEqual(endpointFacts(old), endpointFacts(current))
    )
      return;
    const namespace = (current ?? old)?.metadata.namespace ?? '';
    for (const service of services.byIndex('namespace', namespace)) {
      const selector = service.spec?.selector;
      if (selector === undefined || Object.keys(selector).length === 0) continue;
      const touched = [old, current].some(
        (pod) => pod !== undefined && selects(selector, pod.metadata.labels),
      );
      if (touched) wake(keyOf(service));
    }
  });
  return {
    selectedBy: (service) => {
      const selector = service.spec?.selector ?? {};
      if (Object.keys(selector).length === 0) return [];
      return pods
        .byIndex('namespace', service.metadata.namespace ?? '')
        .filter(({ metadata }) => selects(selector, metadata.labels))
        .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
    },
  };
}

function endpointFacts(pod: Pod): unknown {
  const { metadata, spec, status } = pod;
  return [
    metadata.labels,
    metadata.deletionTimestamp !== undefined,
    status?.podIP,
    isReady(pod),
    isFinished(pod),
    spec?.nodeName,
  ];
}
