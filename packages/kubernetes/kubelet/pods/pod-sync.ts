import { isPlatformError, PlatformError, toPlatformError } from '@hypernetes/foundation/errors';
import { systemClock, type Clock } from '@hypernetes/foundation/lifecycle';
import { createLogger } from '@hypernetes/foundation/logging';
import { resources, type KubeClient } from '../../client/index.ts';
import type { PodFacts } from '../containers/field-path.ts';
import { sandboxConfig, type SandboxSettings } from '../containers/sandbox-config.ts';
import type { ImagePuller } from '../images/image-puller.ts';
import type { Pod, PodStatus } from '../kube-types.ts';
import type { ProbeManager } from '../probes/probe-manager.ts';
import { namesMutableObjects, type ReferencedObjects } from '../references/referenced-objects.ts';
import type { CriClient } from '../runtime/cri-client.ts';
import { readySandbox, type PodRuntime } from '../runtime/pod-runtime.ts';
import type { PodFolders } from '../volumes/pod-folders.ts';
import { VolumeError, type PodVolumes, type SetUpVolumes } from '../volumes/pod-volumes.ts';
import type { ServiceAccountTokens } from '../volumes/service-account-tokens.ts';
import { admitPod, isAdmitted, type NodeCapacity } from './admission.ts';
import type { ContainerKiller } from './container-killer.ts';
import type { ContainerStarter } from './container-starter.ts';
import type { Waiting } from './container-status.ts';
import { readLastWords } from './last-words.ts';
import type { PodEvents } from './pod-events.ts';
import { planPod, type PodAction, type PodPlan } from './pod-plan.ts';
import type { PodRemover } from './pod-remover.ts';
import { podStatus, statusPatch, type PodStatusInput } from './pod-status.ts';
import type { PodStore } from './pod-store.ts';
import { StartBackOff } from './start-back-off.ts';

const log = createLogger('kubelet:pods');
/** More rounds than a pod needs: the next event goes on from there. */
const roundsMax = 64;
/** What stands besides the containers in a pod's back-off: no container can have such a name. */
const volumesKey = '/volumes';
const sandboxKey = '/sandbox';
/** Pods are looked at this often without any reason; those with files from API objects and tokens more often. */
const resyncMs = 300_000;
const refreshMs = 60_000;
const deadlineMessage = 'Pod was active on the node longer than the specified deadline';

export interface PodSyncParts {
  readonly client: KubeClient;
  readonly cri: CriClient;
  readonly store: PodStore;
  readonly events: PodEvents;
  readonly puller: ImagePuller;
  readonly probes: ProbeManager;
  readonly killer: ContainerKiller;
  readonly starter: ContainerStarter;
  readonly remover: PodRemover;
  readonly volumes: PodVolumes;
  readonly folders: PodFolders;
  readonly tokens: ServiceAccountTokens;
  readonly references: ReferencedObjects;
  readonly nodeName: string;
  readonly nodeAddress: string;
  readonly runtimeHandler: string;
  readonly allocatable: () => NodeCapacity;
  readonly sandboxSettings: () => SandboxSettings;
  readonly clock?: Clock;
}

/** What this kubelet remembers of a pod between two looks: only what may be forgotten. */
interface Memory {
  readonly waiting: Map<string, Waiting>;
  /** What was written last, and the version it made: the watch may still show an older one. */
  written: { readonly status: PodStatus; readonly version: string | undefined } | undefined;
  retryAtMs: number | undefined;
  annotated: string;
  /** What could not be started: by container name, and the volumes as a whole. */
  readonly backOff: StartBackOff;
}

/** Makes what runs match the API, one pod at a time: the reconcile function of the kubelet's queue, keyed by pod uid. */
export class PodSync {
  readonly #parts: PodSyncParts;
  readonly #clock: Clock;
  readonly #memory = new Map<string, Memory>();
  /** Cuts short what is under way for a pod when its deletion comes. */
  readonly #aborts = new Map<string, AbortController>();

  constructor(parts: PodSyncParts) {
    this.#parts = parts;
    this.#clock = parts.clock ?? systemClock;
  }

