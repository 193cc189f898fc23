import type { NodeCondition, Taint } from 'kubernetes-types/core/v1';
import type { Node } from '../../client/index.ts';
import { formatTime } from '../machinery/conditions.ts';

/** A node whose lease was not renewed for so long is taken for lost. */
export const leaseGraceMs = 40_000;
const notReadyKey = 'node.kubernetes.io/not-ready';
const unreachableKey = 'node.kubernetes.io/unreachable';
const watchedConditions = ['Ready', 'MemoryPressure', 'DiskPressure', 'PIDPressure'];

export type NodeHealth = 'ready' | 'not-ready' | 'unreachable';

/** The node with what is known about it: Ready Unknown and the taints of its state. Undefined: it says all that already. */
export function withHealth(
  node: Node,
  health: NodeHealth,
  options: { readonly evict: boolean; readonly nowMs: number },
): Node | undefined {
  const { nowMs, evict } = options;
  const conditions = health === 'unreachable' ? unknownConditions(node, nowMs) : node.status?.conditions;
  const taints = wantedTaints(node, health, evict, nowMs);
  const sameTaints = JSON.stringify(taints) === JSON.stringify(node.spec?.taints ?? []);
  if (sameTaints && conditions === node.status?.conditions) return undefined;
  return {
    ...node,
    spec: { ...node.spec, taints },
    status: { ...node.status, ...(conditions === undefined ? {} : { conditions }) },
  };
}

function unknownConditions(node: Node, nowMs: number): NodeCondition[] | undefined {
  const known = node.status?.conditions ?? [];
  const stale = watchedConditions.filter(
    (type) => known.find((each) => each.type === type)?.status !== 'Unknown',
  );
  if (stale.length === 0) return node.status?.conditions;
  const others = known.filter(({ type }) => !stale.includes(type));
  return [
    ...others,
    ...stale.map((type) => {
      const last = known.find((each) => each.type === type)?.lastHeartbeatTime;
      return {
        type,
        status: 'Unknown',
        reason: last === undefined ? 'NodeStatusNeverUpdated' : 'NodeStatusUnknown',
        message:
          last === undefined ? 'Kubelet never posted node status.' : 'Kubelet stopped posting node status.',
        lastTransitionTime: formatTime(nowMs),
        ...(last === undefined ? {} : { lastHeartbeatTime: last }),
      };
    }),
  ];
}

function wantedTaints(node: Node, health: NodeHealth, evict: boolean, nowMs: number): Taint[] {
  const present = node.spec?.taints ?? [];
  const keys = new Set([notReadyKey, unreachableKey]);
  const others = present.filter(({ key }) => !keys.has(key));
  if (health === 'ready') return others.length === present.length ? present : others;
  const key = health === 'not-ready' ? notReadyKey : unreachableKey;
  const effects = evict ? ['NoSchedule', 'NoExecute'] : ['NoSchedule'];
  const wanted = effects.map(
    (effect) =>
      present.find((taint) => taint.key === key && taint.effect === effect) ?? {
        key,
        effect,
        ...(effect === 'NoExecute' ? { timeAdded: formatTime(nowMs) } : {}),
      },
  );
  return [...others, ...wanted];
}

/** What the node says of itself, if its word still counts. */
export function healthOf(node: Node, lastSignMs: number, nowMs: number): NodeHealth {
  if (nowMs - lastSignMs > leaseGraceMs) return 'unreachable';
  return node.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true
    ? 'ready'
    : 'not-ready';
}
