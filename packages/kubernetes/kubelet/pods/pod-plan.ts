import { isSidecar, type Container, type Pod } from '../kube-types.ts';
import {
  findContainer,
  readySandbox,
  type PodRuntime,
  type RuntimeContainer,
  type RuntimeSandbox,
} from '../runtime/pod-runtime.ts';
import { containerHash } from './container-hash.ts';
import { nextRestartDelayS, restartDelayS } from './restart-delay.ts';

/** Dead containers kept per name besides the newest, for lastState and previous logs. */
const deadContainersKept = 1;
const defaultGraceS = 30;

export type PodAction =
  | { readonly kind: 'createSandbox'; readonly attempt: number; readonly replaces: string | undefined }
  | { readonly kind: 'stopSandbox'; readonly sandboxId: string }
  | { readonly kind: 'removeSandbox'; readonly sandboxId: string }
  | {
      readonly kind: 'startContainer';
      readonly container: Container;
      readonly init: boolean;
      readonly sandbox: RuntimeSandbox;
      readonly attempt: number;
      readonly restartDelayS: number;
    }
  | {
      readonly kind: 'killContainer';
      readonly container: RuntimeContainer;
      readonly graceS: number;
      readonly message: string;
    }
  | { readonly kind: 'removeContainer'; readonly container: RuntimeContainer }
  /** Nothing of the pod runs any more and it is being deleted: remove all of it, then the API object. */
  | { readonly kind: 'finalize' };

export interface PodPlan {
  readonly actions: readonly PodAction[];
  /** Containers waiting for their restart delay: name and the time it ends. */
  readonly backOff: ReadonlyMap<string, number>;
  /** The pod will not run (again): nothing is started for it. */
  readonly ending: boolean;
  readonly deadlineExceeded: boolean;
  /** When to look again without any event. */
  readonly wakeAtMs: number | undefined;
}

export interface PodPlanInput {
  readonly pod: Pod;
  readonly runtime: PodRuntime;
  readonly nowMs: number;
  /** By container id: what a failed liveness or startup probe says of it. */
  readonly condemned: ReadonlyMap<string, { readonly message: string; readonly graceS: number | undefined }>;
  /** Whether the container's startup probe, if any, has passed. */
  readonly isStarted: (containerId: string) => boolean;
}

/** What to do next for a pod, from what is wanted and what runs. Pure; applied and asked again until nothing is left to do. */
export function planPod(input: PodPlanInput): PodPlan {
  const deadline = deadlineMs(input.pod);
  const deadlineExceeded = deadline !== undefined && input.nowMs >= deadline;
  if (isEnding(input.pod) || deadlineExceeded) {
    return { ...noPlan, actions: planEnd(input), ending: true, deadlineExceeded };
  }
  if (isComplete(input.pod, input.runtime)) {
    return { ...noPlan, actions: planEnd(input), ending: true };
  }
  const running = planRunning(input);
  const wakeAt = [...running.backOff.values(), ...(deadline === undefined ? [] : [deadline])];
  return {
    ...noPlan,
    ...running,
    wakeAtMs: wakeAt.length === 0 ? undefined : Math.min(...wakeAt),
  };
}

const noPlan: PodPlan = {
  actions: [],
  backOff: new Map(),
  ending: false,
  deadlineExceeded: false,
  wakeAtMs: undefined,
};

function deadlineMs(pod: Pod): number | undefined {
  const seconds = pod.spec.activeDeadlineSeconds;
  const start = pod.status?.startTime;
  if (seconds === undefined || start === undefined) return undefined;
  return Date.parse(start) + seconds * 1_000;
}

function isEnding(pod: Pod): boolean {
  const phase = pod.status?.phase;
  return pod.metadata.deletionTimestamp !== undefined || phase === 'Failed' || phase === 'Succeeded';
}

/** Whether an exited container of the pod is started again. */
export function isRestarted(pod: Pod, container: Container, exitCode: number): boolean {
  if (isSidecar(container)) return true;
  const policy = pod.spec.restartPolicy ?? 'Always';
  const isInit = pod.spec.initContainers?.includes(container) === true;
  if (isInit) return policy !== 'Never' && exitCode !== 0;
  return policy === 'Always' || (policy === 'OnFailure' && exitCode !== 0);
}

