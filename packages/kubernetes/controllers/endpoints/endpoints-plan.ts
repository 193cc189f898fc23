import type { EndpointAddress, EndpointSubset } from 'kubernetes-types/core/v1';
import type { Pod, Service } from '../../client/index.ts';
import { endpointOf } from '../endpointslice/endpointslice-plan.ts';
import { resolvePorts, type ResolvedPort } from '../endpointslice/service-ports.ts';

/** An Endpoints object names no more addresses than this (core/v1 Endpoints, over-capacity annotation). */
const addressesMax = 1_000;

/** The subsets of a legacy Endpoints object: pods with the same ports together, ready ones apart from those that are not. */
export function planSubsets(service: Service, pods: readonly Pod[]): EndpointSubset[] {
  const groups = new Map<
    string,
    { ports: readonly ResolvedPort[]; ready: EndpointAddress[]; notReady: EndpointAddress[] }
  >();
  let total = 0;
  for (const pod of pods) {
    const endpoint = endpointOf(service, pod);
    // This older kind has no word for terminating: such pods are left out, as it always did.
    if (
      endpoint === undefined ||
      (endpoint.conditions?.terminating === true && endpoint.conditions.ready !== true)
    )
      continue;
    const ports = resolvePorts(pod, service.spec?.ports ?? []);
    if ((ports.length === 0 && (service.spec?.ports ?? []).length > 0) || total >= addressesMax) continue;
    total += 1;
    const key = JSON.stringify(ports);
    const group = groups.get(key) ?? { ports, ready: [], notReady: [] };
    const { hostname, nodeName, targetRef } = endpoint;
    const address: EndpointAddress = {
      ip: endpoint.addresses[0] ?? '',
      ...(hostname === undefined ? {} : { hostname }),
      ...(nodeName === undefined ? {} : { nodeName }),
      ...(targetRef === undefined ? {} : { targetRef }),
    };
    (endpoint.conditions?.ready === true ? group.ready : group.notReady).push(address);
    groups.set(key, group);
  }
  return [...groups.values()].map(({ ports, ready, notReady }) => ({
    ...(ready.length === 0 ? {} : { addresses: ready.sort(byAddress) }),
    ...(notReady.length === 0 ? {} : { notReadyAddresses: notReady.sort(byAddress) }),
    ...(ports.length === 0
      ? {}
      : { ports: ports.map(({ name, ...port }) => (name === '' ? port : { name, ...port })) }),
  }));
}

function byAddress(a: EndpointAddress, b: EndpointAddress): number {
  return a.ip < b.ip ? -1 : a.ip > b.ip ? 1 : 0;
}
