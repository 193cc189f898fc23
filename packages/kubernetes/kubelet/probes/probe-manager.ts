import { sleep, systemClock, type Clock } from '@hypernetes/foundation/lifecycle';
import { isSidecar, type Container, type Pod, type Probe } from '../kube-types.ts';
import type { PodEvents } from '../pods/pod-events.ts';
import { findContainer, type PodRuntime, type RuntimeContainer } from '../runtime/pod-runtime.ts';
import { ProbeTally } from './probe-tally.ts';
import { runProbe, type ProbeTarget, type ProbeTools } from './run-probe.ts';

const kinds = ['startup', 'liveness', 'readiness'] as const;
type ProbeKind = (typeof kinds)[number];

const titles: Readonly<Record<ProbeKind, string>> = {
  startup: 'Startup',
  liveness: 'Liveness',
  readiness: 'Readiness',
};

interface Watched {
  readonly podUid: string;
  readonly hasStartup: boolean;
  readonly hasReadiness: boolean;
  started: boolean;
  ready: boolean;
  condemned: { readonly message: string; readonly graceS: number | undefined } | undefined;
  readonly abort: AbortController;
  readonly loops: Promise<void>[];
}

/** Runs the probes of all running containers; `onChange` gets the pod's uid when a verdict changes. */
export class ProbeManager implements AsyncDisposable {
  readonly #tools: ProbeTools;
  readonly #events: PodEvents;
  readonly #onChange: (podUid: string) => void;
  readonly #clock: Clock;
  /** By container id. */
  readonly #watched = new Map<string, Watched>();
  readonly #ended = new Set<Promise<unknown>>();

  constructor(
    tools: ProbeTools,
    events: PodEvents,
    onChange: (podUid: string) => void,
    clock: Clock = systemClock,
  ) {
    this.#tools = tools;
    this.#events = events;
    this.#onChange = onChange;
    this.#clock = clock;
  }

