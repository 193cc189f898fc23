import type { NodeInfo, PodInfo } from './cluster-snapshot.ts';
import { preferenceOf } from './node-affinity.ts';
import { podPreferenceOf, type NamespaceLabels } from './pod-affinity.ts';
import type { Amounts } from './pod-requests.ts';
import { untolerated } from './taints.ts';

/** What a pod that asks for nothing is taken to need, so that such pods spread too. */
const leastRequests: Amounts = { cpu: 100, memory: 200 << 20 };
const scoreMax = 100;

function fractions(
  { requests }: PodInfo,
  { allocatable, requested, pods }: NodeInfo,
): { cpu: number; memory: number } {
  const fraction = (name: 'cpu' | 'memory'): number => {
    const capacity = allocatable[name] ?? 0;
    if (capacity === 0) return 1;
    const least = leastRequests[name] ?? 0;
    let used =
      Math.max(requests[name] ?? 0, requests[name] === undefined ? least : 0) + (requested[name] ?? 0);
    for (const other of pods.values()) if (other.requests[name] === undefined) used += least;
    return Math.min(1, used / capacity);
  };
  return { cpu: fraction('cpu'), memory: fraction('memory') };
}

function leastAllocated(pod: PodInfo, node: NodeInfo): number {
  const { cpu, memory } = fractions(pod, node);
  return ((1 - cpu + (1 - memory)) / 2) * scoreMax;
}

function balancedAllocation(pod: PodInfo, node: NodeInfo): number {
  const { cpu, memory } = fractions(pod, node);
  return (1 - Math.abs(cpu - memory) / 2) * scoreMax;
}

/** Stretches raw scores to 0..100; `reverse`: less is better. */
function normalise(raw: readonly number[], reverse: boolean): number[] {
  const low = Math.min(...raw);
  const high = Math.max(...raw);
  return raw.map((score) => {
    if (high === low) return reverse ? scoreMax : 0;
    const share = (score - low) / (high - low);
    return (reverse ? 1 - share : share) * scoreMax;
  });
}

/** A score per node that passed the filters, in the order given; the largest wins. */
export function scoreNodes(
  pod: PodInfo,
  feasible: readonly NodeInfo[],
  all: readonly NodeInfo[],
  labelsOf: NamespaceLabels,
): number[] {
  const spec = pod.pod.spec;
  const hates = feasible.map(
    ({ node }) => untolerated(node.spec?.taints, spec?.tolerations, ['PreferNoSchedule']).length,
  );
  const likes = feasible.map(({ node }) => (spec === undefined ? 0 : preferenceOf(spec, node)));
  const company = feasible.map((node) => podPreferenceOf(pod.pod, node, all, labelsOf));
  const taintScores = normalise(hates, true);
  const affinityScores = normalise(likes, false);
  const companyScores = normalise(company, false);
  return feasible.map(
    (node, i) =>
      leastAllocated(pod, node) +
      balancedAllocation(pod, node) +
      3 * (taintScores[i] ?? 0) +
      2 * (affinityScores[i] ?? 0) +
      2 * (companyScores[i] ?? 0),
  );
}
