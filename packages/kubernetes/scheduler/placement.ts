import type { NodeInfo, PodInfo } from './cluster-snapshot.ts';
import { filters } from './filters.ts';
import { podAffinityFilter, type NamespaceLabels } from './pod-affinity.ts';
import { scoreNodes } from './scores.ts';

export type Placement =
  | { readonly kind: 'node'; readonly name: string }
  | { readonly kind: 'unschedulable'; readonly message: string };

/** `0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable.` */
function explain(total: number, reasonsByNode: readonly (readonly string[])[]): string {
  const counts = new Map<string, number>();
  for (const reasons of reasonsByNode) {
    for (const reason of reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  const parts = [...counts].map(([reason, count]) => `${count} ${reason}`).sort();
  return `0/${total} nodes are available: ${parts.join(', ')}.`;
}

/** Decides where a pod goes: filters, then scores; equals go to the node with fewer pods, then by name. */
export function placePod(
  pod: PodInfo,
  nodes: readonly NodeInfo[],
  labelsOf: NamespaceLabels = () => undefined,
): Placement {
  if (nodes.length === 0) return { kind: 'unschedulable', message: 'no nodes available to schedule pods' };
  const affinity = podAffinityFilter(pod.pod, nodes, labelsOf);
  const feasible: NodeInfo[] = [];
  const refusals: (readonly string[])[] = [];
  for (const node of nodes) {
    const reasons = refusalOf(pod, node, affinity);
    if (reasons.length === 0) feasible.push(node);
    else refusals.push(reasons);
  }
  if (feasible.length === 0) return { kind: 'unschedulable', message: explain(nodes.length, refusals) };
  const scores = scoreNodes(pod, feasible, nodes, labelsOf);
  const ranked = feasible
    .map((node, i) => ({ node, score: scores[i] ?? 0 }))
    .sort(
      (a, b) =>
        b.score - a.score ||
        a.node.pods.size - b.node.pods.size ||
        a.node.node.metadata.name.localeCompare(b.node.node.metadata.name),
    );
  return { kind: 'node', name: ranked[0]?.node.node.metadata.name ?? '' };
}

function refusalOf(
  pod: PodInfo,
  node: NodeInfo,
  affinity: (node: NodeInfo) => string | undefined,
): readonly string[] {
  for (const filter of filters) {
    const reasons = filter(pod, node);
    if (reasons.length > 0) return reasons;
  }
  const reason = affinity(node);
  return reason === undefined ? [] : [reason];
}
