import {
  LinuxContainerSecurityContext,
  SecurityProfile_ProfileType,
  SupplementalGroupsPolicy,
} from '@hypernetes/proto/cri';
import { PlatformError } from '@hypernetes/foundation/errors';
import type { Container, Pod } from '../kube-types.ts';
import { namespaceOptions } from './sandbox-config.ts';

/** Paths every container has masked or read-only unless it asks for procMount Unmasked or is privileged. */
const maskedPaths = [
  '/proc/asound',
  '/proc/acpi',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/sys/firmware',
  '/sys/devices/virtual/powercap',
];
const readonlyPaths = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

/** What the image says its user is; both undefined when it says nothing. */
export interface ImageUser {
  readonly uid: number | undefined;
  readonly name: string | undefined;
}

/**
 * The container's security context joined with the pod's (the container's wins). Throws Invalid, with the text users know, for a
 * container that must not run as root and would.
 */
export function linuxSecurityContext(
  pod: Pod,
  container: Container,
  imageUser: ImageUser,
): LinuxContainerSecurityContext {
  const own = container.securityContext ?? {};
  const shared = pod.spec.securityContext ?? {};
  const user = own.runAsUser ?? shared.runAsUser;
  const group = own.runAsGroup ?? shared.runAsGroup;
  const privileged = own.privileged === true;
  if (own.runAsNonRoot ?? shared.runAsNonRoot ?? false) refuseRoot(container, user, imageUser);
  const unmasked = privileged || own.procMount === 'Unmasked';
  return LinuxContainerSecurityContext.fromPartial({
    privileged,
    capabilities: {
      addCapabilities: own.capabilities?.add ?? [],
      dropCapabilities: own.capabilities?.drop ?? [],
    },
    namespaceOptions: namespaceOptions(pod),
    ...(user === undefined ? {} : { runAsUser: { value: BigInt(user) } }),
    ...(group === undefined ? {} : { runAsGroup: { value: BigInt(group) } }),
    supplementalGroups: [
      ...(shared.supplementalGroups ?? []),
      ...(shared.fsGroup === undefined ? [] : [shared.fsGroup]),
    ].map(BigInt),
    supplementalGroupsPolicy:
      (shared as { supplementalGroupsPolicy?: string }).supplementalGroupsPolicy === 'Strict'
        ? SupplementalGroupsPolicy.Strict
        : SupplementalGroupsPolicy.Merge,
    readonlyRootfs: own.readOnlyRootFilesystem === true,
    noNewPrivs: own.allowPrivilegeEscalation === false,
    maskedPaths: unmasked ? [] : maskedPaths,
    readonlyPaths: unmasked ? [] : readonlyPaths,
    seccomp: seccompProfile(own.seccompProfile ?? shared.seccompProfile),
  });
}

function seccompProfile(profile: { readonly type: string; readonly localhostProfile?: string } | undefined) {
  const { RuntimeDefault, Localhost, Unconfined } = SecurityProfile_ProfileType;
  const profileType =
    profile?.type === 'RuntimeDefault'
      ? RuntimeDefault
      : profile?.type === 'Localhost'
        ? Localhost
        : Unconfined;
  return { profileType, localhostRef: profile?.localhostProfile ?? '' };
}

function refuseRoot(container: Container, user: number | undefined, imageUser: ImageUser): void {
  const refuse = (why: string): never => {
    throw new PlatformError('Invalid', why);
  };
  if (user !== undefined) {
    if (user === 0) refuse(`container's runAsUser breaks non-root policy (container: ${container.name})`);
    return;
  }
  if (imageUser.uid === undefined && imageUser.name !== undefined) {
    refuse(
      `container has runAsNonRoot and image has non-numeric user (${imageUser.name}), cannot verify user is non-root (container: ${container.name})`,
    );
  }
  if ((imageUser.uid ?? 0) === 0) {
    refuse(`container has runAsNonRoot and image will run as root (container: ${container.name})`);
  }
}
