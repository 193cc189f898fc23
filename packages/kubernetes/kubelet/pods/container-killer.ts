import { systemClock, type Clock } from '@hypernetes/foundation/lifecycle';
import { toPlatformError } from '@hypernetes/foundation/errors';
import { createLogger } from '@hypernetes/foundation/logging';
import { allContainers, type Pod } from '../kube-types.ts';
import type { ProbeTools } from '../probes/run-probe.ts';
import type { RuntimeContainer } from '../runtime/pod-runtime.ts';
import { runHook } from './lifecycle-hooks.ts';
import type { PodEvents } from './pod-events.ts';

const log = createLogger('kubelet:killer');
/** Left for the signal itself when the preStop handler has used up the grace period. */
const graceAfterHookMinS = 2;
/** After a stop that failed the pod is looked at again no sooner than this. */
const failureDelayMs = 1_000;

export interface StopRuntime {
  stopContainer(containerId: string, graceS: number, signal?: AbortSignal): Promise<void>;
}

interface Kill {
  readonly deadlineMs: number;
  readonly abort: AbortController;
}

/**
 * Ends containers in the background: preStop handler, stop signal, SIGKILL at the end of the grace period. Asked again with an earlier
 * end, it takes that one. `onDone` gets the pod's uid.
 */
export class ContainerKiller implements AsyncDisposable {
  readonly #runtime: StopRuntime;
  readonly #tools: ProbeTools;
  readonly #events: PodEvents;
  readonly #onDone: (podUid: string) => void;
  readonly #clock: Clock;
  /** By container id. */
  readonly #kills = new Map<string, Kill>();
  readonly #running = new Set<Promise<void>>();

  constructor(
    runtime: StopRuntime,
    tools: ProbeTools,
    events: PodEvents,
    onDone: (podUid: string) => void,
    clock: Clock = systemClock,
  ) {
    this.#runtime = runtime;
    this.#tools = tools;
    this.#events = events;
    this.#onDone = onDone;
    this.#clock = clock;
  }

  /** `pod` is undefined for a container whose pod the API no longer has: it gets no event and no preStop handler. */
  kill(
    target: { readonly podUid: string; readonly pod: Pod | undefined; readonly container: RuntimeContainer },
    graceS: number,
    message: string,
  ): void {
    const { podUid, pod, container } = target;
    const deadlineMs = this.#clock.now() + graceS * 1_000;
    const current = this.#kills.get(container.id);
    // A second's difference is only rounding.
    if (current !== undefined && current.deadlineMs <= deadlineMs + 1_000) return;
    current?.abort.abort();
    const kill: Kill = { deadlineMs, abort: new AbortController() };
    this.#kills.set(container.id, kill);
    if (current === undefined && pod !== undefined) this.#events.normal(pod, 'Killing', message, container);
    const work = this.#run(pod, container, graceS, kill, current === undefined).then(
      () => this.#finish(podUid, container, kill),
      async (error: unknown) => {
        if (kill.abort.signal.aborted) return;
        log.warn(
          { containerId: container.id, error: toPlatformError(error).message },
          'container not stopped',
        );
        await new Promise((resolve) => setTimeout(resolve, failureDelayMs));
        this.#finish(podUid, container, kill);
      },
    );
    this.#running.add(work);
    void work.finally(() => this.#running.delete(work));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { abort } of this.#kills.values()) abort.abort();
    await Promise.allSettled(this.#running);
  }

  #finish(podUid: string, container: RuntimeContainer, kill: Kill): void {
    if (this.#kills.get(container.id) !== kill) return;
    this.#kills.delete(container.id);
    this.#onDone(podUid);
  }

  async #run(
    pod: Pod | undefined,
    container: RuntimeContainer,
    graceS: number,
    kill: Kill,
    first: boolean,
  ): Promise<void> {
    if (pod !== undefined && graceS > 0 && first) await this.#preStop(pod, container, graceS, kill);
    const leftS = (kill.deadlineMs - this.#clock.now()) / 1_000;
    const signalS = graceS === 0 ? 0 : Math.max(graceAfterHookMinS, leftS);
    await this.#runtime.stopContainer(
      container.id,
      Math.min(signalS, Math.max(graceS, graceAfterHookMinS)),
      kill.abort.signal,
    );
  }

  async #preStop(pod: Pod, container: RuntimeContainer, graceS: number, kill: Kill): Promise<void> {
    const spec = allContainers(pod.spec).find(({ name }) => name === container.name);
    const hook = spec?.lifecycle?.preStop;
    if (spec === undefined || hook === undefined || container.state !== 'running') return;
    const target = {
      containerId: container.id,
      sandboxId: container.sandboxId,
      podAddress: pod.status?.podIP ?? '',
      container: spec,
    };
    try {
      await runHook(hook, target, this.#tools, graceS, kill.abort.signal);
    } catch (error) {
      if (kill.abort.signal.aborted) return;
      const { message } = toPlatformError(error);
      this.#events.warning(pod, 'FailedPreStopHook', `PreStopHook failed: ${message}`, container);
    }
  }
}
