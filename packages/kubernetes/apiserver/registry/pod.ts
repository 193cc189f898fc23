import type { Container, Pod, ResourceRequirements } from 'kubernetes-types/core/v1';
import { compareQuantities, parseQuantity, type ApiObject } from '../../api/index.ts';
import type { Strategy } from './strategy.ts';

type QosClass = 'Guaranteed' | 'Burstable' | 'BestEffort';
type Amounts = Readonly<Record<string, string | number>>;

const countedResources = ['cpu', 'memory'] as const;
const defaultGraceSeconds = 30;

function isPositive(amount: string | number | undefined): boolean {
  return amount !== undefined && parseQuantity(amount).nano > 0n;
}

function sameAmounts({ requests, limits }: ResourceRequirements): boolean {
  return countedResources.every((name) => {
    const limit = (limits as Amounts | undefined)?.[name];
    const request = (requests as Amounts | undefined)?.[name] ?? limit;
    return (
      limit !== undefined &&
      request !== undefined &&
      isPositive(limit) &&
      compareQuantities(parseQuantity(limit), parseQuantity(request)) === 0
    );
  });
}

function asksForSomething({ requests, limits }: ResourceRequirements): boolean {
  return countedResources.some(
    (name) =>
      isPositive((requests as Amounts | undefined)?.[name]) ||
      isPositive((limits as Amounts | undefined)?.[name]),
  );
}

/** The quality of service class (Kubernetes, "Pod Quality of Service Classes"). */
export function qosClassOf(pod: Pod): QosClass {
  const containers: readonly Container[] = [
    ...(pod.spec?.containers ?? []),
    ...(pod.spec?.initContainers ?? []),
  ];
  const resources = containers.map((container) => container.resources ?? {});
  if (!resources.some(asksForSomething)) return 'BestEffort';
  return resources.every(sameAmounts) ? 'Guaranteed' : 'Burstable';
}

function hasEnded(pod: Pod): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
}

function gracePeriodSeconds(object: ApiObject, requested: number | undefined): number {
  const pod = object as unknown as Pod;
  // Nobody has to stop what runs nowhere.
  if ((pod.spec?.nodeName ?? '') === '' || hasEnded(pod)) return 0;
  return Math.max(0, requested ?? pod.spec?.terminationGracePeriodSeconds ?? defaultGraceSeconds);
}

export const podStrategy: Strategy = {
  prepareForCreate: (object) => {
    object['status'] = { phase: 'Pending', qosClass: qosClassOf(object as unknown as Pod) };
  },
  gracePeriodSeconds,
  metadataThroughStatus: true,
  answersDeleted: true,
};
