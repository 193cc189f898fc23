import type { ContainerStatus, Pod } from 'kubernetes-types/core/v1';
import { ageColumn, ageOf, columnSet, nameColumn, none, orNone } from './column-set.ts';

interface Summary {
  readonly ready: number;
  readonly total: number;
  readonly status: string;
  readonly restarts: number;
  readonly lastRestart: string | undefined;
}

interface Count {
  restarts: number;
  lastRestart: string | undefined;
}

function isConditionTrue(pod: Pod, type: string): boolean {
  return (
    pod.status?.conditions?.some((condition) => condition.type === type && condition.status === 'True') ===
    true
  );
}

function count(counted: Count, status: ContainerStatus): void {
  counted.restarts += status.restartCount;
  const finished = status.lastState?.terminated?.finishedAt;
  if (finished !== undefined && (counted.lastRestart ?? '') < finished) counted.lastRestart = finished;
}

function endedBecause(state: {
  readonly reason?: string;
  readonly signal?: number;
  readonly exitCode: number;
}): string {
  if (state.reason !== undefined && state.reason !== '') return state.reason;
  return (state.signal ?? 0) !== 0 ? `Signal:${state.signal ?? 0}` : `ExitCode:${state.exitCode}`;
}

interface InitProgress {
  /** What the pod waits for, undefined when its init containers are through. */
  readonly reason: string | undefined;
  readonly ready: number;
  readonly counted: Count;
  /** Restarts of init containers that go on running beside the others. */
  readonly sidecars: Count;
}

function initProgress(pod: Pod): InitProgress {
  const specs = new Map((pod.spec?.initContainers ?? []).map((container) => [container.name, container]));
  const counted: Count = { restarts: 0, lastRestart: undefined };
  const sidecars: Count = { restarts: 0, lastRestart: undefined };
  let ready = 0;
  for (const [index, status] of (pod.status?.initContainerStatuses ?? []).entries()) {
    const isSidecar = specs.get(status.name)?.restartPolicy === 'Always';
    count(counted, status);
    if (isSidecar) count(sidecars, status);
    const { terminated, waiting } = status.state ?? {};
    if (terminated?.exitCode === 0) continue;
    if (isSidecar && status.started === true) {
      if (status.ready) ready++;
      continue;
    }
    const waits =
      waiting?.reason !== undefined && waiting.reason !== '' && waiting.reason !== 'PodInitializing';
    const reason =
      terminated !== undefined
        ? `Init:${endedBecause(terminated)}`
        : waits
          ? `Init:${waiting.reason ?? ''}`
          : `Init:${index}/${specs.size}`;
    return { reason, ready, counted, sidecars };
  }
  return { reason: undefined, ready, counted, sidecars };
}

function runningReason(pod: Pod, before: string): { reason: string; ready: number; counted: Count } {
  const counted: Count = { restarts: 0, lastRestart: undefined };
  let reason = before;
  let ready = 0;
  let running = false;
  for (const status of [...(pod.status?.containerStatuses ?? [])].reverse()) {
    count(counted, status);
    const { waiting, terminated, running: runs } = status.state ?? {};
    if (waiting?.reason !== undefined && waiting.reason !== '') reason = waiting.reason;
    else if (terminated !== undefined) reason = endedBecause(terminated);
    else if (status.ready && runs !== undefined) {
      running = true;
      ready++;
    }
  }
  // One container done while another runs is a running pod.
  if (reason === 'Completed' && running) reason = isConditionTrue(pod, 'Ready') ? 'Running' : 'NotReady';
  return { reason, ready, counted };
}

function firstReason(pod: Pod): string {
  const gated = pod.status?.conditions?.some(
    (condition) => condition.type === 'PodScheduled' && condition.reason === 'SchedulingGated',
  );
  if (gated === true) return 'SchedulingGated';
  const reason = pod.status?.reason ?? '';
  return reason === '' ? (pod.status?.phase ?? 'Unknown') : reason;
}

function deletedReason(pod: Pod, reason: string): string {
  if (pod.metadata?.deletionTimestamp === undefined) return reason;
  if (pod.status?.reason === 'NodeLost') return 'Unknown';
  const ended = pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
  return ended ? reason : 'Terminating';
}

/** The one word kubectl shows for a pod, with the counts beside it. */
export function summarizePod(pod: Pod): Summary {
  const init = initProgress(pod);
  const sidecarCount = (pod.spec?.initContainers ?? []).filter(
    (container) => container.restartPolicy === 'Always',
  ).length;
  const total = (pod.spec?.containers.length ?? 0) + sidecarCount;
  if (init.reason !== undefined && !isConditionTrue(pod, 'Initialized')) {
    return { ready: init.ready, total, status: deletedReason(pod, init.reason), ...init.counted };
  }
  const main = runningReason(pod, init.reason ?? firstReason(pod));
  return {
    ready: init.ready + main.ready,
    total,
    status: deletedReason(pod, main.reason),
    restarts: init.sidecars.restarts + main.counted.restarts,
    lastRestart: [init.sidecars.lastRestart, main.counted.lastRestart]
      .filter((time) => time !== undefined)
      .sort()
      .at(-1),
  };
}

function readinessGates(pod: Pod): string {
  const gates = pod.spec?.readinessGates ?? [];
  if (gates.length === 0) return none;
  const open = gates.filter((gate) => isConditionTrue(pod, gate.conditionType)).length;
  return `${open}/${gates.length}`;
}

function restartsOf(pod: Pod, now: number): string {
  const { restarts, lastRestart } = summarizePod(pod);
  const when = restarts > 0 && lastRestart !== undefined ? ` (${ageOf(lastRestart, now)} ago)` : '';
  return `${restarts}${when}`;
}

export const podColumns = columnSet<Pod>(
  nameColumn,
  [
    'Ready',
    (pod) => {
      const { ready, total } = summarizePod(pod);
      return `${ready}/${total}`;
    },
  ],
  ['Status', (pod) => summarizePod(pod).status],
  ['Restarts', restartsOf],
  ageColumn,
  ['IP', (pod) => orNone(pod.status?.podIPs?.[0]?.ip ?? pod.status?.podIP), { wide: true }],
  ['Node', (pod) => orNone(pod.spec?.nodeName), { wide: true }],
  ['Nominated Node', (pod) => orNone(pod.status?.nominatedNodeName), { wide: true }],
  ['Readiness Gates', readinessGates, { wide: true }],
);