function isOver(pod: Pod, container: Container, found: RuntimeContainer | undefined): boolean {
  return found?.state === 'exited' && !isRestarted(pod, container, found.exitCode);
}

/**
 * All has run that was to run. A pod that never restarts and whose machine is gone is complete too: what had not run will not.
 * An init container that failed for good ends the pod.
 */
export function isComplete(pod: Pod, runtime: PodRuntime): boolean {
  const initFailed = (pod.spec.initContainers ?? []).some((container) => {
    const found = findContainer(runtime, container.name);
    return found?.exitCode !== 0 && isOver(pod, container, found);
  });
  if (initFailed) return true;
  if (
    pod.spec.containers.every((container) => isOver(pod, container, findContainer(runtime, container.name)))
  ) {
    return true;
  }
  const lost = runtime.sandboxes.length > 0 && readySandbox(runtime) === undefined;
  return pod.spec.restartPolicy === 'Never' && lost && runtime.containers.length > 0;
}

/** Seconds the processes get to end: what is left of the deletion's grace period, else the pod's own. */
export function graceSeconds(pod: Pod, nowMs: number): number {
  const { deletionTimestamp, deletionGracePeriodSeconds } = pod.metadata;
  const own = pod.spec.terminationGracePeriodSeconds ?? defaultGraceS;
  if (deletionTimestamp === undefined) return own;
  const given = deletionGracePeriodSeconds ?? own;
  const left = Math.ceil((Date.parse(deletionTimestamp) - nowMs) / 1_000);
  return given === 0 ? 0 : Math.min(given, Math.max(1, left));
}

function isAlive(container: RuntimeContainer): boolean {
  return container.state === 'running' || container.state === 'unknown';
}

function planEnd(input: PodPlanInput): PodAction[] {
  const { pod, runtime } = input;
  const alive = runtime.containers.filter(isAlive);
  const sidecars = new Set((pod.spec.initContainers ?? []).filter(isSidecar).map(({ name }) => name));
  const main = alive.filter(({ name }) => !sidecars.has(name));
  // Sidecars serve the others until these have ended.
  const next = main.length > 0 ? main : alive;
  const graceS = graceSeconds(pod, input.nowMs);
  if (next.length > 0) {
    return next.map((container) => ({
      kind: 'killContainer',
      container,
      graceS,
      message: `Stopping container ${container.name}`,
    }));
  }
  const ready = runtime.sandboxes.filter((sandbox) => sandbox.ready);
  if (ready.length > 0) return ready.map(({ id }) => ({ kind: 'stopSandbox', sandboxId: id }));
  return pod.metadata.deletionTimestamp === undefined ? [] : [{ kind: 'finalize' }];
}

function planRunning(input: PodPlanInput): Pick<PodPlan, 'actions' | 'backOff'> {
  const { runtime } = input;
  const sandbox = readySandbox(runtime);
  if (sandbox === undefined) {
    const last = runtime.sandboxes[0];
    const attempt = last === undefined ? 0 : last.attempt + 1;
    return { actions: [{ kind: 'createSandbox', attempt, replaces: last?.id }], backOff: new Map() };
  }
  const steps = new ContainerSteps(input, sandbox);
  if (planInitContainers(input, sandbox, steps)) {
    for (const container of input.pod.spec.containers) steps.ensureRunning(container, false);
  }
  return { actions: [...steps.actions, ...planGarbage(input, sandbox)], backOff: steps.backOff };
}

/** Plans the init containers in their order; true when the containers proper may run. */
function planInitContainers(input: PodPlanInput, sandbox: RuntimeSandbox, steps: ContainerSteps): boolean {
  const { pod, runtime } = input;
  const inSandbox = (name: string) =>
    runtime.containers.find((container) => container.name === name && container.sandboxId === sandbox.id);
  // Once a container proper was made in this machine, initialisation is over, whatever records are left of it.
  const over = pod.spec.containers.some(({ name }) => inSandbox(name) !== undefined);
  for (const container of pod.spec.initContainers ?? []) {
    const found = inSandbox(container.name);
    if (isSidecar(container)) {
      steps.ensureRunning(container, true);
      const started = found?.state === 'running' && input.isStarted(found.id);
      if (!over && !started) return false;
    } else if (!over && !(found?.state === 'exited' && found.exitCode === 0)) {
      steps.ensureRunning(container, true);
      return false;
    }
  }
  return true;
}

