import { join } from 'node:path';
import {
  LinuxContainerResources,
  LinuxPodSandboxConfig,
  NamespaceMode,
  PodSandboxConfig,
  Protocol,
} from '@hypernetes/proto/cri';
import type { Pod } from '../kube-types.ts';
import { criLabels } from '../runtime/labels.ts';
import { podDns, type DnsSettings } from './dns.ts';
import { bytesOf, cpuMillisOf, podSize } from './resource-amounts.ts';

const hostnameMax = 63;
const cpuPeriodUs = 100_000;

export interface SandboxSettings {
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
  readonly hostDns: DnsSettings;
  readonly podLogsDir: string;
}

/** The host name in the pod: spec.hostname or the pod's name, cut to what a host name may be. */
export function hostnameOf(pod: Pod): string {
  const name = pod.spec.hostname ?? pod.metadata.name;
  return name.slice(0, hostnameMax).replace(/[-.]+$/, '');
}

/** hostname.subdomain.namespace.svc.domain when the pod asks for a subdomain. */
export function fullNameOf(pod: Pod, clusterDomain: string): string | undefined {
  const { subdomain } = pod.spec;
  if (subdomain === undefined || subdomain === '') return undefined;
  return `${hostnameOf(pod)}.${subdomain}.${pod.metadata.namespace}.svc.${clusterDomain}`;
}

export function logDirectoryOf(
  pod: { readonly metadata: { readonly namespace: string; readonly name: string; readonly uid: string } },
  podLogsDir: string,
): string {
  const { namespace, name, uid } = pod.metadata;
  return join(podLogsDir, `${namespace}_${name}_${uid}`);
}

/** CPU in thousandths as a quota of the usual period; CPU shares as the kernel counts them. */
export function linuxResources(amounts: {
  readonly cpuLimitMillis?: number;
  readonly cpuRequestMillis?: number;
  readonly memoryLimitBytes?: number;
}): LinuxContainerResources {
  const { cpuLimitMillis = 0, cpuRequestMillis = 0, memoryLimitBytes = 0 } = amounts;
  return LinuxContainerResources.fromPartial({
    ...(cpuLimitMillis > 0
      ? {
          cpuPeriod: BigInt(cpuPeriodUs),
          cpuQuota: BigInt(Math.max(1_000, Math.ceil((cpuLimitMillis * cpuPeriodUs) / 1_000))),
        }
      : {}),
    cpuShares: BigInt(Math.max(2, Math.floor((cpuRequestMillis * 1_024) / 1_000))),
    memoryLimitInBytes: BigInt(memoryLimitBytes),
  });
}

const protocols: Readonly<Record<string, Protocol>> = {
  TCP: Protocol.TCP,
  UDP: Protocol.UDP,
  SCTP: Protocol.SCTP,
};

/** The CRI configuration of a pod's sandbox. Pure: the same pod and attempt give the same. */
export function sandboxConfig(pod: Pod, attempt: number, settings: SandboxSettings): PodSandboxConfig {
  const { name, namespace, uid } = pod.metadata;
  return PodSandboxConfig.fromPartial({
    metadata: { name, namespace, uid, attempt },
    hostname: hostnameOf(pod),
    logDirectory: logDirectoryOf(pod, settings.podLogsDir),
    dnsConfig: podDns(
      pod,
      { servers: settings.clusterDns, domain: settings.clusterDomain },
      settings.hostDns,
    ),
    portMappings: pod.spec.containers.flatMap(({ ports }) =>
      (ports ?? []).map((port) => ({
        protocol: protocols[port.protocol ?? 'TCP'] ?? Protocol.TCP,
        containerPort: port.containerPort,
        hostPort: port.hostPort ?? 0,
        hostIp: port.hostIP ?? '',
      })),
    ),
    labels: {
      ...pod.metadata.labels,
      [criLabels.podName]: name,
      [criLabels.podNamespace]: namespace,
      [criLabels.podUid]: uid,
    },
    annotations: pod.metadata.annotations ?? {},
    linux: sandboxLinux(pod),
  });
}

/** A pod that wants namespaces of the host says so to the runtime, which refuses it with a reason. */
export function namespaceOptions(pod: Pod) {
  const { hostNetwork, hostPID, hostIPC, shareProcessNamespace } = pod.spec;
  const mode = (onHost: boolean | undefined, otherwise: NamespaceMode) =>
    onHost === true ? NamespaceMode.NODE : otherwise;
  return {
    network: mode(hostNetwork, NamespaceMode.POD),
    ipc: mode(hostIPC, NamespaceMode.POD),
    pid: mode(hostPID, shareProcessNamespace === true ? NamespaceMode.POD : NamespaceMode.CONTAINER),
  };
}

function sandboxLinux(pod: Pod): LinuxPodSandboxConfig {
  const size = podSize(pod.spec);
  const { securityContext, overhead } = pod.spec;
  const group = securityContext?.runAsGroup;
  const user = securityContext?.runAsUser;
  return LinuxPodSandboxConfig.fromPartial({
    resources: linuxResources({ cpuLimitMillis: size.cpuMillis, memoryLimitBytes: size.memoryBytes }),
    ...(overhead === undefined
      ? {}
      : {
          overhead: linuxResources({
            cpuLimitMillis: cpuMillisOf(overhead['cpu']),
            memoryLimitBytes: bytesOf(overhead['memory']),
          }),
        }),
    sysctls: Object.fromEntries((securityContext?.sysctls ?? []).map(({ name, value }) => [name, value])),
    securityContext: {
      namespaceOptions: namespaceOptions(pod),
      ...(user === undefined ? {} : { runAsUser: { value: BigInt(user) } }),
      ...(group === undefined ? {} : { runAsGroup: { value: BigInt(group) } }),
      supplementalGroups: (securityContext?.supplementalGroups ?? []).map(BigInt),
      privileged: pod.spec.containers.some((container) => container.securityContext?.privileged === true),
    },
  });
}
