import { join } from 'node:path';
import { ContainerConfig, Mount, MountPropagation } from '@hypernetes/proto/cri';
import type { Container, Pod } from '../kube-types.ts';
import { containerHash } from '../pods/container-hash.ts';
import { criAnnotations, criLabels } from '../runtime/labels.ts';
import { expandReferences } from './expansion.ts';
import { bytesOf, cpuMillisOf } from './resource-amounts.ts';
import { linuxResources } from './sandbox-config.ts';
import { linuxSecurityContext, type ImageUser } from './security-context.ts';

export interface ContainerMountPoint {
  readonly containerPath: string;
  readonly hostPath: string;
  readonly readOnly: boolean;
  readonly propagation?: string;
}

export interface ContainerSettings {
  readonly attempt: number;
  readonly restartDelayS: number;
  readonly environment: ReadonlyMap<string, string>;
  readonly mounts: readonly ContainerMountPoint[];
  /** What the image reference resolved to. */
  readonly imageRef: string;
  readonly imageUser: ImageUser;
}

export const defaultTerminationMessagePath = '/dev/termination-log';

/** Relative to the pod's log folder. */
export function logPathOf(containerName: string, attempt: number): string {
  return join(containerName, `${attempt}.log`);
}

const propagations: Readonly<Record<string, MountPropagation>> = {
  HostToContainer: MountPropagation.PROPAGATION_HOST_TO_CONTAINER,
  Bidirectional: MountPropagation.PROPAGATION_BIDIRECTIONAL,
};

/** The CRI configuration of a container. Pure; Invalid when the pod's security context forbids it. */
export function containerConfig(
  pod: Pod,
  container: Container,
  settings: ContainerSettings,
): ContainerConfig {
  const { environment } = settings;
  const expand = (texts: readonly string[] | undefined) =>
    (texts ?? []).map((text) => expandReferences(text, environment));
  const { limits, requests } = container.resources ?? {};
  return ContainerConfig.fromPartial({
    metadata: { name: container.name, attempt: settings.attempt },
    image: {
      image: settings.imageRef,
      userSpecifiedImage: container.image ?? '',
      annotations: {},
    },
    command: expand(container.command),
    args: expand(container.args),
    workingDir: container.workingDir ?? '',
    envs: [...environment].map(([key, value]) => ({ key, value: Buffer.from(value, 'utf8') })),
    mounts: settings.mounts.map(toCriMount),
    labels: {
      [criLabels.podName]: pod.metadata.name,
      [criLabels.podNamespace]: pod.metadata.namespace,
      [criLabels.podUid]: pod.metadata.uid,
      [criLabels.containerName]: container.name,
    },
    annotations: annotationsOf(pod, container, settings),
    logPath: logPathOf(container.name, settings.attempt),
    stdin: container.stdin === true,
    stdinOnce: container.stdinOnce === true,
    tty: container.tty === true,
    linux: {
      resources: linuxResources({
        cpuLimitMillis: cpuMillisOf(limits?.['cpu']),
        cpuRequestMillis: cpuMillisOf(requests?.['cpu'] ?? limits?.['cpu']),
        memoryLimitBytes: bytesOf(limits?.['memory']),
      }),
      securityContext: linuxSecurityContext(pod, container, settings.imageUser),
    },
  });
}

function annotationsOf(pod: Pod, container: Container, settings: ContainerSettings): Record<string, string> {
  return {
    [criAnnotations.hash]: containerHash(container),
    [criAnnotations.restartCount]: String(settings.attempt),
    [criAnnotations.restartDelay]: String(settings.restartDelayS),
    [criAnnotations.terminationMessagePath]:
      container.terminationMessagePath ?? defaultTerminationMessagePath,
    [criAnnotations.terminationMessagePolicy]: container.terminationMessagePolicy ?? 'File',
    [criAnnotations.podTerminationGracePeriod]: String(pod.spec.terminationGracePeriodSeconds ?? 30),
  };
}

function toCriMount(mount: ContainerMountPoint): Mount {
  return Mount.fromPartial({
    containerPath: mount.containerPath,
    hostPath: mount.hostPath,
    readonly: mount.readOnly,
    propagation: propagations[mount.propagation ?? ''] ?? MountPropagation.PROPAGATION_PRIVATE,
  });
}