class ContainerSteps {
  readonly actions: PodAction[] = [];
  readonly backOff = new Map<string, number>();
  readonly #input: PodPlanInput;
  readonly #sandbox: RuntimeSandbox;

  constructor(input: PodPlanInput, sandbox: RuntimeSandbox) {
    this.#input = input;
    this.#sandbox = sandbox;
  }

  ensureRunning(container: Container, init: boolean): void {
    const found = findContainer(this.#input.runtime, container.name);
    if (found === undefined) this.#start(container, init, undefined);
    else if (found.state === 'exited') this.#restart(container, init, found);
    else if (found.state === 'created') this.#startAgain(container, init, found);
    else this.#keep(container, found);
  }

  #start(container: Container, init: boolean, previous: RuntimeContainer | undefined): void {
    this.actions.push({
      kind: 'startContainer',
      container,
      init,
      sandbox: this.#sandbox,
      attempt: previous === undefined ? 0 : previous.attempt + 1,
      restartDelayS: nextRestartDelayS(previous),
    });
  }

  #restart(container: Container, init: boolean, exited: RuntimeContainer): void {
    // A new machine initialises anew: an init container that succeeded in the old one runs again.
    const moved = init && exited.sandboxId !== this.#sandbox.id;
    if (!moved && !isRestarted(this.#input.pod, container, exited.exitCode)) return;
    const untilMs = exited.finishedAtMs + restartDelayS(exited) * 1_000;
    if (untilMs > this.#input.nowMs) this.backOff.set(container.name, untilMs);
    else this.#start(container, init, exited);
  }

  /** Created and never started: this kubelet (or the one before) stopped in between. Its place is taken by the same attempt. */
  #startAgain(container: Container, init: boolean, created: RuntimeContainer): void {
    this.actions.push({ kind: 'removeContainer', container: created });
    this.actions.push({
      kind: 'startContainer',
      container,
      init,
      sandbox: this.#sandbox,
      attempt: created.attempt,
      restartDelayS: created.restartDelayS,
    });
  }

  #keep(container: Container, running: RuntimeContainer): void {
    const graceS = graceSeconds(this.#input.pod, this.#input.nowMs);
    const condemned = this.#input.condemned.get(running.id);
    const kill = (message: string, ownGraceS = graceS): void => {
      this.actions.push({ kind: 'killContainer', container: running, graceS: ownGraceS, message });
    };
    if (running.state === 'unknown') {
      kill(`Container ${container.name} is in unknown state, try killing it before restart`);
    } else if (running.hash !== containerHash(container)) {
      kill(`Container ${container.name} definition changed, will be restarted`);
    } else if (condemned !== undefined) kill(condemned.message, condemned.graceS);
  }
}

/** Dead containers past the kept ones, and dead sandboxes that hold no kept container. */
function planGarbage(input: PodPlanInput, sandbox: RuntimeSandbox): PodAction[] {
  const { containers, sandboxes } = input.runtime;
  const seen = new Map<string, number>();
  const garbage = containers.filter((container) => {
    const rank = seen.get(container.name) ?? 0;
    seen.set(container.name, rank + 1);
    return rank > deadContainersKept && !isAlive(container);
  });
  const kept = containers.filter((container) => !garbage.includes(container));
  const empty = sandboxes.filter(
    ({ id, ready }) => id !== sandbox.id && !ready && kept.every(({ sandboxId }) => sandboxId !== id),
  );
  return [
    ...garbage.map((container): PodAction => ({ kind: 'removeContainer', container })),
    ...empty.map(({ id }): PodAction => ({ kind: 'removeSandbox', sandboxId: id })),
  ];
}
