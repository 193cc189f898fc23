import { randomBytes } from 'node:crypto';
import { chown, rm } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { isPlatformError, PlatformError, toPlatformError } from '@hypernetes/foundation/errors';
import { KeyedMutex } from '@hypernetes/foundation/lifecycle';
import type { Event, HelloReply } from '@hypernetes/proto/hyperstart';
import { expectResult, GuestAgent } from '../guest-agent/index.ts';
import { copyScratch, findMonitors, type Machine, type MachineSpec } from '../hypervisor/index.ts';
import { killProcess } from '@hypernetes/foundation/process';
import type { ImageRecord } from '../image-store/image-store.ts';
import { containerProcess } from './container-process.ts';
import { configureSandbox, createContainer, type GuestMount } from './guest-messages.ts';
import { MachineDisks } from './machine-disks.ts';
import { machineSize } from './machine-size.ts';
import { resolveMount } from './mounts.ts';
import { PodContainer, type ContainerHost } from './pod-container.ts';
import { nowNs, type ContainerRecord, type PushedFiles, type SandboxRecord } from './records.ts';
import type { SandboxContext } from './sandbox-context.ts';
import type { ContainerConfig, SandboxStats } from './sandbox-service.ts';
import { guestTimeNs, sandboxStatsOf } from './stats.ts';

const helloTimeoutMs = 60_000;
const cloneHelloTimeoutMs = 15_000;
const requestTimeoutMs = 30_000;
const connectionTimeoutMs = 10_000;
const shutdownTimeoutMs = 10_000;
const streamBlock = 1024;
const consoleTailBytes = 1_000;
const consoleBytesMax = 1 << 20;
const imageHolderPrefix = 'container/';

/** One sandbox at run time: its record on disk, its machine and agent, its containers. */
export class PodSandbox {
  readonly record: SandboxRecord;
  readonly containers = new Map<string, PodContainer>();
  readonly #context: SandboxContext;
  readonly #mutex = new KeyedMutex();
  #machine: Machine | undefined;
  #agent: GuestAgent | undefined;
  #disks: MachineDisks | undefined;
  #nextStream: number;
  #hello: HelloReply | undefined;
  #ending = false;
  /** Its folder is gone: whatever still runs must not write the record again. */
  #forgotten = false;

  constructor(record: SandboxRecord, context: SandboxContext) {
    this.record = record;
    this.#context = context;
    this.#nextStream = record.streamLimit;
  }

  /** From nothing to ready. Leaves nothing behind when it throws. */
  async start(signal?: AbortSignal): Promise<void> {
    try {
      await this.#save();
      await this.#startMachine(signal);
      this.record.phase = 'ready';
      await this.#save();
    } catch (error) {
      // A trace is what a sandbox that was answered for has.
      this.record.trace = {};
      await this.destroy();
      throw error;
    }
    this.#joinPortal();
  }

  /** Takes over a machine that an earlier process of ours started, or notes that it is gone. Safe to repeat after a failure. */
  async reattach(): Promise<void> {
    try {
      await this.#reattach();
    } catch (error) {
      await this.#letGo();
      throw error;
    }
  }

  async #reattach(): Promise<void> {
    const { record } = this;
    for (const container of record.containers)
      this.#context.images.retain(container.imageId, `${imageHolderPrefix}${container.id}`);
    if (record.phase !== 'ready' || record.dead) {
      for (const container of record.containers) this.#adoptStopped(container);
      return;
    }
    const machine = record.machine && (await this.#context.hypervisor.reattach(record.machine));
    if (machine === undefined) {
      for (const container of record.containers) this.#adoptStopped(container);
      await this.#machineGone();
      return;
    }
    this.#useMachine(machine, false);
    for (const containerRecord of record.containers) {
      const container = this.#adopt(containerRecord);
      if (containerRecord.state === 'created' || containerRecord.state === 'running')
        await container.openOutput();
    }
    this.#agent?.start();
    this.#joinPortal();
    // Taken now: those that are created from here on are none of it.
    void this.#reconcile([...this.containers.values()]);
  }

