import { qosClassOf } from '../containers/resource-amounts.ts';
import {
  isSidecar,
  type ContainerStatus,
  type Pod,
  type PodCondition,
  type PodStatus,
} from '../kube-types.ts';
import { findContainer, readySandbox, type PodRuntime } from '../runtime/pod-runtime.ts';
import { containerStatus, toTime, type ContainerStatusInput } from './container-status.ts';

export interface PodStatusInput extends Omit<ContainerStatusInput, 'initialized'> {
  readonly nowMs: number;
  readonly hostAddress: string;
  /** A phase decided from outside: rejected at admission, deadline exceeded. */
  readonly verdict?: { readonly phase: 'Failed'; readonly reason: string; readonly message: string };
}

type Phase = 'Pending' | 'Running' | 'Succeeded' | 'Failed';

/** The status of a pod from what is wanted, what runs and what was said before. Pure. */
export function podStatus(input: PodStatusInput): PodStatus {
  const { pod, runtime, verdict } = input;
  const old = pod.status ?? {};
  const initialized = isInitialized(pod, runtime, input.isStarted);
  const containerInput = { ...input, initialized };
  const containers = pod.spec.containers.map((each) => containerStatus(each, false, containerInput));
  const inits = (pod.spec.initContainers ?? []).map((each) => containerStatus(each, true, containerInput));
  const phase = verdict?.phase ?? stickyPhase(old.phase) ?? phaseOf(input, containers, inits, initialized);
  const addresses = runtime.sandboxes[0]?.addresses ?? [];
  const known = addresses.length > 0 ? addresses : (old.podIPs ?? []).map(({ ip }) => ip ?? '');
  const status: PodStatus = {
    phase,
    conditions: conditionsOf(input, { phase, initialized, containers, inits }),
    hostIP: input.hostAddress,
    hostIPs: [{ ip: input.hostAddress }],
    startTime: old.startTime ?? toTime(input.nowMs),
    qosClass: old.qosClass ?? qosClassOf(pod.spec),
    containerStatuses: containers,
    ...(inits.length === 0 ? {} : { initContainerStatuses: inits }),
    ...(known[0] === undefined ? {} : { podIP: known[0], podIPs: known.map((ip) => ({ ip })) }),
  };
  const reason = verdict?.reason ?? old.reason;
  const message = verdict?.message ?? old.message;
  if (reason !== undefined) status.reason = reason;
  if (message !== undefined) status.message = message;
  return status;
}

function stickyPhase(phase: string | undefined): Phase | undefined {
  return phase === 'Failed' || phase === 'Succeeded' ? phase : undefined;
}

/** Init containers are through: all have succeeded and sidecars have started, or a container proper already exists. */
export function isInitialized(
  pod: Pod,
  runtime: PodRuntime,
  isStarted: (containerId: string) => boolean,
): boolean {
  const sandboxId = runtime.sandboxes[0]?.id;
  const begun = pod.spec.containers.some(
    ({ name }) => findContainer(runtime, name)?.sandboxId === sandboxId && sandboxId !== undefined,
  );
  if (begun) return true;
  return (pod.spec.initContainers ?? []).every((container) => {
    const found = findContainer(runtime, container.name);
    if (isSidecar(container)) return found?.state === 'running' && isStarted(found.id);
    return found?.state === 'exited' && found.exitCode === 0;
  });
}

function phaseOf(
  input: PodStatusInput,
  containers: readonly ContainerStatus[],
  inits: readonly ContainerStatus[],
  initialized: boolean,
): Phase {
  const { pod, ending } = input;
  const policy = pod.spec.restartPolicy ?? 'Always';
  const exitCodes = containers.map(({ state }) => state?.terminated?.exitCode);
  const over = exitCodes.every((code) => code !== undefined);
  const sidecars = new Set((pod.spec.initContainers ?? []).filter(isSidecar).map(({ name }) => name));
  const sidecarRuns = inits.some(({ name, state }) => sidecars.has(name) && state?.running !== undefined);
  if (ending && over && !sidecarRuns) return exitCodes.every((code) => code === 0) ? 'Succeeded' : 'Failed';
  const initFailed = inits.some(
    ({ name, state }) => !sidecars.has(name) && (state?.terminated?.exitCode ?? 0) !== 0,
  );
  if (initFailed && policy === 'Never') return 'Failed';
  if (!initialized) return 'Pending';
  const anyRan = containers.some(
    ({ state, lastState }) =>
      state?.running !== undefined || state?.terminated !== undefined || lastState?.terminated !== undefined,
  );
  // A container that never ran keeps the pod Pending even beside others that do.
  const neverRan = containers.some(
    ({ state, lastState }) => state?.waiting !== undefined && lastState?.terminated === undefined,
  );
  return anyRan && !neverRan ? 'Running' : 'Pending';
}

