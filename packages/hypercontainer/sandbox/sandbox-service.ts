import type { Readable, Writable, Duplex } from 'node:stream';

/**
 * The heart of HyperContainer as its front doors (cri/, oci/) see it: sandboxes (one virtual machine each) and the containers in them.
 * Every change is durable before its promise resolves; every method is safe to call again after a crash. Errors are PlatformErrors.
 */
export interface SandboxService extends AsyncDisposable {
  /** Loads what is on disk and connects to the virtual machines that still run. Called once, before anything else. */
  recover(): Promise<void>;

  /** Clones (or boots) a virtual machine, plugs its port, configures it. The same metadata (name, namespace, uid, attempt) again: AlreadyExists. */
  runSandbox(config: SandboxConfig, signal?: AbortSignal): Promise<string>;
  /** Ends all containers, detaches volumes, gives the port back, ends the virtual machine. Idempotent; unknown is success. */
  stopSandbox(sandboxId: string): Promise<void>;
  /** stopSandbox, then forgets it with its containers. Unknown is success. */
  removeSandbox(sandboxId: string): Promise<void>;
  /** NotFound when unknown. Identifiers may be unique prefixes wherever one is taken. */
  getSandbox(sandboxId: string): SandboxStatus;
  listSandboxes(): readonly SandboxStatus[];

  createContainer(sandboxId: string, config: ContainerConfig, signal?: AbortSignal): Promise<string>;
  startContainer(containerId: string): Promise<void>;
  /** The stop signal, then after timeoutMs SIGKILL. Exited already: success. */
  stopContainer(containerId: string, timeoutMs: number): Promise<void>;
  /** Ends it if it runs; unknown is success. */
  removeContainer(containerId: string): Promise<void>;
  getContainer(containerId: string): ContainerStatus;
  listContainers(): readonly ContainerStatus[];
  updateContainerResources(containerId: string, resources: LinuxResources): Promise<void>;
  /** Opens the container's log file anew (the old one was moved away). */
  reopenContainerLog(containerId: string): Promise<void>;

  /** Starts a process in a running container. Precondition when it does not run. */
  exec(containerId: string, options: ExecOptions): Promise<ProcessSession>;
  /** Joins the container's own stdin, stdout and stderr from now on. */
  attach(containerId: string, options: AttachOptions): Promise<ProcessSession>;
  /** A TCP connection to a port of the pod's loopback, made from inside the pod. Unavailable when nothing listens. */
  openConnection(sandboxId: string, port: number): Promise<Duplex>;

  sandboxStats(sandboxId: string): Promise<SandboxStats>;
  /** Every change of a sandbox or container, as it is made durable. */
  events(signal: AbortSignal): AsyncIterable<SandboxEvent>;
}

export interface SandboxMetadata {
  readonly name: string;
  readonly namespace: string;
  readonly uid: string;
  readonly attempt: number;
}

export interface SandboxConfig {
  readonly metadata: SandboxMetadata;
  readonly hostname: string;
  /** Folder the containers' logPath is relative to. */
  readonly logDirectory: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly dns: {
    readonly servers: readonly string[];
    readonly searches: readonly string[];
    readonly options: readonly string[];
  };
  readonly runtimeHandler: string;
  readonly sysctls: Readonly<Record<string, string>>;
  readonly sharedPidNamespace: boolean;
  /** Sum of what the containers may use plus overhead, when the caller knows it (CRI linux.resources); decides the size of the machine. */
  readonly resources: LinuxResources;
  /** From the annotations (docs/reference/annotations.md). */
  readonly networkUid: string;
  readonly tenantId: string;
}

export interface LinuxResources {
  readonly cpuPeriodUs?: number;
  readonly cpuQuotaUs?: number;
  readonly cpuShares?: number;
  readonly memoryLimitBytes?: number;
  readonly pidsLimit?: number;
  readonly cpusetCpus?: string;
  readonly memorySwapLimitBytes?: number;
  readonly oomScoreAdj?: number;
}

export type SandboxState = 'ready' | 'notReady';
export type Isolation = 'kvm' | 'tcg' | 'xen';

export interface SandboxStatus {
  readonly id: string;
  readonly config: SandboxConfig;
  readonly state: SandboxState;
  readonly createdAtNs: bigint;
  /** Without prefix length, first one first. */
  readonly addresses: readonly string[];
  readonly isolation: Isolation;
  readonly kernelRelease: string;
  /** Durations of the start, in milliseconds: network, clone, agent, configure, ... */
  readonly trace: Readonly<Record<string, number>>;
  readonly message: string;
}

