import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readdir, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Duplex } from 'node:stream';
import { PlatformError, toPlatformError } from '@hypernetes/foundation/errors';
import { KeyedMutex, WorkQueue } from '@hypernetes/foundation/lifecycle';
import { createLogger } from '@hypernetes/foundation/logging';
import { killProcess } from '@hypernetes/foundation/process';
import { createQemuHypervisor, findMonitors, type Hypervisor } from '../hypervisor/index.ts';
import { EventStream } from './event-stream.ts';
import type { SandboxServiceOptions } from './options.ts';
import type { PodContainer } from './pod-container.ts';
import { PodSandbox } from './pod-sandbox.ts';
import { newSandboxRecord, nowNs, SandboxFolders, toContainerStatus, toSandboxStatus } from './records.ts';
import { resolveById } from './resolve-id.ts';
import type { SandboxContext } from './sandbox-context.ts';
import type {
  AttachOptions,
  ContainerConfig,
  ContainerStatus,
  ExecOptions,
  LinuxResources,
  ProcessSession,
  SandboxConfig,
  SandboxEvent,
  SandboxService,
  SandboxStats,
  SandboxStatus,
} from './sandbox-service.ts';
import { ServicePortals } from './service-portal.ts';

const defaultScratchBytes = 10 * 2 ** 30;
const defaultMonitorUidBase = 200_000;
const slotsMax = 50_000;
const housekeepingMs = 10_000;

/** Folder of templates of an installation: on a memory file system. */
export function templateFolder(instancePrefix: string): string {
  return `/dev/shm/${instancePrefix}-templates`;
}

/** The sandbox service over QEMU. */
export class SandboxManager implements SandboxService {
  readonly #options: SandboxServiceOptions;
  readonly #log;
  readonly #folders: SandboxFolders;
  readonly #sandboxes = new Map<string, PodSandbox>();
  readonly #events = new EventStream();
  readonly #mutex = new KeyedMutex();
  /** Sandboxes whose end was interrupted. */
  readonly #leftovers: WorkQueue;
  /** Sandboxes whose machine could not be taken over yet (a log that cannot be opened): the others do not wait for them. */
  readonly #unattached: WorkQueue;
  #context: SandboxContext | undefined;
  #housekeeping: NodeJS.Timeout | undefined;