interface ConditionFacts {
  readonly phase: Phase;
  readonly initialized: boolean;
  readonly containers: readonly ContainerStatus[];
  readonly inits: readonly ContainerStatus[];
}

interface Wanted {
  readonly type: string;
  readonly status: boolean;
  readonly reason?: string;
  readonly message?: string;
}

function conditionsOf(input: PodStatusInput, facts: ConditionFacts): PodCondition[] {
  const old = input.pod.status?.conditions ?? [];
  const sandbox = readySandbox(input.runtime);
  const ready = containersReady(input, facts);
  const wanted: Wanted[] = [
    { type: 'PodReadyToStartContainers', status: sandbox !== undefined && sandbox.addresses.length > 0 },
    initializedCondition(facts),
    podReady(input.pod, ready, old),
    ready,
  ];
  if (!old.some(({ type }) => type === 'PodScheduled')) wanted.push({ type: 'PodScheduled', status: true });
  const types = new Set(wanted.map(({ type }) => type));
  return [
    ...wanted.map((condition) => stamp(condition, old, input.nowMs)),
    ...old.filter(({ type }) => !types.has(type)),
  ];
}

/** A condition keeps its transition time as long as its status stays. */
function stamp(wanted: Wanted, old: readonly PodCondition[], nowMs: number): PodCondition {
  const before = old.find(({ type }) => type === wanted.type);
  const status = wanted.status ? 'True' : 'False';
  const lastTransitionTime =
    before?.status === status && before.lastTransitionTime !== undefined
      ? before.lastTransitionTime
      : toTime(nowMs);
  return {
    type: wanted.type,
    status,
    lastTransitionTime,
    ...(wanted.reason === undefined ? {} : { reason: wanted.reason }),
    ...(wanted.message === undefined ? {} : { message: wanted.message }),
  };
}

function initializedCondition({ phase, initialized, inits }: ConditionFacts): Wanted {
  if (phase === 'Succeeded') return { type: 'Initialized', status: true, reason: 'PodCompleted' };
  if (initialized) return { type: 'Initialized', status: true };
  const names = inits.filter(({ ready }) => !ready).map(({ name }) => name);
  return {
    type: 'Initialized',
    status: false,
    reason: 'ContainersNotInitialized',
    message: `containers with incomplete status: [${names.join(' ')}]`,
  };
}

function containersReady(input: PodStatusInput, facts: ConditionFacts): Wanted {
  const type = 'ContainersReady';
  if (facts.phase === 'Succeeded') return { type, status: false, reason: 'PodCompleted' };
  if (facts.phase === 'Failed') return { type, status: false, reason: 'PodFailed' };
  const sidecars = new Set((input.pod.spec.initContainers ?? []).filter(isSidecar).map(({ name }) => name));
  const unready = [...facts.inits.filter(({ name }) => sidecars.has(name)), ...facts.containers]
    .filter(({ ready }) => !ready)
    .map(({ name }) => name);
  if (unready.length === 0) return { type, status: true };
  return {
    type,
    status: false,
    reason: 'ContainersNotReady',
    message: `containers with unready status: [${unready.join(' ')}]`,
  };
}

function podReady(pod: Pod, containers: Wanted, conditions: readonly PodCondition[]): Wanted {
  const type = 'Ready';
  if (!containers.status) return { ...containers, type };
  const messages = (pod.spec.readinessGates ?? []).flatMap(({ conditionType }) => {
    const gate = conditions.find((condition) => condition.type === conditionType);
    if (gate === undefined) {
      return [`corresponding condition of pod readiness gate "${conditionType}" does not exist.`];
    }
    return gate.status === 'True'
      ? []
      : [`the status of pod readiness gate "${conditionType}" is not "True", but ${gate.status}`];
  });
  if (messages.length === 0) return { type, status: true };
  return { type, status: false, reason: 'ReadinessGatesNotReady', message: messages.join(', ') };
}

/** A merge patch that turns the old status into the new one; undefined when they are equal. */
export function statusPatch(
  old: PodStatus | undefined,
  status: PodStatus,
): Record<string, unknown> | undefined {
  const before = (old ?? {}) as Record<string, unknown>;
  const after = status as Record<string, unknown>;
  const patch: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(after)) {
    if (stable(before[key]) !== stable(value)) patch[key] = value;
  }
  return Object.keys(patch).length === 0 ? undefined : patch;
}

/** JSON with sorted keys, so that the order of a server does not look like a change; null counts as absent. */
function stable(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => {
    if (typeof inner !== 'object' || inner === null || Array.isArray(inner)) return inner ?? undefined;
    const entries = Object.entries(inner).filter(([, each]) => each !== null && each !== undefined);
    return Object.fromEntries(entries.sort(([left], [right]) => (left < right ? -1 : 1)));
  });
}