/** Host paths in `mounts` are understood by what they are (docs/reference/mounts.md): kubelet volume folders, direct volumes. */
export interface ContainerConfig {
  readonly metadata: { readonly name: string; readonly attempt: number };
  /** As given; imageId is what it resolved to. */
  readonly image: string;
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly workingDir: string;
  readonly env: readonly { readonly key: string; readonly value: string }[];
  readonly mounts: readonly ContainerMount[];
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  /** Relative to the sandbox's logDirectory. */
  readonly logPath: string;
  readonly stdin: boolean;
  readonly stdinOnce: boolean;
  readonly tty: boolean;
  readonly resources: LinuxResources;
  readonly security: ContainerSecurity;
  readonly stopSignal?: string;
}

export interface ContainerMount {
  readonly containerPath: string;
  readonly hostPath: string;
  readonly readOnly: boolean;
  readonly propagation: 'private' | 'hostToContainer' | 'bidirectional';
}

export interface ContainerSecurity {
  readonly privileged: boolean;
  readonly runAsUser?: number;
  readonly runAsGroup?: number;
  readonly runAsUserName?: string;
  readonly supplementalGroups: readonly number[];
  readonly strictGroups: boolean;
  readonly readOnlyRootfs: boolean;
  readonly noNewPrivileges: boolean;
  readonly addCapabilities: readonly string[];
  readonly dropCapabilities: readonly string[];
  readonly maskedPaths: readonly string[];
  readonly readOnlyPaths: readonly string[];
  readonly seccomp: {
    readonly type: 'RuntimeDefault' | 'Unconfined' | 'Localhost';
    readonly localhostRef?: string;
  };
  readonly privatePidNamespace: boolean;
}

export type ContainerState = 'created' | 'running' | 'exited' | 'unknown';

export interface ContainerStatus {
  readonly id: string;
  readonly sandboxId: string;
  readonly config: ContainerConfig;
  readonly state: ContainerState;
  readonly createdAtNs: bigint;
  /** 0n: not yet. */
  readonly startedAtNs: bigint;
  readonly finishedAtNs: bigint;
  readonly exitCode: number;
  readonly reason: '' | 'Completed' | 'Error' | 'OOMKilled' | 'StartError';
  readonly message: string;
  readonly imageId: string;
  readonly imageRef: string;
  /** Absolute path of the log file. */
  readonly logPath: string;
}

export interface ExecOptions {
  readonly command: readonly string[];
  readonly tty: boolean;
  readonly stdin: boolean;
  readonly signal?: AbortSignal;
}

export interface AttachOptions {
  readonly stdin: boolean;
  readonly signal?: AbortSignal;
}

/** Flow-controlled: a reader that does not read stops the process in the guest, nothing is buffered without bound. */
export interface ProcessSession {
  /** null when no stdin was asked for. end() is end of file to the process. */
  readonly stdin: Writable | null;
  readonly stdout: Readable;
  /** null with a terminal. */
  readonly stderr: Readable | null;
  readonly tty: boolean;
  resize(rows: number, columns: number): Promise<void>;
  /** Exit code (0-255) once the process has ended and its output was delivered. */
  readonly exit: Promise<number>;
  /** exec: kills the process; attach: only leaves. */
  close(): Promise<void>;
}

export interface ContainerStats {
  readonly containerId: string;
  readonly cpuUsageNs: bigint;
  readonly memoryUsageBytes: bigint;
  readonly memoryWorkingSetBytes: bigint;
  readonly memoryRssBytes: bigint;
  readonly memoryPageFaults: bigint;
  readonly memoryMajorPageFaults: bigint;
  readonly writableUsedBytes: bigint;
  readonly writableInodesUsed: bigint;
  readonly pids: bigint;
}

export interface SandboxStats {
  readonly sandboxId: string;
  readonly timestampNs: bigint;
  readonly containers: readonly ContainerStats[];
  readonly interfaces: readonly {
    name: string;
    rxBytes: bigint;
    rxErrors: bigint;
    txBytes: bigint;
    txErrors: bigint;
  }[];
  readonly cpuUsageNs: bigint;
  readonly memoryTotalBytes: bigint;
  readonly memoryAvailableBytes: bigint;
  readonly processCount: bigint;
}

export interface SandboxEvent {
  readonly kind: 'containerCreated' | 'containerStarted' | 'containerStopped' | 'containerDeleted';
  /** For changes of the sandbox itself: the sandbox's identifier. */
  readonly containerId: string;
  readonly sandboxId: string;
  readonly atNs: bigint;
}