  /** Watches the pod's running containers that have probes, and none of its others. */
  sync(pod: Pod, runtime: PodRuntime): void {
    const wanted = new Set<string>();
    const sidecars = (pod.spec.initContainers ?? []).filter(isSidecar);
    for (const container of [...sidecars, ...pod.spec.containers]) {
      const running = findContainer(runtime, container.name);
      if (running?.state !== 'running' || !hasProbe(container)) continue;
      wanted.add(running.id);
      if (!this.#watched.has(running.id)) this.#watch(pod, runtime, container, running);
    }
    for (const [id, watched] of this.#watched) {
      if (watched.podUid === pod.metadata.uid && !wanted.has(id)) this.#forget(id, watched);
    }
  }

  /** The pod is gone. */
  forgetPod(podUid: string): void {
    for (const [id, watched] of this.#watched) if (watched.podUid === podUid) this.#forget(id, watched);
  }

  /** The startup probe has passed, or there is none. */
  isStarted(containerId: string): boolean {
    return this.#watched.get(containerId)?.started ?? true;
  }

  /** Started, and the readiness probe passes, or there is none. */
  isReady(containerId: string): boolean {
    const watched = this.#watched.get(containerId);
    return watched === undefined || (watched.started && watched.ready);
  }

  /** Containers whose liveness or startup probe has failed for good. */
  condemned(): Map<string, { readonly message: string; readonly graceS: number | undefined }> {
    const result = new Map<string, { readonly message: string; readonly graceS: number | undefined }>();
    for (const [id, { condemned }] of this.#watched) if (condemned !== undefined) result.set(id, condemned);
    return result;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const [id, watched] of this.#watched) this.#forget(id, watched);
    await Promise.allSettled(this.#ended);
  }

  #isCurrent(id: string, watched: Watched): boolean {
    return this.#watched.get(id) === watched;
  }

  #forget(id: string, watched: Watched): void {
    watched.abort.abort();
    this.#watched.delete(id);
    for (const loop of watched.loops) {
      this.#ended.add(loop);
      void loop.finally(() => this.#ended.delete(loop));
    }
  }

  #watch(pod: Pod, runtime: PodRuntime, container: Container, running: RuntimeContainer): void {
    // A kubelet that comes back takes the verdicts of the one before from the pod's status: readiness must not flicker.
    const said = [
      ...(pod.status?.containerStatuses ?? []),
      ...(pod.status?.initContainerStatuses ?? []),
    ].find(({ containerID }) => containerID?.endsWith(`://${running.id}`) === true);
    const watched: Watched = {
      podUid: pod.metadata.uid,
      hasStartup: container.startupProbe !== undefined,
      hasReadiness: container.readinessProbe !== undefined,
      started: container.startupProbe === undefined || said?.started === true,
      ready: container.readinessProbe === undefined || said?.ready === true,
      condemned: undefined,
      abort: new AbortController(),
      loops: [],
    };
    this.#watched.set(running.id, watched);
    const sandbox = runtime.sandboxes.find(({ id }) => id === running.sandboxId);
    const target: ProbeTarget = {
      containerId: running.id,
      sandboxId: running.sandboxId,
      podAddress: sandbox?.addresses[0] ?? '',
      container,
    };
    const probes = {
      startup: container.startupProbe,
      liveness: container.livenessProbe,
      readiness: container.readinessProbe,
    };
    for (const kind of kinds) {
      const probe = probes[kind];
      if (probe === undefined) continue;
      watched.loops.push(
        this.#loop(kind, probe, pod, target, watched, running.startedAtMs).catch(() => undefined),
      );
    }
  }

  async #loop(
    kind: ProbeKind,
    probe: Probe,
    pod: Pod,
    target: ProbeTarget,
    watched: Watched,
    startedAtMs: number,
  ): Promise<void> {
    const { signal } = watched.abort;
    const periodMs = (probe.periodSeconds ?? 10) * 1_000;
    const firstAtMs = startedAtMs + (probe.initialDelaySeconds ?? 0) * 1_000;
    await sleep(Math.max(0, firstAtMs - this.#clock.now()), signal);
    const tally = new ProbeTally(probe);
    while (!signal.aborted) {
      const beganAtMs = this.#clock.now();
      // Liveness and readiness are not asked before the container has started; then at once.
      if (kind !== 'startup' && !watched.started) {
        await sleep(Math.min(periodMs, 1_000), signal);
        continue;
      }
      if (kind === 'startup' && watched.started) return;
      const { verdict, output } = await runProbe(probe, target, this.#tools, signal);
      // The wait above may have outlived the container.
      if (!this.#isCurrent(target.containerId, watched)) return;
      if (verdict === 'failure') {
        const message = `${titles[kind]} probe failed: ${output}`;
        this.#events.warning(pod, 'Unhealthy', message, target.container);
      }
      if (verdict !== 'unknown') {
        this.#apply(kind, probe, target, watched, tally.record(verdict === 'success'));
      }
      if (watched.condemned !== undefined) return;
      await sleep(Math.max(0, beganAtMs + periodMs - this.#clock.now()), signal);
    }
  }

  #apply(
    kind: ProbeKind,
    probe: Probe,
    target: ProbeTarget,
    watched: Watched,
    verdict: boolean | undefined,
  ): void {
    if (verdict === undefined) return;
    const before = { ...watched };
    if (kind === 'readiness') watched.ready = verdict;
    else if (!verdict) {
      watched.condemned = {
        message: `Container ${target.container.name} failed ${kind} probe, will be restarted`,
        graceS: probe.terminationGracePeriodSeconds,
      };
    } else if (kind === 'startup') watched.started = true;
    const changed =
      before.ready !== watched.ready ||
      before.started !== watched.started ||
      before.condemned !== watched.condemned;
    if (changed) this.#onChange(watched.podUid);
  }
}

function hasProbe(container: Container): boolean {
  return (
    container.startupProbe !== undefined ||
    container.livenessProbe !== undefined ||
    container.readinessProbe !== undefined
  );
}