  /** The pod's deletion was asked for, or it is gone: start no more of it. */
  interrupt(uid: string): void {
    this.#aborts.get(uid)?.abort();
  }

  /** An object the pod names came, changed or went: what failed for want of it is tried at once. */
  objectsChanged(uid: string): void {
    this.#memory.get(uid)?.backOff.clearTrouble('config');
  }

  async reconcile(uid: string, signal: AbortSignal): Promise<{ requeueAfterMs?: number } | undefined> {
    const pod = this.#get(uid);
    if (pod === undefined) {
      this.#forget(uid);
      await this.#parts.remover.removeOrphan(uid);
      return undefined;
    }
    if (await this.#rejectUnfit(pod)) return undefined;
    const abort = new AbortController();
    this.#aborts.set(uid, abort);
    try {
      return await this.#advance(pod, AbortSignal.any([signal, abort.signal]));
    } finally {
      this.#aborts.delete(uid);
    }
  }

  /** The pod as the API has it, with the status we wrote if the watch has not shown that yet. */
  #get(uid: string): Pod | undefined {
    const pod = this.#parts.store.get(uid);
    const written = this.#memory.get(uid)?.written;
    if (pod === undefined || written === undefined) return pod;
    const seen = Number(pod.metadata.resourceVersion);
    return seen < Number(written.version) ? { ...pod, status: written.status } : pod;
  }

