import type { Pod, Toleration } from 'kubernetes-types/core/v1';
import type { AdmissionPlugin } from './admission.ts';
import { isMain, refuse } from './refusals.ts';

const hostFields = ['hostNetwork', 'hostPID', 'hostIPC'] as const;

/** A pod is a virtual machine: there is no namespace and no folder of the host it could share. */
export const hostIsolation: AdmissionPlugin = {
  name: 'HostIsolation',
  validate: (request) => {
    const { spec } = (request.object ?? {}) as unknown as Pod;
    if (spec === undefined || !isMain(request, 'pods') || request.operation !== 'create') return;
    for (const field of hostFields) {
      if (spec[field] === true) {
        throw refuse(
          request,
          `spec.${field} is not possible: pods are virtual machines and share nothing with the host`,
        );
      }
    }
    for (const [index, volume] of (spec.volumes ?? []).entries()) {
      if (volume.hostPath !== undefined) {
        throw refuse(
          request,
          `spec.volumes[${index}].hostPath is not possible: nothing of the host's file system is shared with pods; use emptyDir or a volume`,
        );
      }
    }
  },
};

const toleratedSeconds = 300;
const nodeTroubles = ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable'] as const;

function toleratesAlready(tolerations: readonly Toleration[], key: string): boolean {
  return tolerations.some(
    (toleration) =>
      (toleration.key === key || (toleration.key ?? '') === '') &&
      (toleration.effect === 'NoExecute' || (toleration.effect ?? '') === ''),
  );
}

/** Pods stay five minutes on a node in trouble unless they say otherwise. */
export const defaultTolerations: AdmissionPlugin = {
  name: 'DefaultTolerationSeconds',
  mutate: (request) => {
    const { spec } = (request.object ?? {}) as unknown as Pod;
    if (spec === undefined || !isMain(request, 'pods') || request.operation !== 'create') return;
    const present = spec.tolerations ?? [];
    const added = nodeTroubles
      .filter((key) => !toleratesAlready(present, key))
      .map((key) => ({
        key,
        operator: 'Exists' as const,
        effect: 'NoExecute' as const,
        tolerationSeconds: toleratedSeconds,
      }));
    if (added.length > 0) spec.tolerations = [...present, ...added];
  },
};
