import type { Condition, KubeObject } from '../../client/index.ts';
import { withCondition } from '../machinery/conditions.ts';

/** What is left of one resource in a namespace. */
export interface Remainder {
  /** As in messages: 'pods.', 'deployments.apps'. */
  readonly resource: string;
  readonly objects: readonly KubeObject[];
}

export interface ContentState {
  readonly remainders: readonly Remainder[];
  readonly discoveryFailure?: string;
  readonly deletionFailures: readonly string[];
}

/** The conditions of a namespace that is being deleted, in the words of Kubernetes (namespace conditions). */
export function namespaceConditions(
  known: readonly Condition[] | undefined,
  { remainders, discoveryFailure, deletionFailures }: ContentState,
  nowMs: number,
): Condition[] {
  const set = (
    conditions: readonly Condition[] | undefined,
    type: string,
    trouble: readonly [reason: string, message: string] | undefined,
    fine: readonly [reason: string, message: string],
  ): Condition[] => {
    const [reason, message] = trouble ?? fine;
    return withCondition(
      conditions,
      { type, status: trouble === undefined ? 'False' : 'True', reason, message },
      nowMs,
    );
  };
  const left = remainders.filter(({ objects }) => objects.length > 0);
  const finalizers = new Map<string, number>();
  for (const { objects } of left) {
    for (const { metadata } of objects) {
      for (const name of metadata.finalizers ?? []) finalizers.set(name, (finalizers.get(name) ?? 0) + 1);
    }
  }
  const count = (name: string, n: number): string => `${name} has ${n} resource instances`;
  let conditions = set(
    known,
    'NamespaceDeletionDiscoveryFailure',
    discoveryFailure === undefined ? undefined : ['DiscoveryFailed', discoveryFailure],
    ['ResourcesDiscovered', 'All resources successfully discovered'],
  );
  conditions = set(conditions, 'NamespaceDeletionGroupVersionParsingFailure', undefined, [
    'ParsedGroupVersions',
    'All legacy kube types successfully parsed',
  ]);
  conditions = set(
    conditions,
    'NamespaceDeletionContentFailure',
    deletionFailures.length === 0 ? undefined : ['ContentDeletionFailed', deletionFailures.join('; ')],
    ['ContentDeleted', 'All content successfully deleted, may be waiting on finalization'],
  );
  conditions = set(
    conditions,
    'NamespaceContentRemaining',
    left.length === 0
      ? undefined
      : [
          'SomeResourcesRemain',
          `Some resources are remaining: ${left.map(({ resource, objects }) => count(resource, objects.length)).join(', ')}`,
        ],
    ['ContentRemoved', 'All content successfully removed'],
  );
  return set(
    conditions,
    'NamespaceFinalizersRemaining',
    finalizers.size === 0
      ? undefined
      : [
          'SomeFinalizersRemain',
          `Some content in the namespace has finalizers remaining: ${[...finalizers].map(([name, n]) => `${name} in ${n} resource instances`).join(', ')}`,
        ],
    ['ContentHasNoFinalizers', 'All content-preserving finalizers finished'],
  );
}
