import type { HostPort, NodeInfo, PodInfo } from './cluster-snapshot.ts';
import { matchesNodeAffinity } from './node-affinity.ts';
import { untolerated } from './taints.ts';

/** Why a pod does not fit a node, in the words people search for; none: it fits. */
export type Filter = (pod: PodInfo, node: NodeInfo) => readonly string[];

const unschedulableTaint = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' };

const nodeUnschedulable: Filter = ({ pod }, { node }) => {
  const tolerated = untolerated([unschedulableTaint], pod.spec?.tolerations, ['NoSchedule']).length === 0;
  return node.spec?.unschedulable === true && !tolerated ? ['node(s) were unschedulable'] : [];
};

const nodeName: Filter = ({ pod }, { node }) => {
  const wanted = pod.spec?.nodeName;
  return wanted === undefined || wanted === '' || wanted === node.metadata.name
    ? []
    : ["node(s) didn't match the requested node name"];
};

const taints: Filter = ({ pod }, { node }) => {
  const [taint] = untolerated(node.spec?.taints, pod.spec?.tolerations, ['NoSchedule', 'NoExecute']);
  return taint === undefined ? [] : [`node(s) had untolerated taint {${taint.key}: ${taint.value ?? ''}}`];
};

const nodeAffinity: Filter = ({ pod }, { node }) =>
  pod.spec === undefined || matchesNodeAffinity(pod.spec, node)
    ? []
    : ["node(s) didn't match Pod's node affinity/selector"];

function portsClash(left: HostPort, right: HostPort): boolean {
  const anyAddress = left.address === '0.0.0.0' || right.address === '0.0.0.0';
  return (
    left.port === right.port &&
    left.protocol === right.protocol &&
    (anyAddress || left.address === right.address)
  );
}

const hostPorts: Filter = ({ hostPorts: wanted }, { pods }) => {
  if (wanted.length === 0) return [];
  for (const other of pods.values()) {
    for (const taken of other.hostPorts) {
      if (wanted.some((port) => portsClash(port, taken))) {
        return ["node(s) didn't have free ports for the requested pod ports"];
      }
    }
  }
  return [];
};

const resources: Filter = ({ requests }, { allocatable, requested, pods }) => {
  const reasons: string[] = [];
  if (pods.size + 1 > (allocatable['pods'] ?? 110)) reasons.push('Too many pods');
  for (const [name, amount] of Object.entries(requests)) {
    if (amount > 0 && amount > (allocatable[name] ?? 0) - (requested[name] ?? 0))
      reasons.push(`Insufficient ${name}`);
  }
  return reasons;
};

/** In this order; the first that refuses speaks. */
export const filters: readonly Filter[] = [
  nodeUnschedulable,
  nodeName,
  taints,
  nodeAffinity,
  hostPorts,
  resources,
];
