import type { ServicePort } from 'kubernetes-types/core/v1';
import type { Pod } from '../../client/index.ts';

/** A port as it is on a pod: named target ports may differ from pod to pod. */
export interface ResolvedPort {
  readonly name: string;
  readonly protocol: string;
  readonly port: number;
  readonly appProtocol?: string;
}

/** The number a service's port has on this pod; undefined: the pod has no port of that name. */
function targetPortOf(pod: Pod, { targetPort, port, protocol }: ServicePort): number | undefined {
  if (targetPort === undefined || targetPort === '') return port;
  if (typeof targetPort === 'number') return targetPort === 0 ? port : targetPort;
  for (const container of pod.spec?.containers ?? []) {
    for (const candidate of container.ports ?? []) {
      if (candidate.name === targetPort && (candidate.protocol ?? 'TCP') === (protocol ?? 'TCP')) {
        return candidate.containerPort;
      }
    }
  }
  return undefined;
}

/** All ports of a service on one pod; those the pod does not have are left out. */
export function resolvePorts(pod: Pod, ports: readonly ServicePort[]): ResolvedPort[] {
  const resolved: ResolvedPort[] = [];
  for (const each of ports) {
    const port = targetPortOf(pod, each);
    if (port === undefined) continue;
    resolved.push({
      name: each.name ?? '',
      protocol: each.protocol ?? 'TCP',
      port,
      ...(each.appProtocol === undefined ? {} : { appProtocol: each.appProtocol }),
    });
  }
  return resolved;
}

/** Whether labels match a service's selector (all of it; services select by equality only). */
export function selects(
  selector: Readonly<Record<string, string>>,
  labels: Readonly<Record<string, string>> | undefined,
): boolean {
  return Object.entries(selector).every(([key, value]) => labels?.[key] === value);
}
