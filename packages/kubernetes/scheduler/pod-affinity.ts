import type { PodAffinityTerm } from 'kubernetes-types/core/v1';
import { matchesLabelSelector } from '../api/index.ts';
import type { Pod } from '../client/index.ts';
import type { NodeInfo } from './cluster-snapshot.ts';

/** Labels of the namespaces, for terms with a namespaceSelector. */
export type NamespaceLabels = (namespace: string) => Readonly<Record<string, string>> | undefined;

/** Whether `candidate` is a pod the term of `owner` speaks of. */
export function termSelects(
  term: PodAffinityTerm,
  owner: Pod,
  candidate: Pod,
  labelsOf: NamespaceLabels,
): boolean {
  const namespace = candidate.metadata.namespace ?? '';
  const named = term.namespaces ?? [];
  const bySelector =
    term.namespaceSelector !== undefined &&
    matchesLabelSelector(term.namespaceSelector, labelsOf(namespace) ?? {});
  const ownOnly = named.length === 0 && term.namespaceSelector === undefined;
  const rightNamespace = ownOnly
    ? namespace === owner.metadata.namespace
    : named.includes(namespace) || bySelector;
  return rightNamespace && matchesLabelSelector(term.labelSelector, candidate.metadata.labels ?? {});
}

function topologyOf(node: NodeInfo, key: string): string | undefined {
  return node.node.metadata.labels?.[key];
}

const requiredAffinity = (pod: Pod): readonly PodAffinityTerm[] =>
  pod.spec?.affinity?.podAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
const requiredAntiAffinity = (pod: Pod): readonly PodAffinityTerm[] =>
  pod.spec?.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [];

/** Topology values, per term, in which a selected pod runs. */
function occupied(
  term: PodAffinityTerm,
  pod: Pod,
  nodes: readonly NodeInfo[],
  labelsOf: NamespaceLabels,
): Set<string> {
  const values = new Set<string>();
  for (const node of nodes) {
    const value = topologyOf(node, term.topologyKey);
    if (value === undefined || values.has(value)) continue;
    for (const { pod: other } of node.pods.values()) {
      if (termSelects(term, pod, other, labelsOf)) {
        values.add(value);
        break;
      }
    }
  }
  return values;
}

export const podAffinityReasons = {
  affinity: "node(s) didn't match pod affinity rules",
  antiAffinity: "node(s) didn't match pod anti-affinity rules",
  existingAntiAffinity: "node(s) didn't satisfy existing pods anti-affinity rules",
} as const;

/** A filter for one pod: works out once which places its rules, and those of running pods, allow; then asks node by node. */
export function podAffinityFilter(
  pod: Pod,
  nodes: readonly NodeInfo[],
  labelsOf: NamespaceLabels,
): (node: NodeInfo) => string | undefined {
  const wanted = requiredAffinity(pod).map((term) => {
    const values = occupied(term, pod, nodes, labelsOf);
    // The first pod of a group that wants to be together with itself must be able to start somewhere.
    const first = values.size === 0 && termSelects(term, pod, pod, labelsOf);
    return { key: term.topologyKey, values, first };
  });
  const unwanted = requiredAntiAffinity(pod).map((term) => ({
    key: term.topologyKey,
    values: occupied(term, pod, nodes, labelsOf),
  }));
  const forbidden = forbiddenByOthers(pod, nodes, labelsOf);
  return (node) => {
    for (const { key, values, first } of wanted) {
      const value = topologyOf(node, key);
      if (value === undefined || (!values.has(value) && !first)) return podAffinityReasons.affinity;
    }
    for (const { key, values } of unwanted) {
      const value = topologyOf(node, key);
      if (value !== undefined && values.has(value)) return podAffinityReasons.antiAffinity;
    }
    for (const [key, values] of forbidden) {
      const value = topologyOf(node, key);
      if (value !== undefined && values.has(value)) return podAffinityReasons.existingAntiAffinity;
    }
    return undefined;
  };
}

function forbiddenByOthers(
  pod: Pod,
  nodes: readonly NodeInfo[],
  labelsOf: NamespaceLabels,
): Map<string, Set<string>> {
  const forbidden = new Map<string, Set<string>>();
  for (const node of nodes) {
    for (const { pod: other } of node.pods.values()) {
      for (const term of requiredAntiAffinity(other)) {
        const value = topologyOf(node, term.topologyKey);
        if (value === undefined || !termSelects(term, other, pod, labelsOf)) continue;
        const values = forbidden.get(term.topologyKey) ?? new Set<string>();
        values.add(value);
        forbidden.set(term.topologyKey, values);
      }
    }
  }
  return forbidden;
}

/** Preferred terms of the pod on a node: weights for, minus weights against, per pod selected in the node's place. */
export function podPreferenceOf(
  pod: Pod,
  node: NodeInfo,
  nodes: readonly NodeInfo[],
  labelsOf: NamespaceLabels,
): number {
  const affinity = pod.spec?.affinity;
  const weigh = (
    terms: readonly { weight: number; podAffinityTerm: PodAffinityTerm }[] | undefined,
  ): number => {
    let sum = 0;
    for (const { weight, podAffinityTerm: term } of terms ?? []) {
      const place = topologyOf(node, term.topologyKey);
      if (place === undefined) continue;
      for (const other of nodes) {
        if (topologyOf(other, term.topologyKey) !== place) continue;
        for (const info of other.pods.values()) if (termSelects(term, pod, info.pod, labelsOf)) sum += weight;
      }
    }
    return sum;
  };
  return (
    weigh(affinity?.podAffinity?.preferredDuringSchedulingIgnoredDuringExecution) -
    weigh(affinity?.podAntiAffinity?.preferredDuringSchedulingIgnoredDuringExecution)
  );
}