  constructor(options: SandboxServiceOptions) {
    this.#options = options;
    this.#log = options.log ?? createLogger('hypercontainer:sandbox');
    this.#folders = new SandboxFolders(options.dataDir);
    this.#leftovers = new WorkQueue((id) => this.#finishLeftover(id), {
      onError: (sandboxId, error) =>
        this.#log.warn({ sandboxId, message: error.message }, 'interrupted sandbox could not be ended yet'),
    });
    this.#unattached = new WorkQueue((id) => this.#reattach(id), {
      onError: (sandboxId, error) =>
        this.#log.error({ sandboxId, message: error.message }, 'sandbox could not be taken over yet'),
    });
  }

  async recover(): Promise<void> {
    const hypervisor = await this.#createHypervisor();
    this.#context = this.#createContext(hypervisor);
    const records = await this.#folders.load();
    const known = new Set(records.map((record) => `${this.#options.instancePrefix}-pod-${record.id}`));
    await this.#sweep(known, new Set(records.map((record) => record.id.slice(0, 12))));
    await Promise.all(
      records.map(async (record) => {
        const sandbox = new PodSandbox(record, this.#requireContext());
        this.#sandboxes.set(record.id, sandbox);
        await sandbox.reattach().catch((error: unknown) => {
          this.#log.error({ err: error, sandboxId: record.id }, 'sandbox could not be taken over yet');
          this.#unattached.add(record.id);
        });
        if (record.phase === 'creating' || record.phase === 'stopping') this.#leftovers.add(record.id);
      }),
    );
    this.#housekeeping = setInterval(() => void this.#keepHouse(), housekeepingMs);
    this.#housekeeping.unref();
  }

  async runSandbox(config: SandboxConfig, signal?: AbortSignal): Promise<string> {
    const context = this.#requireContext();
    const sandbox = await this.#mutex.run('new', () => {
      this.#refuseDuplicate(config);
      const id = randomBytes(32).toString('hex');
      const { isolation, kernelRelease } = context.hypervisor;
      const record = newSandboxRecord(id, config, this.#freeSlot(), isolation, kernelRelease);
      const created = new PodSandbox(record, context);
      this.#sandboxes.set(id, created);
      return Promise.resolve(created);
    });
    const { id } = sandbox.record;
    try {
      await sandbox.start(signal);
    } catch (error) {
      // start() has taken everything back, or could not (kubestack away): then it is tried until it can.
      if (sandbox.record.phase === 'stopping') this.#leftovers.add(id);
      throw error;
    }
    context.emit('containerCreated', id, id);
    context.emit('containerStarted', id, id);
    return id;
  }

  async stopSandbox(sandboxId: string): Promise<void> {
    const sandbox = this.#findSandbox(sandboxId);
    if (sandbox === undefined) return;
    await sandbox.stop();
    this.#requireContext().emit('containerStopped', sandbox.record.id, sandbox.record.id);
  }

  async removeSandbox(sandboxId: string): Promise<void> {
    const sandbox = this.#findSandbox(sandboxId);
    if (sandbox === undefined) return;
    await sandbox.stop();
    await sandbox.destroy();
    this.#sandboxes.delete(sandbox.record.id);
    this.#requireContext().emit('containerDeleted', sandbox.record.id, sandbox.record.id);
  }

  getSandbox(sandboxId: string): SandboxStatus {
    return toSandboxStatus(this.#requireSandbox(sandboxId).record);
  }

  listSandboxes(): readonly SandboxStatus[] {
    return this.#visible().map((sandbox) => toSandboxStatus(sandbox.record));
  }

  async createContainer(sandboxId: string, config: ContainerConfig, signal?: AbortSignal): Promise<string> {
    const sandbox = this.#requireSandbox(sandboxId);
    const image = this.#options.images.find(config.image);
    if (image === undefined)
      throw new PlatformError('NotFound', `image ${config.image} is not on this node; pull it first`);
    signal?.throwIfAborted();
    return await sandbox.createContainer(config, image);
  }

  async startContainer(containerId: string): Promise<void> {
    await this.#requireContainer(containerId).container.start();
  }

  async stopContainer(containerId: string, timeoutMs: number): Promise<void> {
    await this.#requireContainer(containerId).container.stop(timeoutMs);
  }

  async removeContainer(containerId: string): Promise<void> {
    const found = this.#findContainer(containerId);
    await found?.sandbox.removeContainer(found.container.record.id);
  }

  getContainer(containerId: string): ContainerStatus {
    const { sandbox, container } = this.#requireContainer(containerId);
    return toContainerStatus(sandbox.record.id, container.record);
  }

  listContainers(): readonly ContainerStatus[] {
    return this.#visible().flatMap((sandbox) =>
      [...sandbox.containers.values()]
        .filter(({ record }) => record.state !== 'creating')
        .map(({ record }) => toContainerStatus(sandbox.record.id, record)),
    );
  }

  async updateContainerResources(containerId: string, resources: LinuxResources): Promise<void> {
    await this.#requireContainer(containerId).container.updateResources(resources);
  }

  async reopenContainerLog(containerId: string): Promise<void> {
    await this.#requireContainer(containerId).container.reopenLog();
  }

  async exec(containerId: string, options: ExecOptions): Promise<ProcessSession> {
    return await this.#requireContainer(containerId).container.exec(options);
  }

  async attach(containerId: string, options: AttachOptions): Promise<ProcessSession> {
    return await Promise.resolve(this.#requireContainer(containerId).container.attach(options));
  }

  async openConnection(sandboxId: string, port: number): Promise<Duplex> {
    return await this.#requireSandbox(sandboxId).openConnection(port);
  }

  async sandboxStats(sandboxId: string): Promise<SandboxStats> {
    return await this.#requireSandbox(sandboxId).stats();
  }

  events(signal: AbortSignal): AsyncIterable<SandboxEvent> {
    return this.#events.listen(signal);
  }

  /** Leaves the machines running. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#housekeeping);
    await this.#leftovers[Symbol.asyncDispose]();
    await this.#unattached[Symbol.asyncDispose]();
    await this.#context?.portals[Symbol.asyncDispose]();
    await Promise.all([...this.#sandboxes.values()].map((sandbox) => sandbox.close()));
    await this.#context?.hypervisor[Symbol.asyncDispose]();
  }

  async #createHypervisor(): Promise<Hypervisor> {
    const { dataDir, runDir, cacheDir, instancePrefix, accelerator } = this.#options;
    const stateDir = join(dataDir, 'hyperd');
    await mkdir(this.#folders.root, { recursive: true });
    await mkdir(this.#machineRunDir, { recursive: true });
    for (const folder of [dataDir, stateDir, this.#folders.root, runDir, this.#machineRunDir])
      await openForPassage(folder);
    await requirePassage(this.#folders.root);
    await requirePassage(this.#machineRunDir);
    return await createQemuHypervisor({
      cacheDir,
      stateDir,
      runDir: this.#machineRunDir,
      templateDir: this.#options.templateDir ?? templateFolder(instancePrefix),
      instancePrefix,
      templateUid: this.#monitorUidBase,
      accelerator,
      scratchSizeBytes: this.#options.scratchSizeBytes ?? defaultScratchBytes,
      log: this.#log,
    });
  }

  #createContext(hypervisor: Hypervisor): SandboxContext {
    const { infrastructure, images, nodeName, instancePrefix, runDir } = this.#options;
    return {
      hypervisor,
      infrastructure,
      images,
      folders: this.#folders,
      portals: new ServicePortals(infrastructure, this.#log),
      log: this.#log,
      nodeName,
      instancePrefix,
      monitorUidBase: this.#monitorUidBase,
      machineRunDir: this.#machineRunDir,
      directVolumesDir: join(runDir, 'direct-volumes'),
      emit: (kind, sandboxId, containerId) =>
        this.#events.publish({ kind, sandboxId, containerId, atNs: nowNs() }),
    };
  }

  get #machineRunDir(): string {
    return join(this.#options.runDir, 'vm');
  }

  get #monitorUidBase(): number {
    return this.#options.monitorUidBase ?? defaultMonitorUidBase;
  }

  /** Ends monitors nobody has a record of (a removal or a template build that was interrupted), and their run folders. */
  async #sweep(knownMachines: ReadonlySet<string>, knownRunDirs: ReadonlySet<string>): Promise<void> {
    const { instancePrefix } = this.#options;
    for (const purpose of ['pod', 'template', 'probe'])
      for (const found of await findMonitors(`${instancePrefix}-${purpose}-`))
        if (!knownMachines.has(found.name)) await killProcess(found.process);
    for (const name of await readdir(this.#machineRunDir))
      if (!knownRunDirs.has(name))
        await rm(join(this.#machineRunDir, name), { recursive: true, force: true });
    const stateDir = join(this.#options.dataDir, 'hyperd');
    for (const name of await readdir(stateDir))
      if (/^(template|probe)-[0-9a-f]+\.(raw|log)$/.test(name))
        await rm(join(stateDir, name), { force: true });
  }

  async #finishLeftover(id: string): Promise<undefined> {
    const sandbox = this.#sandboxes.get(id);
    if (sandbox === undefined) return undefined;
    // One that never was ready is nobody's: it goes. One that was being stopped stays listed until it is removed.
    if (sandbox.record.kernelRelease !== '' && sandbox.record.trace['total'] !== undefined)
      await sandbox.stop();
    else {
      await sandbox.destroy();
      this.#sandboxes.delete(id);
    }
    return undefined;
  }

  async #reattach(id: string): Promise<undefined> {
    await this.#sandboxes.get(id)?.reattach();
    return undefined;
  }

  async #keepHouse(): Promise<void> {
    for (const sandbox of this.#sandboxes.values())
      await sandbox.trimConsole().catch((error: unknown) => {
        this.#log.debug({ message: toPlatformError(error).message }, 'console not trimmed');
      });
  }

  #refuseDuplicate(config: SandboxConfig): void {
    const key = (of: SandboxConfig): string =>
      JSON.stringify([of.metadata.name, of.metadata.namespace, of.metadata.uid, of.metadata.attempt]);
    const twin = this.#visible().find((sandbox) => key(sandbox.record.config) === key(config));
    if (twin !== undefined)
      throw new PlatformError(
        'AlreadyExists',
        `sandbox of pod ${config.metadata.namespace}/${config.metadata.name}, attempt ${config.metadata.attempt}, exists: ${twin.record.id}`,
        { details: { sandboxId: twin.record.id } },
      );
  }

  #freeSlot(): number {
    const used = new Set([...this.#sandboxes.values()].map((sandbox) => sandbox.record.slot));
    for (let slot = 1; slot <= slotsMax; slot++) if (!used.has(slot)) return slot;
    throw new PlatformError('Exhausted', `no more than ${slotsMax} sandboxes on one node`);
  }

  /** Those that were answered for: not half made, not half taken back. */
  #visible(): PodSandbox[] {
    return [...this.#sandboxes.values()].filter(
      ({ record }) => record.phase !== 'creating' && record.trace['total'] !== undefined,
    );
  }

  #findSandbox(id: string): PodSandbox | undefined {
    return resolveById(
      id,
      this.#visible().map((sandbox) => [sandbox.record.id, sandbox] as const),
      'sandbox',
    );
  }

  #requireSandbox(id: string): PodSandbox {
    const found = this.#findSandbox(id);
    if (found === undefined) throw new PlatformError('NotFound', `sandbox ${id} does not exist`);
    return found;
  }

  #findContainer(id: string): { sandbox: PodSandbox; container: PodContainer } | undefined {
    const all = this.#visible().flatMap((sandbox) =>
      [...sandbox.containers].map(([name, container]) => [name, { sandbox, container }] as const),
    );
    return resolveById(id, all, 'container');
  }

  #requireContainer(id: string): { sandbox: PodSandbox; container: PodContainer } {
    const found = this.#findContainer(id);
    if (found === undefined) throw new PlatformError('NotFound', `container ${id} does not exist`);
    return found;
  }

  #requireContext(): SandboxContext {
    if (this.#context === undefined)
      throw new PlatformError('Unavailable', 'the sandbox service has not recovered yet');
    return this.#context;
  }
}

/** Lets unprivileged monitors pass through a folder of ours, without listing it. */
async function openForPassage(folder: string): Promise<void> {
  const { mode } = await stat(folder);
  if ((mode & 0o001) === 0) await chmod(folder, (mode & 0o777) | 0o011);
}

/** Folders above ours are somebody else's to open. */
async function requirePassage(folder: string): Promise<void> {
  for (let above = folder; above !== '/'; above = dirname(above))
    if (((await stat(above)).mode & 0o001) === 0)
      throw new PlatformError(
        'Precondition',
        `data folder: ${above} cannot be passed by unprivileged users, which virtual machines run as; chmod o+x it`,
      );
}
