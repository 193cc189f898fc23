import type * as core from 'kubernetes-types/core/v1';
import type { KubeObject, ObjectMeta } from '../client/index.ts';

export type PodSpec = core.PodSpec;
export type PodStatus = core.PodStatus;
export type PodCondition = core.PodCondition;
export type Container = core.Container;
export type ContainerStatus = core.ContainerStatus;
export type ContainerState = core.ContainerState;
export type Volume = core.Volume;
export type Probe = core.Probe;
export type LifecycleHandler = core.LifecycleHandler;

/** A Pod as the API server gives it: uid, namespace and spec are always there. */
export interface Pod extends KubeObject {
  metadata: ObjectMeta & { uid: string; namespace: string };
  spec: PodSpec;
  status?: PodStatus;
}

/** Init containers with restartPolicy Always: sidecars, which run beside the containers. */
export function isSidecar(container: Container): boolean {
  return (container as Container & { restartPolicy?: string }).restartPolicy === 'Always';
}

/** Init containers first, in their order. */
export function allContainers(spec: PodSpec): Container[] {
  return [...(spec.initContainers ?? []), ...spec.containers];
}
