import { PlatformError } from '@hypernetes/foundation/errors';
import {
  MountPropagation,
  NamespaceMode,
  SecurityProfile_ProfileType,
  Signal,
  SupplementalGroupsPolicy,
  type AuthConfig,
  type ContainerConfig as CriContainerConfig,
  type LinuxContainerResources,
  type LinuxContainerSecurityContext,
  type Mount,
  type NamespaceOption,
  type PodSandboxConfig,
  type SecurityProfile,
} from '@hypernetes/proto/cri';
import type { RegistryAuth } from '../image-store/index.ts';
import type {
  ContainerConfig,
  ContainerMount,
  ContainerSecurity,
  LinuxResources,
  SandboxConfig,
} from '../sandbox/sandbox-service.ts';

/** Names of annotations hyperd reads (docs/reference/annotations.md). */
export const annotations = {
  networkUid: 'hypernetes.io/network-uid',
  tenantId: 'hypernetes.io/tenant-id',
  /** On ImageSpec, value "true": the image named is an archive file on this host. */
  imageArchive: 'hypernetes.io/archive',
} as const;

/** RuntimeClass handlers that mean "a virtual machine of ours"; the empty one is the default. */
export const runtimeHandlers: readonly string[] = ['', 'hypernetes'];

const defaultNetworkUid = 'default';

function refused(what: string, why: string): PlatformError {
  return new PlatformError('Invalid', `${what}: ${why}`);
}

/** What a pod that is a virtual machine cannot share with the host. */
function refuseHostNamespaces(options: NamespaceOption | undefined, what: string): void {
  const shares = [
    { mode: options?.network, field: 'hostNetwork' },
    { mode: options?.pid, field: 'hostPID' },
    { mode: options?.ipc, field: 'hostIPC' },
  ];
  const shared = shares.filter(({ mode }) => mode === NamespaceMode.NODE).map(({ field }) => field);
  if (shared.length > 0) {
    throw refused(
      what,
      `${shared.join(', ')} is not possible: the pod is a virtual machine of its own; remove it from the pod's spec`,
    );
  }
  if (options?.usernsOptions?.mode === NamespaceMode.POD) {
    throw refused(what, 'hostUsers: false is not supported: the virtual machine already separates the users');
  }
}

function positive(value: bigint): number | undefined {
  return value > 0n ? Number(value) : undefined;
}

function defined<T extends object>(value: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}

/** Zero and empty mean "not said" on this wire. */
export function parseResources(resources: LinuxContainerResources | undefined): LinuxResources {
  if (resources === undefined) return {};
  const pidsMax = resources.unified['pids.max'];
  return defined({
    cpuPeriodUs: positive(resources.cpuPeriod),
    cpuQuotaUs: positive(resources.cpuQuota),
    cpuShares: positive(resources.cpuShares),
    memoryLimitBytes: positive(resources.memoryLimitInBytes),
    memorySwapLimitBytes: positive(resources.memorySwapLimitInBytes),
    pidsLimit: pidsMax !== undefined && /^[1-9][0-9]{0,9}$/.test(pidsMax) ? Number(pidsMax) : undefined,
    cpusetCpus: resources.cpusetCpus === '' ? undefined : resources.cpusetCpus,
    oomScoreAdj: resources.oomScoreAdj === 0n ? undefined : Number(resources.oomScoreAdj),
  });
}

function addResources(first: LinuxResources, second: LinuxResources): LinuxResources {
  const sum = (a: number | undefined, b: number | undefined): number | undefined =>
    a === undefined ? undefined : a + (b ?? 0);
  return defined({
    ...first,
    cpuQuotaUs: sum(first.cpuQuotaUs, second.cpuPeriodUs === first.cpuPeriodUs ? second.cpuQuotaUs : 0),
    memoryLimitBytes: sum(first.memoryLimitBytes, second.memoryLimitBytes),
  });
}

