import { isDeepStrictEqual } from 'node:util';
import type { Endpoint } from 'kubernetes-types/discovery/v1';
import type { EndpointSlice, Pod, Service } from '../../client/index.ts';
import { isFinished, isReady } from '../machinery/pods.ts';
import { resolvePorts, type ResolvedPort } from './service-ports.ts';

export const managedByLabel = 'endpointslice.kubernetes.io/managed-by';
export const managerName = 'endpointslice-controller.k8s.io';
export const serviceNameLabel = 'kubernetes.io/service-name';
export const headlessLabel = 'service.kubernetes.io/headless';
const endpointsPerSliceMax = 100;

export interface SlicePlan {
  readonly create: readonly EndpointSlice[];
  readonly update: readonly EndpointSlice[];
  readonly remove: readonly EndpointSlice[];
}

export function isHeadless({ spec }: Service): boolean {
  return spec?.clusterIP === 'None';
}

/** A pod as an endpoint of the service; undefined: it has no address (yet), or will never answer again. */
export function endpointOf(service: Service, pod: Pod): Endpoint | undefined {
  const address = pod.status?.podIP;
  if (address === undefined || address === '' || isFinished(pod)) return undefined;
  const serving = isReady(pod);
  const terminating = pod.metadata.deletionTimestamp !== undefined;
  const ready = service.spec?.publishNotReadyAddresses === true || (serving && !terminating);
  const { hostname, subdomain, nodeName } = pod.spec ?? {};
  const named = hostname !== undefined && hostname !== '' && subdomain === service.metadata.name;
  return {
    addresses: [address],
    conditions: { ready, serving, terminating },
    ...(named ? { hostname } : {}),
    ...(nodeName === undefined ? {} : { nodeName }),
    targetRef: {
      kind: 'Pod',
      namespace: pod.metadata.namespace ?? '',
      name: pod.metadata.name,
      ...(pod.metadata.uid === undefined ? {} : { uid: pod.metadata.uid }),
    },
  };
}

const idOf = ({ targetRef, addresses }: Endpoint): string => targetRef?.uid ?? addresses.join();
const portsKey = (ports: readonly unknown[] | null | undefined): string => JSON.stringify(ports ?? []);

function desiredByPorts(
  service: Service,
  pods: readonly Pod[],
): Map<string, { ports: readonly ResolvedPort[]; endpoints: Map<string, Endpoint> }> {
  const wanted = new Map<string, { ports: readonly ResolvedPort[]; endpoints: Map<string, Endpoint> }>();
  for (const pod of pods) {
    const endpoint = endpointOf(service, pod);
    if (endpoint === undefined) continue;
    const ports = resolvePorts(pod, service.spec?.ports ?? []);
    // A service that has ports, none of them on this pod: the pod is no endpoint of it.
    if (ports.length === 0 && (service.spec?.ports ?? []).length > 0) continue;
    const key = portsKey(ports);
    const group = wanted.get(key) ?? { ports, endpoints: new Map<string, Endpoint>() };
    group.endpoints.set(idOf(endpoint), endpoint);
    wanted.set(key, group);
  }
  return wanted;
}

function labelsOf(service: Service): Record<string, string> {
  return {
    ...service.metadata.labels,
    [serviceNameLabel]: service.metadata.name,
    [managedByLabel]: managerName,
    ...(isHeadless(service) ? { [headlessLabel]: '' } : {}),
  };
}

function normalisedPorts(slice: EndpointSlice): readonly ResolvedPort[] {
  return (slice.ports ?? []).map(({ name, protocol, port, appProtocol }) => ({
    name: name ?? '',
    protocol: protocol ?? 'TCP',
    port: port ?? 0,
    ...(appProtocol === undefined ? {} : { appProtocol }),
  }));
}

function newSlice(service: Service, ports: readonly ResolvedPort[], endpoints: Endpoint[]): EndpointSlice {
  const { name, namespace = '', uid = '' } = service.metadata;
  return {
    metadata: {
      // The server makes the name: only generateName is sent.
      name: '',
      generateName: `${name}-`,
      namespace,
      labels: labelsOf(service),
      ownerReferences: [
        { apiVersion: 'v1', kind: 'Service', name, uid, controller: true, blockOwnerDeletion: true },
      ],
    },
    addressType: 'IPv4',
    endpoints,
    ports: ports.map((port) => ({ ...port })),
  };
}

/**
 * The slices of a service with as few writes as can be: an endpoint stays in the slice it is in, new ones fill slices with room, empty slices
 * go. `existing` are the slices this controller made for the service.
 */
export function planSlices(
  service: Service,
  pods: readonly Pod[],
  existing: readonly EndpointSlice[],
): SlicePlan {
  const create: EndpointSlice[] = [];
  const update: EndpointSlice[] = [];
  const remove: EndpointSlice[] = [];
  const wanted = desiredByPorts(service, pods);
  const byPorts = new Map<string, EndpointSlice[]>();
  for (const slice of existing) {
    const key = portsKey(normalisedPorts(slice));
    if (slice.addressType !== 'IPv4' || !wanted.has(key)) remove.push(slice);
    else byPorts.set(key, [...(byPorts.get(key) ?? []), slice]);
  }
  for (const [key, { ports, endpoints }] of wanted) {
    const missing = new Map(endpoints);
    const kept = (byPorts.get(key) ?? []).map((slice) => {
      const stay: Endpoint[] = [];
      for (const endpoint of slice.endpoints) {
        const current = missing.get(idOf(endpoint));
        if (current === undefined) continue;
        missing.delete(idOf(endpoint));
        stay.push(current);
      }
      return { slice, stay };
    });
    const left = [...missing.values()];
    for (const { slice, stay } of kept) {
      stay.push(...left.splice(0, Math.max(0, endpointsPerSliceMax - stay.length)));
      if (stay.length === 0) {
        remove.push(slice);
        continue;
      }
      const labels = labelsOf(service);
      if (!isDeepStrictEqual(stay, slice.endpoints) || !isDeepStrictEqual(labels, slice.metadata.labels)) {
        update.push({ ...slice, metadata: { ...slice.metadata, labels }, endpoints: stay });
      }
    }
    while (left.length > 0) create.push(newSlice(service, ports, left.splice(0, endpointsPerSliceMax)));
  }
  return { create, update, remove };
}
