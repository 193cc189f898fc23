import type { AuthConfig, Image } from '@hypernetes/proto/cri';
import { toPlatformError } from '@hypernetes/foundation/errors';
import { systemClock, type Clock } from '@hypernetes/foundation/lifecycle';
import type { Secret } from '../../client/index.ts';
import type { Container, Pod } from '../kube-types.ts';
import type { PodEvents } from '../pods/pod-events.ts';
import { defaultPullPolicy, parseImageReference, type ImageReference } from './image-reference.ts';
import { findCredentials } from './pull-secrets.ts';

const firstDelayMs = 10_000;
const delayMsMax = 300_000;
/** How long a pod shows ErrImagePull before it shows ImagePullBackOff. */
const failureShownMs = 3_000;

export type ImageState =
  | { readonly kind: 'present'; readonly image: Image }
  | { readonly kind: 'pulling' }
  | {
      readonly kind: 'failed';
      readonly reason: 'ErrImagePull' | 'ImagePullBackOff' | 'ErrImageNeverPull' | 'InvalidImageName';
      readonly message: string;
      /** When to ask again. */
      readonly retryAtMs: number | undefined;
    };

/** What of the runtime's image service is needed. */
export interface ImageRuntime {
  findImage(image: string): Promise<Image | undefined>;
  pullImage(image: string, auth: Partial<AuthConfig> | undefined, signal?: AbortSignal): Promise<string>;
}

type Pull =
  | { readonly kind: 'pulling' }
  /** Here by the container's policy, for the start that is being tried. */
  | { readonly kind: 'ready'; readonly imageRef: string }
  | {
      readonly kind: 'failed';
      readonly message: string;
      readonly failedAtMs: number;
      readonly delayMs: number;
      readonly backOffSaid: boolean;
    };

/**
 * Brings the images of containers here, in the background: ensure() never waits for a registry. After a pull has ended either way,
 * `onDone` gets the pod's uid, and the next ensure() answers what came of it.
 */
export class ImagePuller implements AsyncDisposable {
  readonly #runtime: ImageRuntime;
  readonly #events: PodEvents;
  readonly #onDone: (podUid: string) => void;
  readonly #clock: Clock;
  readonly #abort = new AbortController();
  /** By pod uid, then container name and image. */
  readonly #pulls = new Map<string, Map<string, Pull>>();
  readonly #running = new Set<Promise<void>>();

  constructor(
    runtime: ImageRuntime,
    events: PodEvents,
    onDone: (podUid: string) => void,
    clock: Clock = systemClock,
  ) {
    this.#runtime = runtime;
    this.#events = events;
    this.#onDone = onDone;
    this.#clock = clock;
  }

  /** The image of a container that is about to start, by its pull policy. */
  async ensure(
    pod: Pod,
    container: Container,
    secrets: () => Promise<readonly Secret[]>,
  ): Promise<ImageState> {
    const name = container.image ?? '';
    let reference: ImageReference;
    try {
      reference = parseImageReference(name);
    } catch (error) {
      const { message } = toPlatformError(error);
      this.#events.warning(pod, 'InspectFailed', message, container);
      return { kind: 'failed', reason: 'InvalidImageName', message, retryAtMs: undefined };
    }
    const policy = container.imagePullPolicy ?? defaultPullPolicy(reference);
    const ready = await this.#getReady(pod, container);
    if (ready !== undefined) return ready;
    if (policy !== 'Always') {
      const image = await this.#runtime.findImage(name);
      if (image !== undefined) {
        this.#set(pod, container, { kind: 'ready', imageRef: image.id === '' ? name : image.id });
        this.#events.normal(pod, 'Pulled', `Container image "${name}" already present on machine`, container);
        return { kind: 'present', image };
      }
      if (policy === 'Never') {
        const message = `Container image "${name}" is not present with pull policy of Never`;
        this.#events.warning(pod, 'ErrImageNeverPull', message, container);
        return { kind: 'failed', reason: 'ErrImageNeverPull', message, retryAtMs: undefined };
      }
    }
    return await this.#pullOrWait(pod, container, reference, secrets);
  }

  /**
   * The container was made, or could not be with this image: the next start asks the policy again. Until then ensure() goes on answering
   * what it found, so that tries of one start pull and tell once.
   */
  used(pod: Pod, container: Container): void {
    this.#pulls.get(pod.metadata.uid)?.delete(this.#keyOf(container));
  }