/** PodSandboxConfig as the sandbox service takes it; Invalid names what a virtual machine cannot be. */
export function parseSandboxConfig(
  config: PodSandboxConfig | undefined,
  runtimeHandler: string,
): SandboxConfig {
  const metadata = config?.metadata;
  if (config === undefined || metadata === undefined || metadata.name === '' || metadata.uid === '') {
    throw refused('pod sandbox', 'config.metadata with name, namespace and uid is required');
  }
  const what = `pod ${metadata.namespace}/${metadata.name}`;
  if (!runtimeHandlers.includes(runtimeHandler)) {
    throw new PlatformError(
      'NotFound',
      `${what}: runtime handler ${JSON.stringify(runtimeHandler)}: not found; there is: hypernetes`,
    );
  }
  const options = config.linux?.securityContext?.namespaceOptions;
  refuseHostNamespaces(options, what);
  const hostPort = config.portMappings.find((mapping) => mapping.hostPort > 0)?.hostPort;
  if (hostPort !== undefined) {
    throw refused(
      what,
      `hostPort ${hostPort} is not supported; expose the pod with a Service of type NodePort or LoadBalancer`,
    );
  }
  const networkUid = config.annotations[annotations.networkUid];
  return {
    metadata: {
      name: metadata.name,
      namespace: metadata.namespace,
      uid: metadata.uid,
      attempt: metadata.attempt,
    },
    hostname: config.hostname,
    logDirectory: config.logDirectory,
    labels: config.labels,
    annotations: config.annotations,
    dns: {
      servers: config.dnsConfig?.servers ?? [],
      searches: config.dnsConfig?.searches ?? [],
      options: config.dnsConfig?.options ?? [],
    },
    runtimeHandler,
    sysctls: config.linux?.sysctls ?? {},
    sharedPidNamespace: options?.pid === NamespaceMode.POD,
    resources: addResources(parseResources(config.linux?.resources), parseResources(config.linux?.overhead)),
    networkUid: networkUid === undefined || networkUid === '' ? defaultNetworkUid : networkUid,
    tenantId: config.annotations[annotations.tenantId] ?? '',
  };
}

function parseMount(mount: Mount, what: string): ContainerMount {
  if (mount.image !== undefined)
    throw refused(what, `mount ${mount.containerPath}: image volumes are not supported`);
  if (mount.uidMappings.length > 0 || mount.gidMappings.length > 0) {
    throw refused(what, `mount ${mount.containerPath}: mapped users are not supported`);
  }
  if (mount.recursiveReadOnly) {
    throw refused(what, `mount ${mount.containerPath}: recursiveReadOnly is not supported`);
  }
  if (!mount.containerPath.startsWith('/') || !mount.hostPath.startsWith('/')) {
    throw refused(what, `mount ${JSON.stringify(mount.containerPath)}: both paths must be absolute`);
  }
  const propagations: Readonly<Partial<Record<MountPropagation, ContainerMount['propagation']>>> = {
    [MountPropagation.PROPAGATION_HOST_TO_CONTAINER]: 'hostToContainer',
    [MountPropagation.PROPAGATION_BIDIRECTIONAL]: 'bidirectional',
  };
  return {
    containerPath: mount.containerPath,
    hostPath: mount.hostPath,
    readOnly: mount.readonly,
    propagation: propagations[mount.propagation] ?? 'private',
  };
}

function parseSeccomp(
  profile: SecurityProfile | undefined,
  privileged: boolean,
): ContainerSecurity['seccomp'] {
  if (privileged || profile === undefined || profile.profileType === SecurityProfile_ProfileType.Unconfined) {
    return { type: 'Unconfined' };
  }
  if (profile.profileType === SecurityProfile_ProfileType.Localhost) {
    return { type: 'Localhost', localhostRef: profile.localhostRef };
  }
  return { type: 'RuntimeDefault' };
}

