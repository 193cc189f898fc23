import type { ProcessIdentity } from '@hypernetes/foundation/process';

/** How a machine is kept apart from the host, as it really is. */
export type MachineIsolation = 'kvm' | 'tcg';

/** Target and logical unit of a disk on the machine's one SCSI bus. */
export interface DiskAddress {
  readonly target: number;
  readonly lun: number;
}

/** A disk to be plugged while the machine runs. */
export interface Disk {
  readonly address: DiskAddress;
  /** Raw image file or block device node, readable (and writable unless readOnly) by the monitor's user. */
  readonly path: string;
  readonly readOnly: boolean;
}

/** What a new machine is made of. */
export interface MachineSpec {
  /** Unique on this host, [a-z0-9-]: stands in the monitor's argument list, so that a lost process can be found again. */
  readonly name: string;
  /** Template memory is never shared between tenants. */
  readonly tenantId: string;
  readonly memoryMiB: number;
  readonly cpus: number;
  /** User and group the monitor runs as. */
  readonly uid: number;
  /** Path of the network namespace the tap is in; undefined: a new one that ends with the machine, with a tap of its own. */
  readonly networkNamespace: string | undefined;
  readonly tapName: string;
  /** The ephemeral disk, LUN 0 of target 0: a copy of the hypervisor's scratch base. */
  readonly scratchPath: string;
  /** Folder for sockets and console, made here and owned by uid. The path must be short (unix sockets). */
  readonly runDir: string;
  /** Standard error of the monitor is appended to it. */
  readonly logFile: string;
}

/** What must be kept to find a running machine again; plain JSON. */
export interface MachineRecord {
  readonly name: string;
  readonly process: ProcessIdentity;
  readonly runDir: string;
  readonly isolation: MachineIsolation;
  /** The machine began as a copy of a template; false: it was booted. */
  readonly cloned: boolean;
}

/** A running virtual machine. */
export interface Machine extends AsyncDisposable {
  readonly record: MachineRecord;
  readonly agentSocketPath: string;
  /** Where the tools image (mkfs, fsck) is plugged. */
  readonly toolsAddress: DiskAddress;
  /** Fires once when the monitor is gone, whoever ended it. */
  onExit(listener: () => void): void;
  isAlive(): boolean;
  /** The same disk at the same address again: success. */
  plugDisk(disk: Disk): Promise<void>;
  /** Not there: success. */
  unplugDisk(address: DiskAddress): Promise<void>;
  /** Waits for the guest to power itself off; false when it has not in time. */
  waitForExit(timeoutMs: number): Promise<boolean>;
  /** Ends the monitor at once. Gone already: success. */
  kill(): Promise<void>;
  /** The last of the guest's console, for error messages. */
  consoleTail(maxBytes: number): Promise<string>;
  /** Keeps the console file from growing without bound. */
  trimConsole(maxBytes: number): Promise<void>;
}

/** Makes virtual machines that come up to the agent's hello. */
export interface Hypervisor extends AsyncDisposable {
  readonly isolation: MachineIsolation;
  readonly kernelRelease: string;
  /** File every machine's scratch disk must be a copy of. */
  readonly scratchBasePath: string;
  /** Clones the template of the machine's kind, making that first when there is none. `signal` ends it and leaves nothing. */
  start(spec: MachineSpec, signal?: AbortSignal): Promise<Machine>;
  /** A copy did not come up: what it was copied from is not used again. */
  discardTemplate(spec: Pick<MachineSpec, 'tenantId' | 'memoryMiB' | 'cpus'>): Promise<void>;
  /** A machine that was started by an earlier process of ours; undefined when it is gone. */
  reattach(record: MachineRecord): Promise<Machine | undefined>;
}