  async createContainer(config: ContainerConfig, image: ImageRecord): Promise<string> {
    return await this.#mutex.run('containers', async () => {
      this.#requireReady();
      const record = await this.#newContainerRecord(config, image);
      const container = this.#adopt(record);
      this.record.containers.push(record);
      this.#context.images.retain(image.id, `${imageHolderPrefix}${record.id}`);
      try {
        await this.#save();
        await this.#createInGuest(container, config, image);
        record.state = 'created';
        await this.#save();
      } catch (error) {
        await this.#dropContainer(container);
        throw error;
      }
      this.#context.emit('containerCreated', this.record.id, record.id);
      return record.id;
    });
  }

  async removeContainer(containerId: string): Promise<void> {
    const container = this.containers.get(containerId);
    if (container === undefined) return;
    await container.stop(0);
    await this.#mutex.run('containers', async () => {
      if (!this.containers.has(containerId)) return;
      await this.#dropContainer(container);
      this.#context.emit('containerDeleted', this.record.id, containerId);
    });
  }

  async openConnection(port: number): Promise<Duplex> {
    const agent = this.#requireReady();
    const first = await this.#allocateStreams(2);
    const duplex = agent.duplex(first, first + 1);
    duplex.on('error', () => undefined);
    try {
      await agent.request(
        {
          $case: 'openConnection',
          value: {
            host: '127.0.0.1',
            port,
            streamToGuest: first,
            streamToHost: first + 1,
            timeoutMs: connectionTimeoutMs,
          },
        },
        { timeoutMs: connectionTimeoutMs + 1_000 },
      );
      return duplex;
    } catch (error) {
      duplex.destroy();
      const { message } = toPlatformError(error);
      throw new PlatformError(
        'Unavailable',
        `connection to port ${port} of sandbox ${this.record.id}: ${message}`,
        {
          cause: error,
        },
      );
    }
  }

  async stats(): Promise<SandboxStats> {
    const agent = this.#requireReady();
    const result = await agent.request({ $case: 'getStats', value: {} }, { timeoutMs: requestTimeoutMs });
    const known = new Set(this.containers.keys());
    return sandboxStatsOf(this.record.id, expectResult(result, 'stats'), known, nowNs());
  }

  /** Ends the machine and gives everything back; safe to repeat after a failure or a crash. */
  async stop(): Promise<void> {
    await this.#mutex.run('stop', async () => {
      if (this.record.phase === 'stopped') return;
      this.record.phase = 'stopping';
      await this.#saveIfPossible();
      await this.#endMachine();
      for (const container of this.containers.values()) {
        await container.onMachineGone('the sandbox was stopped');
        await container.close();
      }
      await this.#giveBack();
      this.record.phase = 'stopped';
      await this.#save();
    });
  }

  /** Stops and forgets. */
  async destroy(): Promise<void> {
    this.record.phase = 'stopping';
    await this.#endMachine();
    for (const container of this.containers.values()) {
      await container.close();
      this.#context.images.release(`${imageHolderPrefix}${container.record.id}`);
    }
    await this.#giveBack();
    await this.#mutex.run('save', async () => {
      this.#forgotten = true;
      await this.#context.folders.remove(this.record.id);
    });
  }

  async trimConsole(): Promise<void> {
    await this.#machine?.trimConsole(consoleBytesMax);
  }

  /** Leaves everything running. */
  async close(): Promise<void> {
    this.#ending = true;
    await this.#letGo();
  }

  async #letGo(): Promise<void> {
    this.#context.portals.leave(this.record.config.networkUid, this.record.id);
    // The connection goes first: while it is up, output of a container nobody listens to any more would be refused, and lost.
    await this.#agent?.[Symbol.asyncDispose]();
    for (const container of this.containers.values()) await container.close();
    this.containers.clear();
    await this.#machine?.[Symbol.asyncDispose]();
    this.#agent = undefined;
    this.#machine = undefined;
  }

  // --- machine -------------------------------------------------------------------------------------------------

  async #startMachine(signal?: AbortSignal): Promise<void> {
    const { record } = this;
    const trace = new Trace(record.trace);
    const [port] = await Promise.all([
      trace.measure('network', () => this.#setupPort(signal)),
      trace.measure('scratch', () => this.#copyScratch()),
    ]);
    record.port = port;
    const agent = await this.#startAndGreet(
      port.tap?.networkNamespace ?? '',
      port.tap?.name ?? '',
      trace,
      signal,
    );
    await trace.measure('configure', async () => {
      await agent.request(
        { $case: 'configureSandbox', value: configureSandbox(record.id, record.config, port) },
        { timeoutMs: requestTimeoutMs, ...(signal === undefined ? {} : { signal }) },
      );
    });
    trace.end();
  }

  /** A clone that does not come up makes its template suspect: once more with a new one. */
  async #startAndGreet(
    networkNamespace: string,
    tapName: string,
    trace: Trace,
    signal?: AbortSignal,
  ): Promise<GuestAgent> {
    const spec = this.#machineSpec(networkNamespace, tapName);
    for (let attempt = 0; ; attempt++) {
      const machine = await trace.measure('clone', () => this.#context.hypervisor.start(spec, signal));
      const agent = this.#useMachine(machine, true);
      try {
        const [hello] = await Promise.all([
          trace.measure('agent', () => this.#greet(machine, agent, signal)),
          this.#save(),
        ]);
        this.record.kernelRelease = hello.kernelRelease;
        return agent;
      } catch (error) {
        await this.#endMachine();
        if (!machine.record.cloned || attempt > 0 || signal?.aborted === true) throw error;
        await this.#context.hypervisor.discardTemplate(spec);
        await this.#copyScratch();
      }
    }
  }

  async #greet(machine: Machine, agent: GuestAgent, signal?: AbortSignal): Promise<HelloReply> {
    const gone = new AbortController();
    machine.onExit(() => gone.abort());
    const either = signal === undefined ? gone.signal : AbortSignal.any([gone.signal, signal]);
    try {
      return await agent.waitConnected(machine.record.cloned ? cloneHelloTimeoutMs : helloTimeoutMs, either);
    } catch (error) {
      const said = (await machine.consoleTail(consoleTailBytes)).trim();
      const { reason, message } = toPlatformError(error);
      const what = gone.signal.aborted ? 'the machine ended at its start' : message;
      throw new PlatformError(
        reason === 'Canceled' ? 'Unavailable' : reason,
        `sandbox ${this.record.id}: ${what}; console: ${said}`,
      );
    }
  }

  #machineSpec(networkNamespace: string, tapName: string): MachineSpec {
    const { id, slot, config } = this.record;
    const { folders, machineRunDir, monitorUidBase } = this.#context;
    return {
      ...machineSize(config.resources, cpus().length),
      name: this.#machineName(),
      tenantId: config.tenantId,
      uid: monitorUidBase + slot,
      networkNamespace: networkNamespace === '' ? '/proc/1/ns/net' : networkNamespace,
      tapName,
      scratchPath: folders.scratch(id),
      runDir: this.#runDir(machineRunDir),
      logFile: folders.monitorLog(id),
    };
  }

  #machineName(): string {
    return `${this.#context.instancePrefix}-pod-${this.record.id}`;
  }

  #runDir(parent: string): string {
    // Unix socket paths are short (108 bytes): 48 bits tell sandboxes of one host apart.
    return join(parent, this.record.id.slice(0, 12));
  }

  #useMachine(machine: Machine, fresh: boolean): GuestAgent {
    const agent = new GuestAgent({
      socketPath: machine.agentSocketPath,
      fresh,
      onEvent: (event) => this.#onEvent(event),
      onHello: (reply) => {
        this.#hello = reply;
      },
      log: this.#context.log,
    });
    this.#machine = machine;
    this.#agent = agent;
    this.record.machine = machine.record;
    this.record.isolation = machine.record.isolation;
    const save = (): Promise<void> => this.#save();
    this.#disks = new MachineDisks({ context: this.#context, record: this.record, save, machine, agent });
    machine.onExit(() => {
      if (this.#machine === machine && !this.#ending && this.record.phase === 'ready')
        void this.#machineGone();
    });
    return agent;
  }

  /** The machine ended by itself: everything in it is over, and says why. */
  async #machineGone(): Promise<void> {
    const { record } = this;
    const said = (await this.#machine?.consoleTail(consoleTailBytes))?.trim() ?? '';
    record.dead = true;
    record.message = `the virtual machine ended${said === '' ? '' : `; console: ${said}`}`;
    this.#context.log.warn({ sandboxId: record.id, message: record.message }, 'virtual machine ended');
    this.#context.portals.leave(record.config.networkUid, record.id);
    await this.#saveIfPossible();
    try {
      for (const container of this.containers.values()) await container.onMachineGone(record.message);
      await this.#agent?.[Symbol.asyncDispose]();
    } catch (error) {
      this.#context.log.error({ err: error, sandboxId: record.id }, 'end of a machine could not be recorded');
    }
    this.#context.emit('containerStopped', record.id, record.id);
  }

  async #endMachine(): Promise<void> {
    this.#ending = true;
    const { record } = this;
    this.#context.portals.leave(record.config.networkUid, record.id);
    const machine =
      this.#machine ?? (record.machine && (await this.#context.hypervisor.reattach(record.machine)));
    if (machine !== undefined) {
      await this.#shutDownGuest(machine);
      await machine.kill();
      await machine[Symbol.asyncDispose]();
    }
    await this.#agent?.[Symbol.asyncDispose]();
    // A start that died before its record was written.
    for (const found of await findMonitors(this.#machineName())) await killProcess(found.process);
    this.#machine = undefined;
    this.#agent = undefined;
    this.#ending = false;
    await rm(this.#runDir(this.#context.machineRunDir), { recursive: true, force: true });
  }

  /** Only volumes outlive the machine: their file systems are put to rest before it is ended. */
  async #shutDownGuest(machine: Machine): Promise<void> {
    if (this.record.volumes.length === 0 || this.#agent === undefined || !machine.isAlive()) return;
    try {
      await this.#agent
        .request({ $case: 'shutdown', value: { timeoutMs: shutdownTimeoutMs } }, { timeoutMs: 2_000 })
        .catch((error: unknown) => {
          // Powering off may outrun the answer.
          if (!isPlatformError(error, 'DeadlineExceeded')) throw error;
        });
      await machine.waitForExit(shutdownTimeoutMs);
    } catch (error) {
      this.#context.log.warn(
        { sandboxId: this.record.id, message: toPlatformError(error).message },
        'guest could not be shut down; its volumes will recover from their journals',
      );
    }
  }

  async #giveBack(): Promise<void> {
    const { record } = this;
    // A container that is being created ends first (its machine is gone): what it attaches until then is given back too.
    await this.#mutex.run('containers', async () => {
      // The machine is dead: nobody writes to its volumes any more.
      for (const volume of record.volumes)
        await this.#context.infrastructure.detachVolume(volume.volumeId, record.id);
      await this.#context.infrastructure.teardownPod(record.id);
      await rm(this.#context.folders.scratch(record.id), { force: true });
    });
  }

  async #setupPort(signal?: AbortSignal) {
    const { config, id, slot } = this.record;
    const { namespace, name, uid } = config.metadata;
    return await this.#context.infrastructure.setupPod(
      {
        sandboxId: id,
        networkUid: config.networkUid,
        pod: { namespace, name, uid },
        tapOwnerUid: this.#context.monitorUidBase + slot,
        nodeName: this.#context.nodeName,
      },
      signal,
    );
  }

  async #copyScratch(): Promise<void> {
    const { folders, hypervisor, monitorUidBase } = this.#context;
    const uid = monitorUidBase + this.record.slot;
    await copyScratch(hypervisor.scratchBasePath, folders.scratch(this.record.id), uid);
    await chown(folders.scratch(this.record.id), uid, uid);
  }

  #joinPortal(): void {
    const { config, id } = this.record;
    if (this.#agent !== undefined) this.#context.portals.join(config.networkUid, id, this.#agent);
  }

  /** After a restart: what the guest knows better than the record (a start or a removal that was interrupted). */
  async #reconcile(containers: readonly PodContainer[]): Promise<void> {
    try {
      const agent = this.#requireReady();
      const result = await agent.request({ $case: 'getState', value: {} }, { timeoutMs: requestTimeoutMs });
      const state = expectResult(result, 'state');
      for (const container of containers) {
        const { record } = container;
        if (record.state === 'creating')
          await this.#mutex.run('containers', () => this.#dropContainer(container));
        const inGuest = state.containers.find((found) => found.containerId === record.id);
        if (record.state === 'created' && inGuest !== undefined && inGuest.startedAtNs !== 0n) {
          record.startedAtNs = guestTimeNs(inGuest.startedAtNs, nowNs()).toString();
          record.state = 'running';
          await this.#save();
        }
        if (record.state === 'running' && inGuest?.exit !== undefined) await container.onExit(inGuest.exit);
        for (const set of record.files) if (record.state !== 'exited') container.files.resume(set);
      }
    } catch (error) {
      this.#context.log.warn(
        { sandboxId: this.record.id, message: toPlatformError(error).message },
        'guest could not be compared with its record',
      );
    }
  }

  async #onEvent(event: Event): Promise<void> {
    if (event.kind?.$case !== 'processExited') return;
    await this.containers.get(event.kind.value.containerId)?.onExit(event.kind.value);
  }

  // --- containers ----------------------------------------------------------------------------------------------

  async #newContainerRecord(config: ContainerConfig, image: ImageRecord): Promise<ContainerRecord> {
    const first = await this.#allocateStreams(3);
    const process = containerProcess(config, image.config, this.record.config.hostname);
    return {
      id: randomBytes(32).toString('hex'),
      config,
      state: 'creating',
      createdAtNs: nowNs().toString(),
      startedAtNs: '0',
      finishedAtNs: '0',
      exitCode: 0,
      reason: '',
      message: '',
      imageId: image.id,
      imageRef: image.digests[0] ?? image.id,
      logPath: join(this.record.config.logDirectory, config.logPath),
      stdinStream: config.stdin ? first : 0,
      stdoutStream: first + 1,
      stderrStream: config.tty ? 0 : first + 2,
      stopSignal:
        [config.stopSignal, image.config.stopSignal].find((name) => (name ?? '') !== '') ?? 'SIGTERM',
      files: [],
      env: process.env,
      workingDir: process.cwd,
    };
  }

  async #createInGuest(container: PodContainer, config: ContainerConfig, image: ImageRecord): Promise<void> {
    const { record } = container;
    const work = [
      this.#requireDisks().mountLayers(image.layers),
      this.#prepareMounts(container, config),
      container.openOutput(),
    ] as const;
    // Where one fails the others still come to their end: what they attach and open is taken back after this.
    await Promise.allSettled(work);
    const [layerVolumeIds, mounts] = await Promise.all(work);
    const message = createContainer({
      containerId: record.id,
      config,
      process: containerProcess(config, image.config, this.record.config.hostname),
      layerVolumeIds,
      mounts,
      stdinStream: record.stdinStream,
      stdoutStream: record.stdoutStream,
      stderrStream: record.stderrStream,
    });
    await this.#requireReady().request(
      { $case: 'createContainer', value: message },
      { timeoutMs: requestTimeoutMs },
    );
  }

  async #prepareMounts(container: PodContainer, config: ContainerConfig): Promise<GuestMount[]> {
    const { metadata } = this.record.config;
    const mounts: GuestMount[] = [];
    for (const [index, mount] of config.mounts.entries()) {
      const source = await resolveMount(mount, metadata.uid, this.#context.directVolumesDir);
      if (source.kind === 'directVolume') {
        mounts.push({ mount, source, guestId: await this.#requireDisks().mountVolume(source.volume) });
      } else if (source.kind === 'folder' || source.kind === 'file') {
        const set: PushedFiles = {
          setId: `${container.record.id.slice(0, 32)}-${index}`,
          hostPath: source.hostPath,
          kind: source.kind,
          inMemory: source.kind === 'folder' && source.inMemory,
          writeBack: source.kind === 'file' && source.writeBack,
        };
        container.record.files = [...container.record.files, set];
        // Watched before it is read: no change falls between.
        container.files.follow(set);
        await container.files.push(set);
        mounts.push({ mount, source, guestId: set.setId });
      } else mounts.push({ mount, source, guestId: '' });
    }
    return mounts;
  }

  /** Takes it back everywhere; the guest's part only while there is a guest. */
  async #dropContainer(container: PodContainer): Promise<void> {
    const { record } = container;
    if (this.#agent !== undefined && this.record.phase === 'ready' && !this.record.dead)
      await container.removeFromGuest();
    await container.close();
    this.containers.delete(record.id);
    this.record.containers = this.record.containers.filter(({ id }) => id !== record.id);
    this.#context.images.release(`${imageHolderPrefix}${record.id}`);
    await this.#save();
    await rm(this.#context.folders.logCursor(this.record.id, record.id), { force: true });
  }

  #adopt(record: ContainerRecord): PodContainer {
    const agent = this.#agent;
    if (agent === undefined)
      throw new PlatformError('Unavailable', `sandbox ${this.record.id} has no machine`);
    const host: ContainerHost = {
      context: this.#context,
      sandboxId: this.record.id,
      agent,
      save: () => this.#save(),
      allocateStreams: (count) => this.#allocateStreams(count),
      sentOffset: (stream) =>
        Number(this.#hello?.streams.find((position) => position.stream === stream)?.offset ?? 0n),
    };
    const container = new PodContainer(record, host);
    this.containers.set(record.id, container);
    return container;
  }

  /** A container whose machine is gone: an agent that never connects stands for it. */
  #adoptStopped(record: ContainerRecord): void {
    this.#agent ??= new GuestAgent({
      socketPath: '/nonexistent',
      fresh: true,
      onEvent: () => Promise.resolve(),
    });
    this.#adopt(record);
  }

  // --- record --------------------------------------------------------------------------------------------------

  async #save(): Promise<void> {
    await this.#mutex.run('save', async () => {
      if (!this.#forgotten) await this.#context.folders.save(this.record);
    });
  }

  /** For what must go on without it (a full disk): after a crash the same is found out and done again. */
  async #saveIfPossible(): Promise<void> {
    try {
      await this.#save();
    } catch (error) {
      this.#context.log.error(
        { err: error, sandboxId: this.record.id },
        'sandbox record could not be written',
      );
    }
  }

  /** The first of so many numbers never used in this machine's life. */
  async #allocateStreams(count: number): Promise<number> {
    const first = this.#nextStream;
    this.#nextStream += count;
    if (this.#nextStream > this.record.streamLimit) {
      this.record.streamLimit = this.#nextStream + streamBlock;
      await this.#save();
    }
    return first;
  }

  #requireReady(): GuestAgent {
    if (this.#agent === undefined || this.record.phase !== 'ready' || this.record.dead)
      throw new PlatformError('Precondition', `sandbox ${this.record.id} is not running`);
    return this.#agent;
  }

  #requireDisks(): MachineDisks {
    if (this.#disks === undefined)
      throw new PlatformError('Unavailable', `sandbox ${this.record.id} has no machine`);
    return this.#disks;
  }
}

/** Durations of phases, in whole milliseconds. */
class Trace {
  readonly #durations: Record<string, number>;
  readonly #started = performance.now();

  constructor(durations: Record<string, number>) {
    this.#durations = durations;
  }

  async measure<T>(phase: string, work: () => Promise<T>): Promise<T> {
    const started = performance.now();
    try {
      return await work();
    } finally {
      this.#durations[phase] = Math.round(performance.now() - started);
    }
  }

  end(): void {
    this.#durations['total'] = Math.round(performance.now() - this.#started);
  }
}
