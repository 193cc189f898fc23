import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Image, PodSandboxConfig } from '@hypernetes/proto/cri';
import { PlatformError, toPlatformError } from '@hypernetes/foundation/errors';
import type { Secret, Service } from '../../client/index.ts';
import {
  containerConfig,
  defaultTerminationMessagePath,
  type ContainerMountPoint,
} from '../containers/container-config.ts';
import { makeEnvironment } from '../containers/environment.ts';
import type { PodFacts } from '../containers/field-path.ts';
import { logDirectoryOf } from '../containers/sandbox-config.ts';
import type { ImagePuller } from '../images/image-puller.ts';
import type { Container, Pod } from '../kube-types.ts';
import type { ProbeTools } from '../probes/run-probe.ts';
import type { ReferencedObjects } from '../references/referenced-objects.ts';
import type { CriClient } from '../runtime/cri-client.ts';
import type { RuntimeSandbox } from '../runtime/pod-runtime.ts';
import { etcHosts, writeIfChanged } from '../volumes/etc-hosts.ts';
import type { PodFolders } from '../volumes/pod-folders.ts';
import { volumeMountPoints, type SetUpVolumes } from '../volumes/pod-volumes.ts';
import type { Waiting } from './container-status.ts';
import { runHook } from './lifecycle-hooks.ts';
import type { PodEvents } from './pod-events.ts';
import type { PodAction } from './pod-plan.ts';
import type { Trouble } from './start-back-off.ts';

/** A postStart handler without an end of its own is given this long. */
const postStartTimeoutS = 3_600;

type StartAction = Extract<PodAction, { kind: 'startContainer' }>;

export interface StarterParts {
  readonly cri: CriClient;
  readonly puller: ImagePuller;
  readonly references: ReferencedObjects;
  readonly folders: PodFolders;
  readonly events: PodEvents;
  readonly tools: ProbeTools;
  readonly services: () => readonly Service[];
  readonly podLogsDir: string;
  readonly clusterDomain: string;
}

export interface StartContext {
  readonly pod: Pod;
  readonly facts: PodFacts;
  readonly volumes: SetUpVolumes;
  readonly sandboxConfig: PodSandboxConfig;
  readonly signal: AbortSignal;
}

export type StartOutcome =
  | { readonly kind: 'started' }
  /** Its image is on the way: the puller will tell. */
  | { readonly kind: 'pulling' }
  | { readonly kind: 'waiting'; readonly waiting: Waiting; readonly retryAtMs: number | undefined }
  | {
      readonly kind: 'failed';
      readonly trouble: Trouble;
      readonly waiting: Waiting;
      readonly error: PlatformError;
    }
  /** It runs, but its postStart handler failed: it must go. */
  | { readonly kind: 'hookFailed'; readonly containerId: string };

/** Brings one container from nothing to running. Failures are outcomes with what kubectl shows; only the signal throws. */
export class ContainerStarter {
  readonly #parts: StarterParts;

  constructor(parts: StarterParts) {
    this.#parts = parts;
  }

  async start(action: StartAction, context: StartContext): Promise<StartOutcome> {
    const { pod } = context;
    const { container } = action;
    const state = await this.#parts.puller.ensure(pod, container, () => this.#pullSecrets(pod));
    if (state.kind === 'pulling') return { kind: 'pulling' };
    if (state.kind === 'failed') {
      const { reason, message, retryAtMs } = state;
      return { kind: 'waiting', waiting: { reason, message }, retryAtMs };
    }
    let config;
    try {
      config = await this.#configure(action, context, state.image);
    } catch (error) {
      return this.#fail(context, container, 'config', error);
    }
    const { cri, events, puller } = this.#parts;
    let containerId;
    try {
      containerId = await cri.createContainer(
        action.sandbox.id,
        config,
        context.sandboxConfig,
        context.signal,
      );
    } catch (error) {
      return this.#failCreate(context, container, error);
    }
    puller.used(pod, container);
    events.normal(pod, 'Created', `Created container: ${container.name}`, container);
    try {
      await cri.startContainer(containerId, context.signal);
    } catch (error) {
      return this.#fail(context, container, 'runtime', error, 'RunContainerError');
    }
    events.normal(pod, 'Started', `Started container ${container.name}`, container);
    return await this.#postStart(action, context, containerId);
  }

