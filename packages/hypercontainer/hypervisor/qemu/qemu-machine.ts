import { constants } from 'node:fs';
import { open, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isPlatformError, PlatformError } from '@hypernetes/foundation/errors';
import { waitFor } from '@hypernetes/foundation/lifecycle';
import { isAlive, killProcess, startTimeOf, type ProcessIdentity } from '@hypernetes/foundation/process';
import type { Disk, DiskAddress, Machine, MachineRecord } from '../hypervisor.ts';
import { machineFiles } from './command-line.ts';
import { QmpClient } from './qmp-client.ts';

const unplugTimeoutMs = 10_000;
const monitorTimeoutMs = 15_000;
const tooLateMs = 20;

/** A running QEMU: everything goes through its monitor socket, so that any process of ours can take it over from the record. */
export class QemuMachine implements Machine {
  readonly record: MachineRecord;
  readonly toolsAddress: DiskAddress = { target: 0, lun: 1 };
  readonly #exitListeners = new Set<() => void>();
  #monitor: Promise<QmpClient> | undefined;
  #exited = false;
  #left = false;

  constructor(record: MachineRecord) {
    this.record = record;
  }

  get agentSocketPath(): string {
    return join(this.record.runDir, machineFiles.agent);
  }

  onExit(listener: () => void): void {
    if (this.#exited) listener();
    else this.#exitListeners.add(listener);
  }

  isAlive(): boolean {
    return isAlive(this.record.process);
  }

  /** Keeps a connection to the monitor, whose end tells of the machine's. Called once, without waiting for it. */
  watch(): void {
    this.connectMonitor().catch(() => this.#onMonitorClosed());
  }

  /** The process is known to be gone (its parent was told). */
  markExited(): void {
    if (this.#exited) return;
    this.#exited = true;
    if (this.#left) return;
    for (const listener of [...this.#exitListeners]) listener();
  }

  async plugDisk(disk: Disk): Promise<void> {
    const { node, device } = names(disk.address);
    const isBlockDevice = (await stat(disk.path)).isBlockDevice();
    const monitor = await this.connectMonitor();
    await ignoring('Duplicate node', () =>
      monitor.execute('blockdev-add', {
        'node-name': node,
        driver: 'raw',
        'read-only': disk.readOnly,
        discard: 'unmap',
        file: {
          driver: isBlockDevice ? 'host_device' : 'file',
          filename: disk.path,
          'read-only': disk.readOnly,
          discard: 'unmap',
          // The last fence against one disk in two machines: a second writer is refused by the host's kernel.
          locking: 'on',
        },
      }),
    );
    try {
      await ignoring('Duplicate', () =>
        monitor.execute('device_add', {
          driver: 'scsi-hd',
          bus: 'scsi0.0',
          'scsi-id': disk.address.target,
          lun: disk.address.lun,
          drive: node,
          id: device,
        }),
      );
    } catch (error) {
      await monitor.execute('blockdev-del', { 'node-name': node }).catch(() => undefined);
      throw error;
    }
  }

  async unplugDisk(address: DiskAddress, timeoutMs = unplugTimeoutMs): Promise<void> {
    const { node, device } = names(address);
    const monitor = await this.connectMonitor();
    const deleted = monitor.waitForEvent(
      (event) => event.name === 'DEVICE_DELETED' && event.data['device'] === device,
      `unplug of ${device} from ${this.record.name}`,
      timeoutMs,
    );
    deleted.catch(() => undefined);
    const plugged = await ignoring('not found', async () => {
      await monitor.execute('device_del', { id: device });
      return true;
    });
    if (plugged === true) await deleted;
    await ignoring('Failed to find node', () => monitor.execute('blockdev-del', { 'node-name': node }));
  }

  async waitForExit(timeoutMs: number): Promise<boolean> {
    try {
      await waitFor('end of the machine', { timeoutMs, intervalMs: 5 }, () => !this.isAlive());
      this.markExited();
      return true;
    } catch {
      return false;
    }
  }

  async kill(): Promise<void> {
    await killProcess(this.record.process);
    this.markExited();
  }

  async consoleTail(maxBytes: number): Promise<string> {
    return await readTail(join(this.record.runDir, machineFiles.console), maxBytes);
  }

  async trimConsole(maxBytes: number): Promise<void> {
    const file = await openHostile(join(this.record.runDir, machineFiles.console), constants.O_RDWR);
    if (file === undefined) return;
    try {
      if ((await file.stat()).size > maxBytes) await file.truncate(0);
    } finally {
      await file.close();
    }
  }

  /** Leaves the machine running. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#left = true;
    (await this.#monitor?.catch(() => undefined))?.[Symbol.dispose]();
  }

  /** The monitor's connection, made when there is none. Unavailable when the machine has ended. */
  async connectMonitor(signal?: AbortSignal): Promise<QmpClient> {
    const before = this.#monitor;
    const present = await before?.catch(() => undefined);
    if (present !== undefined && !present.closed) return present;
    // A monitor serves one connection at a time: of several who find none one connects, and the others wait for that.
    if (this.#monitor !== before) return await this.connectMonitor(signal);
    if (!this.isAlive()) {
      this.markExited();
      throw new PlatformError('Unavailable', `machine ${this.record.name} has ended`);
    }
    this.#monitor = QmpClient.connect(join(this.record.runDir, machineFiles.qmp), {
      timeoutMs: monitorTimeoutMs,
      isAlive: () => this.isAlive(),
      ...(signal === undefined ? {} : { signal }),
    });
    const monitor = await this.#monitor;
    monitor.onClose(() => this.#onMonitorClosed());
    return monitor;
  }

  #onMonitorClosed(): void {
    if (this.#left) return;
    // The socket closes a moment before the process is gone.
    setTimeout(() => {
      if (this.#left) return;
      if (!this.isAlive()) this.markExited();
      else this.watch();
    }, tooLateMs);
  }
}

function names(address: DiskAddress): { readonly node: string; readonly device: string } {
  const suffix = `${address.target}-${address.lun}`;
  return { node: `node-${suffix}`, device: `disk-${suffix}` };
}

/** undefined when the monitor refuses because it is so already. */
async function ignoring<T>(description: string, work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (isPlatformError(error) && String(error.details['description']).includes(description))
      return undefined;
    throw error;
  }
}

/** Opens a file in a folder an unprivileged process owns: never through a link it may have put there. */
async function openHostile(path: string, flags: number) {
  try {
    const file = await open(path, flags | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    if ((await file.stat()).isFile()) return file;
    await file.close();
    return undefined;
  } catch {
    return undefined;
  }
}

/** The end of a text file a hostile process may have made; empty when it cannot be read. */
export async function readTail(path: string, maxBytes: number): Promise<string> {
  const file = await openHostile(path, constants.O_RDONLY);
  if (file === undefined) return '';
  try {
    const { size } = await file.stat();
    const length = Math.min(size, maxBytes);
    const { buffer } = await file.read(Buffer.alloc(length), 0, length, size - length);
    return buffer.toString('utf8').replace(/[^\P{Cc}\n]/gu, '');
  } finally {
    await file.close();
  }
}

/** Monitors of this name that run, whoever started them: the process numbers of a crashed start are on no record. */
export async function findMonitors(
  namePrefix: string,
): Promise<readonly { name: string; process: ProcessIdentity }[]> {
  const found: { name: string; process: ProcessIdentity }[] = [];
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const args = (await readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => '')).split('\0');
    const option = args.find(
      (arg, index) => args[index - 1] === '-name' && arg.startsWith(`guest=${namePrefix}`),
    );
    const startTime = option === undefined ? undefined : await startTimeOf(Number(entry));
    if (option !== undefined && startTime !== undefined)
      found.push({ name: option.slice('guest='.length), process: { pid: Number(entry), startTime } });
  }
  return found;
}
