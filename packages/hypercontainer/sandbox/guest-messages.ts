import { randomBytes } from 'node:crypto';
import {
  ConfigureSandbox,
  CreateContainer,
  Mount,
  type Process,
  type ScsiAddress,
} from '@hypernetes/proto/hyperstart';
import type { Port } from '@hypernetes/proto/kubestack';
import { defaultMaskedPaths, defaultReadOnlyPaths, guestResources } from './container-process.ts';
import type { MountSource } from './mounts.ts';
import type { ContainerConfig, ContainerMount, SandboxConfig } from './sandbox-service.ts';

const scratchAddress: ScsiAddress = { target: 0, lun: 0 };
const interfaceName = 'eth0';
const entropyBytes = 64;

/** Everything that makes a clone this pod. */
export function configureSandbox(sandboxId: string, config: SandboxConfig, port: Port): ConfigureSandbox {
  return ConfigureSandbox.fromPartial({
    hostname: config.hostname,
    entropy: randomBytes(entropyBytes),
    clockRealtimeNs: BigInt(Date.now()) * 1_000_000n,
    machineId: sandboxId.slice(0, 32),
    interfaces: [{ mac: port.mac, name: interfaceName, addresses: port.addresses, mtu: port.mtu, index: 0 }],
    routes: routesOf(port),
    resolvConf: resolvConf(config.dns, port.dnsServers),
    hosts: hostsFile(config.hostname, port),
    sysctls: { ...config.sysctls },
    scratch: { address: scratchAddress },
    sharedPidNamespace: config.sharedPidNamespace,
  });
}

function routesOf(port: Port): ConfigureSandbox['routes'] {
  const fixed = port.routes.map(({ destination, nextHop }) => ({
    destination,
    gateway: nextHop,
    interface: interfaceName,
  }));
  if (port.gateway === '') return fixed;
  return [{ destination: '0.0.0.0/0', gateway: port.gateway, interface: interfaceName }, ...fixed];
}

/** resolv.conf(5): what the pod asks for, the network's servers when it asks for none. Pure. */
export function resolvConf(dns: SandboxConfig['dns'], networkServers: readonly string[]): string {
  const servers = dns.servers.length > 0 ? dns.servers : networkServers;
  return [
    ...(dns.searches.length > 0 ? [`search ${dns.searches.join(' ')}`] : []),
    ...servers.map((server) => `nameserver ${server}`),
    ...(dns.options.length > 0 ? [`options ${dns.options.join(' ')}`] : []),
    '',
  ].join('\n');
}

function hostsFile(hostname: string, port: Port): string {
  const addresses = port.addresses.map((address) => `${address.split('/')[0] ?? ''}\t${hostname}`);
  return ['127.0.0.1\tlocalhost', '::1\tlocalhost ip6-localhost ip6-loopback', ...addresses, ''].join('\n');
}

/** A mount of a container with what stands behind it in the guest. */
export interface GuestMount {
  readonly mount: ContainerMount;
  readonly source: MountSource;
  /** Of the pushed set or the mounted volume. */
  readonly guestId: string;
}

/** Pure. */
export function createContainer(options: {
  readonly containerId: string;
  readonly config: ContainerConfig;
  readonly process: Process;
  readonly layerVolumeIds: readonly string[];
  readonly mounts: readonly GuestMount[];
  readonly stdinStream: number;
  readonly stdoutStream: number;
  readonly stderrStream: number;
}): CreateContainer {
  const { config } = options;
  const { security } = config;
  const orDefault = (own: readonly string[], usual: readonly string[]): string[] =>
    security.privileged ? [] : [...(own.length > 0 ? own : usual)];
  return CreateContainer.fromPartial({
    containerId: options.containerId,
    layerVolumeIds: [...options.layerVolumeIds],
    readOnlyRootfs: security.readOnlyRootfs,
    mounts: options.mounts.map(guestMount),
    process: options.process,
    resources: guestResources(config.resources),
    maskedPaths: orDefault(security.maskedPaths, defaultMaskedPaths),
    readOnlyPaths: orDefault(security.readOnlyPaths, defaultReadOnlyPaths),
    privileged: security.privileged,
    privatePidNamespace: security.privatePidNamespace,
    stdinStream: options.stdinStream,
    stdoutStream: options.stdoutStream,
    stderrStream: options.stderrStream,
    stdinOnce: config.stdinOnce,
  });
}

const propagations = { private: 'private', hostToContainer: 'rslave', bidirectional: 'rshared' } as const;

function guestMount({ mount, source, guestId }: GuestMount): Mount {
  const common = {
    destination: mount.containerPath,
    readOnly: mount.readOnly,
    propagation: propagations[mount.propagation],
  };
  switch (source.kind) {
    case 'directVolume':
      return Mount.fromPartial({
        ...common,
        readOnly: mount.readOnly || source.volume.readOnly,
        source: { $case: 'volumeId', value: guestId },
        subPath: source.subPath,
      });
    case 'emptyDir':
      return Mount.fromPartial({
        ...common,
        source: { $case: source.inMemory ? 'memoryDirId' : 'emptyDirId', value: source.id },
        subPath: source.subPath,
        fsGroup: BigInt(source.groupId),
      });
    case 'folder':
      return Mount.fromPartial({
        ...common,
        source: { $case: 'fileSetId', value: guestId },
        subPath: source.subPath,
      });
    case 'file':
      return Mount.fromPartial({
        ...common,
        source: { $case: 'fileSetId', value: guestId },
        subPath: source.hostPath.slice(source.hostPath.lastIndexOf('/') + 1),
      });
  }
}