  async #configure(action: StartAction, context: StartContext, image: Image) {
    const { pod, facts, volumes } = context;
    const { references } = this.#parts;
    const { uid } = pod.metadata;
    const environment = await makeEnvironment(pod, action.container, {
      facts,
      services: this.#parts.services(),
      getConfigMap: (namespace, name) => references.getConfigMap(uid, namespace, name),
      getSecret: (namespace, name) => references.getSecret(uid, namespace, name),
    });
    const mounts = [
      ...volumeMountPoints(action.container, volumes, environment),
      ...(await this.#ownFiles(action, context)),
    ];
    await mkdir(join(logDirectoryOf(pod, this.#parts.podLogsDir), action.container.name), {
      recursive: true,
      mode: 0o755,
    });
    return containerConfig(pod, action.container, {
      attempt: action.attempt,
      restartDelayS: action.restartDelayS,
      environment,
      mounts,
      imageRef: image.id === '' ? (action.container.image ?? '') : image.id,
      imageUser: {
        uid: image.uid === undefined ? undefined : Number(image.uid.value),
        name: image.username === '' ? undefined : image.username,
      },
    });
  }

  /** /etc/hosts and the termination log, unless the pod mounts something of its own there. */
  async #ownFiles(action: StartAction, context: StartContext): Promise<ContainerMountPoint[]> {
    const { pod, facts } = context;
    const { folders, clusterDomain } = this.#parts;
    const { container, attempt } = action;
    const taken = new Set((container.volumeMounts ?? []).map(({ mountPath }) => mountPath));
    const hosts = folders.etcHosts(pod.metadata.uid);
    await writeIfChanged(hosts, etcHosts(pod, facts.podAddresses, clusterDomain), 0o644);
    const terminationLog = folders.terminationLog(pod.metadata.uid, container.name, attempt);
    await writeIfChanged(terminationLog, '', 0o666);
    return [
      { containerPath: '/etc/hosts', hostPath: hosts, readOnly: false },
      {
        containerPath: container.terminationMessagePath ?? defaultTerminationMessagePath,
        hostPath: terminationLog,
        readOnly: false,
      },
    ].filter(({ containerPath }) => !taken.has(containerPath));
  }

  async #pullSecrets(pod: Pod): Promise<Secret[]> {
    const { uid, namespace } = pod.metadata;
    const found = await Promise.all(
      (pod.spec.imagePullSecrets ?? []).map(({ name }) =>
        this.#parts.references.getSecret(uid, namespace, name ?? ''),
      ),
    );
    return found.filter((secret) => secret !== undefined);
  }

  async #postStart(action: StartAction, context: StartContext, containerId: string): Promise<StartOutcome> {
    const hook = action.container.lifecycle?.postStart;
    if (hook === undefined) return { kind: 'started' };
    const target = {
      containerId,
      sandboxId: action.sandbox.id,
      podAddress: context.facts.podAddresses[0] ?? '',
      container: action.container,
    };
    try {
      await runHook(hook, target, this.#parts.tools, postStartTimeoutS, context.signal);
      return { kind: 'started' };
    } catch (error) {
      const { message } = toPlatformError(error);
      const text = `PostStartHook failed: ${message}`;
      this.#parts.events.warning(context.pod, 'FailedPostStartHook', text, action.container);
      return { kind: 'hookFailed', containerId };
    }
  }

  /** A block device that cannot be attached is the volume's trouble, not the container's: the pod waits for it. */
  #failCreate(context: StartContext, container: Container, thrown: unknown): StartOutcome {
    const error = toPlatformError(thrown);
    const { message } = error;
    const volume = [...context.volumes.values()].find(
      ({ volumeId }) => volumeId !== undefined && message.includes(volumeId),
    );
    if (volume === undefined || context.signal.aborted) {
      // The image may be what is wrong with it: the next try asks for it by its policy.
      this.#parts.puller.used(context.pod, container);
      return this.#fail(context, container, 'runtime', error, 'CreateContainerError');
    }
    const text = `AttachVolume.Attach failed for volume "${volume.name}" : ${message}`;
    this.#parts.events.warning(context.pod, 'FailedAttachVolume', text);
    return {
      kind: 'failed',
      trouble: 'attach',
      waiting: { reason: 'ContainerCreating', message: text },
      error,
    };
  }

  #fail(
    { pod, signal }: StartContext,
    container: Container,
    trouble: Trouble,
    thrown: unknown,
    reason = 'CreateContainerConfigError',
  ): StartOutcome {
    // Cut short by the pod's deletion: nothing is wrong with the container.
    if (signal.aborted) throw thrown;
    const error = toPlatformError(thrown);
    this.#parts.events.warning(pod, 'Failed', `Error: ${error.message}`, container);
    return { kind: 'failed', trouble, waiting: { reason, message: error.message }, error };
  }
}

/** What a sandbox knows of the pod's place in the network. */
export function addressesOf(sandbox: RuntimeSandbox | undefined): readonly string[] {
  return sandbox?.addresses ?? [];
}