  #forget(uid: string): void {
    this.#memory.delete(uid);
    this.#parts.probes.forgetPod(uid);
    this.#parts.puller.forget(uid);
    this.#parts.references.release(uid);
    this.#parts.tokens.forget(uid);
  }

  #remember(uid: string): Memory {
    const known = this.#memory.get(uid);
    if (known !== undefined) return known;
    const fresh: Memory = {
      waiting: new Map(),
      written: undefined,
      retryAtMs: undefined,
      annotated: '',
      backOff: new StartBackOff(),
    };
    this.#memory.set(uid, fresh);
    return fresh;
  }

  /** A pod that does not fit (bound past the scheduler) fails at once, as a kubelet's admission has it. */
  async #rejectUnfit(pod: Pod): Promise<boolean> {
    const over = pod.status?.phase === 'Failed' || pod.status?.phase === 'Succeeded';
    if (isAdmitted(pod) || over || pod.metadata.deletionTimestamp !== undefined) return false;
    const rejection = admitPod(pod, this.#parts.store.list(), this.#parts.allocatable());
    if (rejection === undefined) return false;
    this.#parts.events.warning(pod, rejection.reason, rejection.message);
    const { reason } = rejection;
    const message = `Pod was rejected: ${rejection.message}`;
    await this.#patchStatus(pod, { ...pod.status, phase: 'Failed', reason, message });
    return true;
  }

  async #advance(first: Pod, signal: AbortSignal): Promise<{ requeueAfterMs?: number }> {
    const { uid, namespace, name } = first.metadata;
    const memory = this.#remember(uid);
    memory.retryAtMs = undefined;
    let failure: PlatformError | undefined;
    for (let round = 0; round < roundsMax; round++) {
      const pod = this.#get(uid);
      if (pod === undefined) return { requeueAfterMs: 0 };
      const runtime = await this.#parts.cri.podRuntime(uid, namespace, name);
      this.#syncProbes(pod, runtime);
      const plan = this.#plan(pod, runtime);
      if (plan.actions.some(({ kind }) => kind === 'finalize')) {
        await this.#writeStatus(pod, runtime, plan, memory);
        await this.#parts.remover.finalize(pod, runtime);
        this.#forget(uid);
        return {};
      }
      // Starting can take a while: that it has begun is said first.
      if (!isAdmitted(pod)) await this.#writeStatus(pod, runtime, plan, memory);
      let progressed = false;
      try {
        progressed = await this.#apply(pod, runtime, plan, memory, signal);
      } catch (error) {
        failure = toPlatformError(error);
      }
      if (progressed && failure === undefined && !signal.aborted) continue;
      const after = progressed ? await this.#parts.cri.podRuntime(uid, namespace, name) : runtime;
      await this.#writeStatus(pod, after, this.#plan(pod, after), memory);
      if (failure !== undefined && !signal.aborted) throw failure;
      return signal.aborted ? { requeueAfterMs: 0 } : { requeueAfterMs: this.#nextLookMs(pod, plan, memory) };
    }
    log.warn({ podUid: uid }, 'pod does not settle');
    return { requeueAfterMs: 1_000 };
  }

  #plan(pod: Pod, runtime: PodRuntime): PodPlan {
    const { probes } = this.#parts;
    return planPod({
      pod,
      runtime,
      nowMs: this.#clock.now(),
      condemned: probes.condemned(),
      isStarted: (containerId) => probes.isStarted(containerId),
    });
  }

  #syncProbes(pod: Pod, runtime: PodRuntime): void {
    if (pod.metadata.deletionTimestamp === undefined) this.#parts.probes.sync(pod, runtime);
    else this.#parts.probes.forgetPod(pod.metadata.uid);
  }

  #nextLookMs(pod: Pod, plan: PodPlan, memory: Memory): number {
    const now = this.#clock.now();
    const idle = namesMutableObjects(pod) ? refreshMs : resyncMs;
    const wakes = [plan.wakeAtMs, memory.retryAtMs].filter((time) => time !== undefined);
    return Math.max(10, Math.min(idle, ...wakes.map((time) => time - now)));
  }

  /** Applies the plan; true when something changed at once, so that it is worth planning again. */
  async #apply(
    pod: Pod,
    runtime: PodRuntime,
    plan: PodPlan,
    memory: Memory,
    signal: AbortSignal,
  ): Promise<boolean> {
    const volumes = plan.ending ? new Map<string, never>() : await this.#setUpVolumes(pod, runtime, memory);
    for (const name of plan.backOff.keys()) this.#sayBackOff(pod, runtime, name);
    let progressed = false;
    let failure: PlatformError | undefined;
    for (const action of plan.actions) {
      if (signal.aborted) return progressed;
      try {
        if (await this.#applyOne(action, pod, runtime, volumes, memory, signal)) progressed = true;
      } catch (error) {
        // One container's trouble does not keep the pod's others from running.
        if (action.kind !== 'startContainer') throw error;
        failure ??= toPlatformError(error);
      }
    }
    if (failure !== undefined && !progressed) throw failure;
    return progressed;
  }

  #sayBackOff(pod: Pod, runtime: PodRuntime, name: string): void {
    const { name: podName, namespace, uid } = pod.metadata;
    const exited = runtime.containers.find((container) => container.name === name);
    if (exited === undefined) return;
    const text = `Back-off restarting failed container ${name} in pod ${podName}_${namespace}(${uid})`;
    this.#parts.events.warning(pod, 'BackOff', text, { name });
  }

  async #applyOne(
    action: PodAction,
    pod: Pod,
    runtime: PodRuntime,
    volumes: SetUpVolumes | VolumeError,
    memory: Memory,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { cri, killer, remover } = this.#parts;
    switch (action.kind) {
      case 'createSandbox':
        if (volumes instanceof VolumeError) return this.#retryLater(memory, volumesKey);
        return await this.#createSandbox(action, pod, memory, signal);
      case 'stopSandbox':
        await cri.stopSandbox(action.sandboxId);
        return true;
      case 'removeSandbox':
        await cri.removeSandbox(action.sandboxId);
        return true;
      case 'removeContainer':
        await remover.removeContainer(action.container);
        return true;
      case 'killContainer': {
        const { container, graceS, message } = action;
        killer.kill({ podUid: pod.metadata.uid, pod, container }, graceS, message);
        return false;
      }
      case 'startContainer':
        if (volumes instanceof VolumeError) return this.#retryLater(memory, volumesKey);
        return await this.#startContainer(action, pod, runtime, volumes, memory, signal);
      case 'finalize':
        return false; // done before the others
    }
  }

  /**
   * Tried whenever the pod is looked at, for what was missing may be there now; a failure is told once per attempt of the back-off,
   * and whenever it is another one.
   */
  async #setUpVolumes(pod: Pod, runtime: PodRuntime, memory: Memory): Promise<SetUpVolumes | VolumeError> {
    const { volumes, references, tokens, events } = this.#parts;
    const { uid, namespace } = pod.metadata;
    try {
      const ready = await volumes.setUp(pod, {
        facts: this.#facts(runtime),
        getConfigMap: (name) => references.getConfigMap(uid, namespace, name),
        getSecret: (name) => references.getSecret(uid, namespace, name),
        getToken: (request) => tokens.get(pod, request),
      });
      memory.backOff.clear(volumesKey);
      return ready;
    } catch (error) {
      if (!(error instanceof VolumeError)) throw error;
      if (memory.backOff.fail(volumesKey, 'volume', error.message, this.#clock.now())) {
        events.warning(pod, 'FailedMount', error.message);
        log.info({ podUid: uid, error: error.message }, 'volume not set up, to be tried again');
      }
      return error;
    }
  }

  #facts(runtime: PodRuntime): PodFacts {
    const { nodeName, nodeAddress, allocatable } = this.#parts;
    const { cpuMillis, memoryBytes } = allocatable();
    return {
      nodeName,
      hostAddress: nodeAddress,
      podAddresses: readySandbox(runtime)?.addresses ?? [],
      allocatableCpuMillis: cpuMillis,
      allocatableMemoryBytes: memoryBytes,
    };
  }

  async #createSandbox(
    action: Extract<PodAction, { kind: 'createSandbox' }>,
    pod: Pod,
    memory: Memory,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { cri, events, runtimeHandler, sandboxSettings } = this.#parts;
    if (memory.backOff.waits(sandboxKey, this.#clock.now())) return this.#retryLater(memory, sandboxKey);
    if (action.replaces !== undefined) {
      const text = 'Pod sandbox changed, it will be killed and re-created.';
      events.normal(pod, 'SandboxChanged', text);
      await cri.stopSandbox(action.replaces);
    }
    try {
      const config = sandboxConfig(pod, action.attempt, sandboxSettings());
      await cri.runSandbox(config, runtimeHandler, signal);
    } catch (error) {
      if (signal.aborted) throw error;
      const { message } = toPlatformError(error);
      events.warning(pod, 'FailedCreatePodSandBox', `Failed to create pod sandbox: ${message}`);
      memory.backOff.fail(sandboxKey, 'sandbox', message, this.#clock.now());
      throw error;
    }
    memory.backOff.clear(sandboxKey);
    return true;
  }

  async #startContainer(
    action: Extract<PodAction, { kind: 'startContainer' }>,
    pod: Pod,
    runtime: PodRuntime,
    volumes: SetUpVolumes,
    memory: Memory,
    signal: AbortSignal,
  ): Promise<boolean> {
    const { starter, killer, cri } = this.#parts;
    const { name } = action.container;
    if (memory.backOff.waits(name, this.#clock.now())) return this.#retryLater(memory, name);
    const config = sandboxConfig(pod, action.sandbox.attempt, this.#parts.sandboxSettings());
    const outcome = await starter.start(action, {
      pod,
      facts: this.#facts(runtime),
      volumes,
      sandboxConfig: config,
      signal,
    });
    switch (outcome.kind) {
      case 'started':
        memory.waiting.delete(name);
        memory.backOff.clear(name);
        return true;
      case 'pulling':
        if (memory.waiting.get(name)?.reason !== 'ImagePullBackOff') memory.waiting.delete(name);
        return false;
      case 'waiting':
        memory.waiting.set(name, outcome.waiting);
        wakeAt(memory, outcome.retryAtMs);
        return false;
      case 'failed': {
        const { message } = outcome.error;
        memory.waiting.set(name, outcome.waiting);
        memory.backOff.fail(name, outcome.trouble, message, this.#clock.now());
        log.info(
          { podUid: pod.metadata.uid, name, error: message },
          'container not started, to be tried again',
        );
        return this.#retryLater(memory, name);
      }
      case 'hookFailed': {
        const { uid, namespace, name: podName } = pod.metadata;
        const fresh = await cri.podRuntime(uid, namespace, podName);
        const container = fresh.containers.find(({ id }) => id === outcome.containerId);
        const graceS = pod.spec.terminationGracePeriodSeconds ?? 30;
        if (container !== undefined) {
          killer.kill({ podUid: uid, pod, container }, graceS, 'FailedPostStartHook');
        }
        return false;
      }
    }
  }

  /** Nothing was changed; the pod comes again when the back-off of the key ends. */
  #retryLater(memory: Memory, key: string): false {
    wakeAt(memory, memory.backOff.retryAtMs(key));
    return false;
  }

  async #writeStatus(pod: Pod, runtime: PodRuntime, plan: PodPlan, memory: Memory): Promise<void> {
    const over = pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
    // The runtime has forgotten a pod that was over: what was said of it stays true.
    if (over && runtime.containers.length === 0) return;
    const { probes, nodeAddress, events } = this.#parts;
    const deadline = plan.deadlineExceeded && !over;
    if (deadline && pod.status?.reason !== 'DeadlineExceeded') {
      events.normal(pod, 'DeadlineExceeded', deadlineMessage);
    }
    const input: PodStatusInput = {
      pod,
      runtime,
      nowMs: this.#clock.now(),
      hostAddress: nodeAddress,
      waiting: memory.waiting,
      backOff: plan.backOff,
      ending: plan.ending,
      isStarted: (containerId) => probes.isStarted(containerId),
      isReady: (containerId) => probes.isReady(containerId),
      lastWords: await this.#lastWords(runtime),
      ...(deadline
        ? { verdict: { phase: 'Failed', reason: 'DeadlineExceeded', message: deadlineMessage } as const }
        : {}),
    };
    await this.#patchStatus(pod, podStatus(input), annotationsOf(runtime));
  }

  async #lastWords(runtime: PodRuntime): Promise<Map<string, string>> {
    const result = new Map<string, string>();
    for (const container of runtime.containers) {
      if (container.state !== 'exited') continue;
      const file = this.#parts.folders.terminationLog(runtime.uid, container.name, container.attempt);
      result.set(container.id, await readLastWords(container, file));
    }
    return result;
  }

  /** Writes what differs; annotations go with the status, where a node may write them. */
  async #patchStatus(
    pod: Pod,
    status: PodStatus,
    annotations: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    const { uid, namespace, name } = pod.metadata;
    const memory = this.#remember(uid);
    const patch = statusPatch(pod.status, status);
    const told = JSON.stringify(annotations);
    const missing = Object.entries(annotations).some(
      ([key, value]) => pod.metadata.annotations?.[key] !== value,
    );
    const annotate = missing && memory.annotated !== told;
    if (patch === undefined && !annotate) return;
    try {
      const written = await this.#parts.client.patch<Pod>(
        resources.pods,
        { namespace, name },
        'merge',
        { metadata: annotate ? { uid, annotations } : { uid }, status: patch ?? {} },
        'status',
      );
      memory.written = { status: written.status ?? status, version: written.metadata.resourceVersion };
      if (annotate) memory.annotated = told;
    } catch (error) {
      if (!isGone(error)) throw error;
    }
  }
}

function wakeAt(memory: Memory, atMs: number | undefined): void {
  if (atMs !== undefined) memory.retryAtMs = Math.min(atMs, memory.retryAtMs ?? Infinity);
}

/** What the pod really got, and how long each phase of its start took (docs/reference/annotations.md). */
function annotationsOf(runtime: PodRuntime): Record<string, string> {
  const sandbox = readySandbox(runtime);
  const known = {
    'hypernetes.io/isolation': sandbox?.isolation ?? '',
    'hypernetes.io/start-trace': sandbox?.trace ?? '',
  };
  return Object.fromEntries(Object.entries(known).filter(([, value]) => value !== ''));
}

/** The object is no longer there, or another one of the same name is. */
function isGone(error: unknown): boolean {
  return (
    error instanceof PlatformError &&
    (isPlatformError(error, 'NotFound') || isPlatformError(error, 'Conflict'))
  );
}
