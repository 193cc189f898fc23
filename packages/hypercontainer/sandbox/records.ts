import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readFileIfExists, writeFileAtomic } from '@hypernetes/foundation/files';
import type { Port } from '@hypernetes/proto/kubestack';
import type { DiskAddress, MachineRecord } from '../hypervisor/index.ts';
import type {
  ContainerConfig,
  ContainerStatus,
  Isolation,
  SandboxConfig,
  SandboxStatus,
} from './sandbox-service.ts';

const recordVersion = 1;

/**
 * Life of a sandbox on disk. creating: everything it may hold is taken back after a crash. ready: it runs, or its machine died (see `dead`).
 * stopping: a crash goes on with stopping. stopped: nothing of it is left but the record.
 */
export type SandboxPhase = 'creating' | 'ready' | 'stopping' | 'stopped';

/** A disk plugged into the machine besides the fixed ones. */
export interface PluggedDisk {
  /** The guest's name of it. */
  readonly volumeId: string;
  readonly address: DiskAddress;
}

/** A volume of kubestack; on record before it is attached, so that a crash cannot leave it attached. */
export interface AttachedVolume {
  readonly volumeId: string;
  readonly tenantId: string;
  readonly readOnly: boolean;
}

/** A set of files pushed for one mount. */
export interface PushedFiles {
  readonly setId: string;
  readonly hostPath: string;
  /** folder: kept the same as the host's while the container is there. file: pushed once. */
  readonly kind: 'folder' | 'file';
  readonly inMemory: boolean;
  /** What the container wrote goes back to the host's file at its end. */
  readonly writeBack: boolean;
}

export interface ContainerRecord {
  readonly id: string;
  readonly config: ContainerConfig;
  /** creating: not yet answered for; a crash takes it back. */
  state: 'creating' | 'created' | 'running' | 'exited';
  readonly createdAtNs: string;
  startedAtNs: string;
  finishedAtNs: string;
  exitCode: number;
  reason: ContainerStatus['reason'];
  message: string;
  readonly imageId: string;
  readonly imageRef: string;
  readonly logPath: string;
  readonly stdinStream: number;
  readonly stdoutStream: number;
  readonly stderrStream: number;
  readonly stopSignal: string;
  files: readonly PushedFiles[];
  /** As the container's own process has them: exec takes them over. */
  readonly env: readonly string[];
  readonly workingDir: string;
}

export interface SandboxRecord {
  readonly version: number;
  readonly id: string;
  readonly config: SandboxConfig;
  /** Its monitor runs as base + slot. */
  readonly slot: number;
  phase: SandboxPhase;
  /** The machine ended by itself. */
  dead: boolean;
  message: string;
  readonly createdAtNs: string;
  port: Port | undefined;
  machine: MachineRecord | undefined;
  isolation: Isolation;
  kernelRelease: string;
  trace: Record<string, number>;
  /** Stream numbers below it may have been used: they are taken in blocks, so that not every exec writes the record. */
  streamLimit: number;
  nextLun: number;
  disks: PluggedDisk[];
  volumes: AttachedVolume[];
  containers: ContainerRecord[];
}

/** A record before anything was done for it. */
export function newSandboxRecord(
  id: string,
  config: SandboxConfig,
  slot: number,
  isolation: Isolation,
  kernelRelease: string,
): SandboxRecord {
  return {
    version: recordVersion,
    id,
    config,
    slot,
    phase: 'creating',
    dead: false,
    message: '',
    createdAtNs: nowNs().toString(),
    port: undefined,
    machine: undefined,
    isolation,
    kernelRelease,
    trace: {},
    streamLimit: 1,
    nextLun: firstFreeLun,
    disks: [],
    volumes: [],
    containers: [],
  };
}

/** LUN 0 is the scratch disk, LUN 1 the tools. */
const firstFreeLun = 2;

export function nowNs(): bigint {
  return BigInt(Date.now()) * 1_000_000n;
}

/** The `<dataDir>/hyperd/sandboxes` folder: one folder per sandbox with its record, scratch disk and log cursors. */
export class SandboxFolders {
  readonly root: string;

  constructor(dataDir: string) {
    this.root = join(dataDir, 'hyperd', 'sandboxes');
  }

  folder(id: string): string {
    return join(this.root, id);
  }

  scratch(id: string): string {
    return join(this.folder(id), 'scratch.raw');
  }

  monitorLog(id: string): string {
    return join(this.folder(id), 'qemu.log');
  }

  logCursor(id: string, containerId: string): string {
    return join(this.folder(id), `${containerId}.cursor`);
  }

  async save(record: SandboxRecord): Promise<void> {
    await mkdir(this.folder(record.id), { recursive: true, mode: 0o711 });
    await writeFileAtomic(join(this.folder(record.id), stateFile), JSON.stringify(record));
  }

  /** Forgets the sandbox: the record goes first, so that a crash leaves at most a folder without one. */
  async remove(id: string): Promise<void> {
    await rm(join(this.folder(id), stateFile), { force: true });
    await rm(this.folder(id), { recursive: true, force: true });
  }

  /** All records; folders without one are removed. */
  async load(): Promise<readonly SandboxRecord[]> {
    await mkdir(this.root, { recursive: true, mode: 0o711 });
    const records: SandboxRecord[] = [];
    for (const id of await readdir(this.root)) {
      const text = await readFileIfExists(join(this.folder(id), stateFile));
      if (text === undefined) await this.remove(id);
      else records.push(JSON.parse(text) as SandboxRecord);
    }
    return records;
  }
}

const stateFile = 'state.json';

/** What the front doors see. */
export function toSandboxStatus(record: SandboxRecord): SandboxStatus {
  return {
    id: record.id,
    config: record.config,
    state: record.phase === 'ready' && !record.dead ? 'ready' : 'notReady',
    createdAtNs: BigInt(record.createdAtNs),
    addresses: (record.port?.addresses ?? []).map((address) => address.split('/')[0] ?? ''),
    isolation: record.isolation,
    kernelRelease: record.kernelRelease,
    trace: record.trace,
    message: record.message,
  };
}

export function toContainerStatus(sandboxId: string, record: ContainerRecord): ContainerStatus {
  return {
    id: record.id,
    sandboxId,
    config: record.config,
    state: record.state === 'creating' ? 'unknown' : record.state,
    createdAtNs: BigInt(record.createdAtNs),
    startedAtNs: BigInt(record.startedAtNs),
    finishedAtNs: BigInt(record.finishedAtNs),
    exitCode: record.exitCode,
    reason: record.reason,
    message: record.message,
    imageId: record.imageId,
    imageRef: record.imageRef,
    logPath: record.logPath,
  };
}