  /** The pod is gone. */
  forget(podUid: string): void {
    this.#pulls.delete(podUid);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    await Promise.allSettled(this.#running);
  }

  #keyOf(container: Container): string {
    return `${container.name} ${container.image ?? ''}`;
  }

  #get(pod: Pod, container: Container): Pull | undefined {
    return this.#pulls.get(pod.metadata.uid)?.get(this.#keyOf(container));
  }

  #set(pod: Pod, container: Container, pull: Pull): void {
    const ofPod = this.#pulls.get(pod.metadata.uid) ?? new Map<string, Pull>();
    this.#pulls.set(pod.metadata.uid, ofPod);
    ofPod.set(this.#keyOf(container), pull);
  }

  async #getReady(pod: Pod, container: Container): Promise<ImageState | undefined> {
    const pull = this.#get(pod, container);
    if (pull?.kind !== 'ready') return undefined;
    const image =
      (await this.#runtime.findImage(pull.imageRef)) ??
      (await this.#runtime.findImage(container.image ?? ''));
    if (image !== undefined) return { kind: 'present', image };
    this.used(pod, container);
    return undefined;
  }

  async #pullOrWait(
    pod: Pod,
    container: Container,
    reference: ImageReference,
    secrets: () => Promise<readonly Secret[]>,
  ): Promise<ImageState> {
    const before = this.#get(pod, container);
    if (before?.kind === 'pulling') return { kind: 'pulling' };
    const now = this.#clock.now();
    if (before?.kind === 'failed' && now < before.failedAtMs + before.delayMs) {
      return this.#backOff(pod, container, before, now);
    }
    const auth = findCredentials(await secrets(), reference);
    this.#set(pod, container, { kind: 'pulling' });
    const pull = this.#pull(pod, container, auth, before).finally(() => {
      this.#running.delete(pull);
      this.#onDone(pod.metadata.uid);
    });
    this.#running.add(pull);
    return { kind: 'pulling' };
  }

  #backOff(pod: Pod, container: Container, failed: Pull & { kind: 'failed' }, now: number): ImageState {
    const name = container.image ?? '';
    const shownUntilMs = failed.failedAtMs + failureShownMs;
    if (now < shownUntilMs) {
      return { kind: 'failed', reason: 'ErrImagePull', message: failed.message, retryAtMs: shownUntilMs };
    }
    const message = `Back-off pulling image "${name}": ErrImagePull: ${failed.message}`;
    if (!failed.backOffSaid) {
      this.#events.normal(pod, 'BackOff', `Back-off pulling image "${name}"`, container);
      this.#events.warning(pod, 'Failed', 'Error: ImagePullBackOff', container);
      this.#set(pod, container, { ...failed, backOffSaid: true });
    }
    return {
      kind: 'failed',
      reason: 'ImagePullBackOff',
      message,
      retryAtMs: failed.failedAtMs + failed.delayMs,
    };
  }

  async #pull(
    pod: Pod,
    container: Container,
    auth: Partial<AuthConfig> | undefined,
    before: Pull | undefined,
  ): Promise<void> {
    const name = container.image ?? '';
    const startedAtMs = this.#clock.now();
    this.#events.normal(pod, 'Pulling', `Pulling image "${name}"`, container);
    try {
      const imageRef = await this.#runtime.pullImage(name, auth, this.#abort.signal);
      const image = await this.#runtime.findImage(imageRef);
      const took = formatSeconds(this.#clock.now() - startedAtMs);
      this.#events.normal(
        pod,
        'Pulled',
        `Successfully pulled image "${name}" in ${took} (${took} including waiting). Image size: ${image?.size ?? 0n} bytes.`,
        container,
      );
      this.#set(pod, container, { kind: 'ready', imageRef });
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      const { message } = toPlatformError(error);
      this.#events.warning(pod, 'Failed', `Failed to pull image "${name}": ${message}`, container);
      this.#events.warning(pod, 'Failed', 'Error: ErrImagePull', container);
      const delayMs = before?.kind === 'failed' ? Math.min(delayMsMax, before.delayMs * 2) : firstDelayMs;
      const failedAtMs = this.#clock.now();
      this.#set(pod, container, { kind: 'failed', message, failedAtMs, delayMs, backOffSaid: false });
    }
  }
}

function formatSeconds(durationMs: number): string {
  return durationMs < 1_000 ? `${durationMs}ms` : `${(durationMs / 1_000).toFixed(3).replace(/\.?0+$/, '')}s`;
}