function parseSecurity(context: LinuxContainerSecurityContext | undefined, what: string): ContainerSecurity {
  const options = context?.namespaceOptions;
  refuseHostNamespaces(options, what);
  if (options?.pid === NamespaceMode.TARGET) {
    throw refused(what, 'the process namespace of another container (targetContainerName) is not supported');
  }
  if (context?.apparmor?.profileType === SecurityProfile_ProfileType.Localhost) {
    throw refused(what, 'AppArmor profiles of the host do not exist inside the virtual machine');
  }
  const privileged = context?.privileged ?? false;
  const userName = context?.runAsUsername ?? '';
  return {
    privileged,
    ...(context?.runAsUser === undefined ? {} : { runAsUser: Number(context.runAsUser.value) }),
    ...(context?.runAsGroup === undefined ? {} : { runAsGroup: Number(context.runAsGroup.value) }),
    ...(userName === '' ? {} : { runAsUserName: userName }),
    supplementalGroups: (context?.supplementalGroups ?? []).map(Number),
    strictGroups: context?.supplementalGroupsPolicy === SupplementalGroupsPolicy.Strict,
    readOnlyRootfs: context?.readonlyRootfs ?? false,
    noNewPrivileges: context?.noNewPrivs ?? false,
    addCapabilities: [...(context?.capabilities?.addCapabilities ?? [])],
    dropCapabilities: [...(context?.capabilities?.dropCapabilities ?? [])],
    maskedPaths: [...(context?.maskedPaths ?? [])],
    readOnlyPaths: [...(context?.readonlyPaths ?? [])],
    seccomp: parseSeccomp(context?.seccomp, privileged),
    privatePidNamespace: options?.pid === NamespaceMode.CONTAINER,
  };
}

/** `SIGTERM`, `SIGRTMIN+3`; undefined when the runtime is to choose. */
export function parseSignal(signal: Signal): string | undefined {
  if (signal === Signal.SIGNAL_RUNTIME_DEFAULT || signal === Signal.UNRECOGNIZED) return undefined;
  return Signal[signal]
    .replace(/^SIGNAL_/, '')
    .replace('PLUS', '+')
    .replace('RTMAXMINUS', 'RTMAX-');
}

/** ContainerConfig as the sandbox service takes it; Invalid names what is not possible in a virtual machine. */
export function parseContainerConfig(config: CriContainerConfig | undefined): ContainerConfig {
  const metadata = config?.metadata;
  if (config === undefined || metadata === undefined || metadata.name === '') {
    throw refused('container', 'config.metadata.name is required');
  }
  const what = `container ${metadata.name}`;
  if (config.image === undefined || config.image.image === '') throw refused(what, 'an image is required');
  if (config.devices.length > 0 || config.CDIDevices.length > 0) {
    throw refused(what, 'devices of the host cannot be given to a virtual machine');
  }
  const stopSignal = parseSignal(config.stopSignal);
  return {
    metadata: { name: metadata.name, attempt: metadata.attempt },
    image: config.image.image,
    command: config.command,
    args: config.args,
    workingDir: config.workingDir,
    env: config.envs.map(({ key, value }) => ({ key, value: value.toString('utf8') })),
    mounts: config.mounts.map((mount) => parseMount(mount, what)),
    labels: config.labels,
    annotations: config.annotations,
    logPath: config.logPath,
    stdin: config.stdin,
    stdinOnce: config.stdinOnce,
    tty: config.tty,
    resources: parseResources(config.linux?.resources),
    security: parseSecurity(config.linux?.securityContext, what),
    ...(stopSignal === undefined ? {} : { stopSignal }),
  };
}

/** Credentials as the image store takes them; `auth` is base64 of "user:password" as in docker's configuration. */
export function parseAuth(auth: AuthConfig | undefined): RegistryAuth | undefined {
  if (auth === undefined) return undefined;
  let { username, password } = auth;
  if (username === '' && auth.auth !== '') {
    const decoded = Buffer.from(auth.auth, 'base64').toString('utf8').replace(/\0+$/, '');
    const colon = decoded.indexOf(':');
    if (colon === -1) throw refused('registry credentials', 'auth is not base64 of user:password');
    username = decoded.slice(0, colon);
    password = decoded.slice(colon + 1);
  }
  const { identityToken, registryToken } = auth;
  return {
    ...(username === '' ? {} : { username, password }),
    ...(identityToken === '' ? {} : { identityToken }),
    ...(registryToken === '' ? {} : { registryToken }),
  };
}
