import {
  ContainerState as CriContainerState,
  PodSandboxState,
  type ContainerStatus as CriContainerStatus,
  type PodSandboxStatusResponse,
} from '@hypernetes/proto/cri';
import { criAnnotations, criLabels } from './labels.ts';

export type RuntimeContainerState = 'created' | 'running' | 'exited' | 'unknown';

/** A container as the runtime has it. Times in milliseconds since the epoch, 0: not yet. */
export interface RuntimeContainer {
  readonly id: string;
  readonly name: string;
  readonly sandboxId: string;
  readonly attempt: number;
  readonly state: RuntimeContainerState;
  readonly createdAtMs: number;
  readonly startedAtMs: number;
  readonly finishedAtMs: number;
  readonly exitCode: number;
  readonly reason: string;
  readonly message: string;
  readonly image: string;
  readonly imageRef: string;
  readonly hash: string;
  /** Delay that holds if it dies early; see restart-delay.ts. */
  readonly restartDelayS: number;
  readonly logPath: string;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface RuntimeSandbox {
  readonly id: string;
  readonly attempt: number;
  readonly ready: boolean;
  readonly createdAtMs: number;
  readonly addresses: readonly string[];
  /** What the sandbox really got, when the runtime says (kvm, tcg, xen). */
  readonly isolation: string;
  /** JSON object: milliseconds per phase of its start; empty when the runtime does not say. */
  readonly trace: string;
}

/** Everything the runtime has of one pod, newest first. */
export interface PodRuntime {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly sandboxes: readonly RuntimeSandbox[];
  readonly containers: readonly RuntimeContainer[];
}

export function emptyPodRuntime(uid: string, namespace: string, name: string): PodRuntime {
  return { uid, namespace, name, sandboxes: [], containers: [] };
}

/** The newest container of the name, whatever its state. */
export function findContainer(runtime: PodRuntime, name: string): RuntimeContainer | undefined {
  return runtime.containers.find((container) => container.name === name);
}

/** The one before the newest: what `lastState` and `logs --previous` speak of. */
export function findPreviousContainer(runtime: PodRuntime, name: string): RuntimeContainer | undefined {
  return runtime.containers.filter((container) => container.name === name)[1];
}

export function readySandbox(runtime: PodRuntime): RuntimeSandbox | undefined {
  return runtime.sandboxes.find((sandbox) => sandbox.ready);
}

const containerStates: Readonly<Record<number, RuntimeContainerState>> = {
  [CriContainerState.CONTAINER_CREATED]: 'created',
  [CriContainerState.CONTAINER_RUNNING]: 'running',
  [CriContainerState.CONTAINER_EXITED]: 'exited',
};

function toMs(nanoseconds: bigint): number {
  return Number(nanoseconds / 1_000_000n);
}

function toCount(text: string | undefined): number {
  const value = Number(text ?? 0);
  return Number.isInteger(value) && value >= 0 ? value : 0;
}

function firstText(...texts: readonly (string | undefined)[]): string {
  return texts.find((text) => text !== undefined && text !== '') ?? '';
}

export function parseCriContainer(status: CriContainerStatus, sandboxId: string): RuntimeContainer {
  return {
    id: status.id,
    name: status.labels[criLabels.containerName] ?? status.metadata?.name ?? '',
    sandboxId,
    attempt: toCount(
      status.annotations[criAnnotations.restartCount] ?? String(status.metadata?.attempt ?? 0),
    ),
    state: containerStates[status.state] ?? 'unknown',
    createdAtMs: toMs(status.createdAt),
    startedAtMs: toMs(status.startedAt),
    finishedAtMs: toMs(status.finishedAt),
    exitCode: status.exitCode,
    reason: status.reason,
    message: status.message,
    image: firstText(status.image?.userSpecifiedImage, status.image?.image),
    imageRef: status.imageRef,
    hash: status.annotations[criAnnotations.hash] ?? '',
    restartDelayS: toCount(status.annotations[criAnnotations.restartDelay]),
    logPath: status.logPath,
    annotations: status.annotations,
  };
}

/** The runtime writes plain text or JSON into `info`; a JSON string counts as its content. */
function infoText(value: string | undefined): string {
  if (value?.startsWith('"') !== true) return value ?? '';
  try {
    return String(JSON.parse(value));
  } catch {
    return value;
  }
}

export function parseCriSandbox(response: PodSandboxStatusResponse): RuntimeSandbox | undefined {
  const status = response.status;
  if (status === undefined) return undefined;
  const first = status.network?.ip ?? '';
  const others = status.network?.additionalIps.map((address) => address.ip) ?? [];
  return {
    id: status.id,
    attempt: status.metadata?.attempt ?? 0,
    ready: status.state === PodSandboxState.SANDBOX_READY,
    createdAtMs: toMs(status.createdAt),
    addresses: [first, ...others].filter((address) => address !== ''),
    isolation: infoText(response.info['isolation']),
    trace: response.info['trace'] ?? '',
  };
}

/** Sorts for PodRuntime: the highest attempt, then the youngest, first. */
export function newestFirst<T extends { readonly attempt: number; readonly createdAtMs: number }>(
  items: readonly T[],
): T[] {
  return items.toSorted(
    (left, right) => right.createdAtMs - left.createdAtMs || right.attempt - left.attempt,
  );
}
