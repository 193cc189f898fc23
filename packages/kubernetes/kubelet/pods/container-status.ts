import type { Container, ContainerState, ContainerStatus, Pod } from '../kube-types.ts';
import {
  findContainer,
  findPreviousContainer,
  type PodRuntime,
  type RuntimeContainer,
} from '../runtime/pod-runtime.ts';
import { restartDelayS } from './restart-delay.ts';

/** Why a container does not run, as kubectl shows it. */
export interface Waiting {
  readonly reason: string;
  readonly message?: string;
}

export interface ContainerStatusInput {
  readonly pod: Pod;
  readonly runtime: PodRuntime;
  /** By container name: what keeps it from being started. */
  readonly waiting: ReadonlyMap<string, Waiting>;
  /** By container name: waits for its restart delay. */
  readonly backOff: ReadonlyMap<string, number>;
  readonly isStarted: (containerId: string) => boolean;
  readonly isReady: (containerId: string) => boolean;
  /** By container id: what the process left as its last words. */
  readonly lastWords: ReadonlyMap<string, string>;
  /** Nothing will be started any more. */
  readonly ending: boolean;
  readonly initialized: boolean;
}

/** RFC 3339 with whole seconds, as meta/v1 Time. */
export function toTime(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');
}

/** The status of one container, init or not. */
export function containerStatus(
  container: Container,
  isInit: boolean,
  input: ContainerStatusInput,
): ContainerStatus {
  const found = findContainer(input.runtime, container.name);
  const previous = findPreviousContainer(input.runtime, container.name);
  const state = stateOf(container, isInit, found, input);
  // What waits to be started again has its last end to show.
  const last = state.waiting === undefined ? previous : (exitedOrNone(found) ?? previous);
  const running = found?.state === 'running' && state.running !== undefined;
  const started = running && input.isStarted(found.id);
  const succeeded = isInit && found?.state === 'exited' && found.exitCode === 0;
  return {
    name: container.name,
    state,
    lastState: last?.state === 'exited' ? { terminated: terminated(last, input) } : {},
    ready: succeeded || (running && input.isReady(found.id)),
    restartCount: found?.attempt ?? 0,
    image: container.image ?? found?.image ?? '',
    imageID: found?.imageRef ?? '',
    ...(found === undefined ? {} : { containerID: `hyperd://${found.id}` }),
    started,
  };
}

function exitedOrNone(container: RuntimeContainer | undefined): RuntimeContainer | undefined {
  return container?.state === 'exited' ? container : undefined;
}

function stateOf(
  container: Container,
  isInit: boolean,
  found: RuntimeContainer | undefined,
  input: ContainerStatusInput,
): ContainerState {
  const waiting = input.waiting.get(container.name);
  if (found?.state === 'running') return { running: { startedAt: toTime(found.startedAtMs) } };
  if (found?.state === 'exited') {
    if (input.backOff.has(container.name)) return { waiting: crashLoop(container, found, input.pod) };
    if (waiting !== undefined && !input.ending) return { waiting };
    return { terminated: terminated(found, input) };
  }
  if (input.ending && found === undefined) {
    return {
      terminated: {
        exitCode: 137,
        reason: 'ContainerStatusUnknown',
        message: 'The container could not be located when the pod was terminated',
      },
    };
  }
  if (waiting !== undefined) return { waiting };
  const beforeInit = !isInit && !input.initialized;
  return { waiting: { reason: beforeInit || isInit ? 'PodInitializing' : 'ContainerCreating' } };
}

function crashLoop(container: Container, exited: RuntimeContainer, pod: Pod): Waiting {
  const { name, namespace, uid } = pod.metadata;
  return {
    reason: 'CrashLoopBackOff',
    message: `back-off ${formatDelay(restartDelayS(exited))} restarting failed container=${container.name} pod=${name}_${namespace}(${uid})`,
  };
}

/** 10s, 1m20s, 5m0s: durations as Kubernetes writes them. */
function formatDelay(seconds: number): string {
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}

function terminated(exited: RuntimeContainer, input: ContainerStatusInput) {
  const message = input.lastWords.get(exited.id) ?? exited.message;
  return {
    exitCode: exited.exitCode,
    reason: exited.reason === '' ? (exited.exitCode === 0 ? 'Completed' : 'Error') : exited.reason,
    ...(message === '' ? {} : { message }),
    ...(exited.startedAtMs === 0 ? {} : { startedAt: toTime(exited.startedAtMs) }),
    ...(exited.finishedAtMs === 0 ? {} : { finishedAt: toTime(exited.finishedAtMs) }),
    containerID: `hyperd://${exited.id}`,
  };
}
