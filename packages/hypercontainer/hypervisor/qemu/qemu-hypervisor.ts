import { createHash, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { chmod, chown, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { PlatformError, toPlatformError } from '@hypernetes/foundation/errors';
import { sleep, withDeadline } from '@hypernetes/foundation/lifecycle';
import { createLogger, type Logger } from '@hypernetes/foundation/logging';
import { isAlive, runText } from '@hypernetes/foundation/process';
import { GuestAgent } from '../../guest-agent/index.ts';
import { readGuestArtifacts, type GuestArtifacts } from '../guest-artifacts.ts';
import { clockErrorMax, clockRate, TscFrequency } from '../guest-clock.ts';
import type { Hypervisor, Machine, MachineIsolation, MachineRecord, MachineSpec } from '../hypervisor.ts';
import { copyScratch, ensureScratchBase } from '../scratch-disk.ts';
import { probeAccelerator, type AcceleratorProof } from './accelerator.ts';
import { buildCommandLine, machineFiles, type CommandLineConfig } from './command-line.ts';
import { launchQemu, openKvmDevice, openTunDevice, qemuProgram } from './launch.ts';
import { QemuMachine, readTail } from './qemu-machine.ts';
import { QmpClient } from './qmp-client.ts';
import {
  ignoreSharedMemory,
  saveDeviceState,
  templatePaths,
  TemplateStore,
  type Template,
  type TemplateKey,
} from './template.ts';

const kvmProbeTimeoutMs = 8_000;
const bootTimeoutMs = 60_000;
const incomingTimeoutMs = 20_000;
const clockIntervalMs = 500;
/** Every machine has this one until its guest sets the pod's: template and clone must look alike. */
const templateMac = '52:54:00:12:34:56';
const logTailBytes = 800;
/** Of machines outside any installation (probes, benchmarks). */
const temporaryUid = 199_999;

export interface QemuHypervisorOptions {
  /** Guest artifacts and what was learnt about this host. */
  readonly cacheDir: string;
  /** The scratch base is made here. */
  readonly stateDir: string;
  /** Parent of the run folders of templates and probes; short. */
  readonly runDir: string;
  /** On a memory file system. */
  readonly templateDir: string;
  readonly instancePrefix: string;
  /** User of template and probe machines; groups of templates are numbered from it on. */
  readonly templateUid: number;
  readonly accelerator: 'auto' | 'kvm' | 'tcg';
  readonly scratchSizeBytes: number;
  readonly log: Logger;
}

/** Makes the hypervisor: reads the artifacts, proves the accelerator (once per host and kernel, up to 8 s), makes the scratch base. */
export async function createQemuHypervisor(options: QemuHypervisorOptions): Promise<Hypervisor> {
  const host = await prepareHost(options);
  const proof = await prove(host, false);
  options.log.info({ accelerator: proof.accelerator, reason: proof.reason }, 'accelerator chosen');
  const hypervisor = new QemuHypervisor({ ...host, isolation: proof.accelerator });
  await hypervisor.sweep();
  return hypervisor;
}

/** What machines on this host really run with and why; with `again` proven anew by booting a guest, whatever is remembered. */
export async function proveAccelerator(options: {
  readonly cacheDir: string;
  readonly again?: boolean;
}): Promise<AcceleratorProof> {
  return await withTemporaryHost(options.cacheDir, (host) => prove(host, options.again === true));
}

/** Runs the work with a hypervisor of its own in temporary folders, apart from any installation. */
export async function withTemporaryHypervisor<T>(
  cacheDir: string,
  work: (hypervisor: Hypervisor, folder: string, uid: number) => Promise<T>,
): Promise<T> {
  return await withTemporaryHost(cacheDir, async (host) => {
    const hypervisor = await createQemuHypervisor(host.options);
    return await work(hypervisor, host.options.runDir, host.options.templateUid);
  });
}

async function withTemporaryHost<T>(
  cacheDir: string,
  work: (host: Omit<QemuHost, 'isolation'>) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'hntmp-'));
  await chmod(folder, 0o711);
  const templateDir = join('/dev/shm', `${basename(folder)}-templates`);
  try {
    const host = await prepareHost({
      cacheDir,
      stateDir: folder,
      runDir: folder,
      templateDir,
      instancePrefix: basename(folder).toLowerCase(),
      templateUid: temporaryUid,
      accelerator: 'auto',
      scratchSizeBytes: 64 << 20,
      log: createLogger('hypercontainer:hypervisor'),
    });
    return await work(host);
  } finally {
    await rm(folder, { recursive: true, force: true });
    await rm(templateDir, { recursive: true, force: true });
  }
}

async function prepareHost(options: QemuHypervisorOptions): Promise<Omit<QemuHost, 'isolation'>> {
  const artifacts = await readGuestArtifacts(options.cacheDir);
  const qemuVersion = (await runText(qemuProgram, ['--version'])).split('\n')[0] ?? '';
  await openTunDevice();
  await mkdir(options.stateDir, { recursive: true });
  const scratchBasePath = await ensureScratchBase(options.stateDir, options.scratchSizeBytes);
  const tsc = new TscFrequency(options.cacheDir);
  return { options, artifacts, qemuVersion, scratchBasePath, tsc, tscKhz: await tsc.read() };
}

async function prove(host: Omit<QemuHost, 'isolation'>, again: boolean): Promise<AcceleratorProof> {
  return await probeAccelerator({
    wanted: host.options.accelerator,
    cacheDir: host.options.cacheDir,
    artifactsId: host.artifacts.id,
    qemuVersion: host.qemuVersion,
    again,
    boot: () => new QemuHypervisor({ ...host, isolation: 'kvm' }).probeBoot(),
  });
}

interface QemuHost {
  readonly options: QemuHypervisorOptions;
  readonly artifacts: GuestArtifacts;
  readonly qemuVersion: string;
  readonly scratchBasePath: string;
  readonly tsc: TscFrequency;
  readonly tscKhz: number;
  readonly isolation: MachineIsolation;
}

type MachineKind = Pick<MachineSpec, 'tenantId' | 'memoryMiB' | 'cpus'>;

class QemuHypervisor implements Hypervisor {
  readonly isolation: MachineIsolation;
  readonly kernelRelease: string;
  readonly scratchBasePath: string;
  readonly #host: QemuHost;
  readonly #templates: TemplateStore;
  readonly #abort = new AbortController();
  #tscKhz: number;

  constructor(host: QemuHost) {
    this.#host = host;
    this.#tscKhz = host.tscKhz;
    this.isolation = host.isolation;
    this.kernelRelease = host.artifacts.kernelRelease;
    this.scratchBasePath = host.scratchBasePath;
    this.#templates = new TemplateStore(host.options.templateDir, host.options.templateUid + 1_000_000);
  }

  async start(spec: MachineSpec, signal?: AbortSignal): Promise<Machine> {
    const template = await this.#templateOrNothing(spec);
    signal?.throwIfAborted();
    return template === undefined
      ? await this.#launch(spec, { kind: 'private' })
      : await this.#clone(spec, template, signal);
  }

  async discardTemplate(kind: MachineKind): Promise<void> {
    this.#host.options.log.warn(
      { ...kindOf(kind) },
      'template discarded: a machine made of it did not come up',
    );
    await this.#templates.discard(this.#templateIdOf(kind));
  }

  async reattach(record: MachineRecord): Promise<Machine | undefined> {
    if (!isAlive(record.process)) return undefined;
    const machine = new QemuMachine(record);
    machine.watch();
    return await Promise.resolve(machine);
  }

  async sweep(): Promise<void> {
    await this.#templates.sweep();
  }

  /** Boots a guest to its hello, or throws within the probe's deadline. */
  async probeBoot(): Promise<void> {
    await this.#withTemporaryMachine('probe', defaultKind, { kind: 'private' }, async (_machine, agent) => {
      await agent.waitConnected(kvmProbeTimeoutMs);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    await Promise.resolve();
  }

  async #templateOrNothing(kind: MachineKind): Promise<Template | undefined> {
    try {
      return await this.#template(kind);
    } catch (error) {
      this.#host.options.log.warn(
        { reason: toPlatformError(error).message, ...kindOf(kind) },
        'no template could be made: machines of this kind boot, which takes longer and more memory',
      );
      return undefined;
    }
  }

  async #template(kind: MachineKind): Promise<Template> {
    try {
      return await this.#getTemplate(kind);
    } catch (error) {
      const rate = toPlatformError(error).details['clockRate'];
      if (typeof rate !== 'number') throw error;
      const before = this.#tscKhz;
      this.#tscKhz = await this.#host.tsc.correct(before, rate);
      this.#host.options.log.warn(
        { beforeKhz: before, khz: this.#tscKhz },
        'guest clock frequency corrected',
      );
      return await this.#getTemplate(kind);
    }
  }

  async #getTemplate(kind: MachineKind): Promise<Template> {
    return await this.#templates.get(this.#keyOf(kind), (folder) => this.#buildTemplate(folder, kind));
  }

  async #buildTemplate(folder: string, kind: MachineKind): Promise<void> {
    const started = Date.now();
    const paths = templatePaths(folder);
    const uid = this.#host.options.templateUid;
    await chown(folder, uid, uid);
    await this.#withTemporaryMachine(
      'template',
      kind,
      { kind: 'template', path: paths.memory },
      async (machine, agent) => {
        await checkClock(agent);
        await agent[Symbol.asyncDispose]();
        using monitor = await QmpClient.connect(join(machine.record.runDir, machineFiles.qmp), {
          timeoutMs: bootTimeoutMs,
        });
        await saveDeviceState(monitor, {
          socketPath: join(machine.record.runDir, 'save.sock'),
          uid,
          targetPath: paths.deviceState,
        });
      },
    );
    this.#host.options.log.info({ ...kindOf(kind), durationMs: Date.now() - started }, 'template made');
  }

  /** A machine that ends with the work, whatever happens. */
  async #withTemporaryMachine(
    purpose: string,
    kind: MachineKind,
    memory: CommandLineConfig['memory'],
    work: (machine: QemuMachine, agent: GuestAgent) => Promise<void>,
  ): Promise<void> {
    const { instancePrefix, runDir, templateUid, stateDir } = this.#host.options;
    const id = randomBytes(4).toString('hex');
    const machineDir = join(runDir, `${purpose}-${id}`);
    const scratchPath = join(stateDir, `${purpose}-${id}.raw`);
    const logFile = join(stateDir, `${purpose}-${id}.log`);
    try {
      await copyScratch(this.scratchBasePath, scratchPath, templateUid);
      const machine = await this.#launch(
        {
          ...kind,
          name: `${instancePrefix}-${purpose}-${id}`,
          uid: templateUid,
          networkNamespace: undefined,
          tapName: 'tap0',
          scratchPath,
          runDir: machineDir,
          logFile,
        },
        memory,
      );
      try {
        await using agent = new GuestAgent({
          socketPath: machine.agentSocketPath,
          fresh: true,
          onEvent: () => Promise.resolve(),
        });
        await Promise.race([work(machine, agent), this.#failOnExit(machine, logFile)]);
      } finally {
        await machine[Symbol.asyncDispose]();
        await machine.kill();
      }
    } finally {
      await rm(machineDir, { recursive: true, force: true });
      await rm(scratchPath, { force: true });
      await rm(logFile, { force: true });
    }
  }

  async #failOnExit(machine: QemuMachine, logFile: string): Promise<never> {
    await new Promise<void>((resolve) => machine.onExit(resolve));
    const said = (await machine.consoleTail(logTailBytes)) + (await readTail(logFile, logTailBytes));
    throw new PlatformError('Unavailable', `machine ${machine.record.name} ended: ${said.trim()}`);
  }

  async #launch(
    spec: MachineSpec,
    memory: CommandLineConfig['memory'],
    groups: readonly number[] = [],
  ): Promise<QemuMachine> {
    await mkdir(spec.runDir, { recursive: true, mode: 0o700 });
    await chown(spec.runDir, spec.uid, spec.uid);
    const kvmGroups = this.isolation === 'kvm' ? await openKvmDevice() : [];
    let exited: () => void = () => undefined;
    const process = await launchQemu({
      args: buildCommandLine({
        ...this.#commonConfig(spec),
        name: spec.name,
        memory,
        scratchPath: spec.scratchPath,
        tapName: spec.tapName,
        runDir: spec.runDir,
      }),
      uid: spec.uid,
      groups: [...kvmGroups, ...groups],
      networkNamespace: spec.networkNamespace,
      tapName: spec.tapName,
      logFile: spec.logFile,
      onExit: () => exited(),
    });
    const machine = new QemuMachine({
      name: spec.name,
      process,
      runDir: spec.runDir,
      isolation: this.isolation,
      cloned: memory.kind === 'clone',
    });
    exited = () => machine.markExited();
    return machine;
  }

  async #clone(spec: MachineSpec, template: Template, signal?: AbortSignal): Promise<Machine> {
    const state = readFile(template.deviceStatePath);
    const memory = { kind: 'clone', path: template.memoryPath } as const;
    const machine = await this.#launch(spec, memory, [template.gid]);
    try {
      await withDeadline(
        `clone ${spec.name}`,
        incomingTimeoutMs,
        async (stop) => await restore(machine, await state, spec.logFile, stop),
        signal,
      );
      return machine;
    } catch (error) {
      await machine[Symbol.asyncDispose]();
      await machine.kill();
      throw error;
    }
  }

  #commonConfig(kind: MachineKind) {
    const { kernel, initramfs, tools } = this.#host.artifacts;
    return {
      accelerator: this.isolation,
      memoryMiB: kind.memoryMiB,
      cpus: kind.cpus,
      kernel,
      initramfs,
      toolsPath: tools,
      mac: templateMac,
      kernelArguments: `console=ttyS0 quiet panic=-1 reboot=t tsc=reliable tsc_early_khz=${this.#tscKhz}`,
    };
  }

  #templateIdOf(kind: MachineKind): string {
    return this.#templates.idOf(this.#keyOf(kind));
  }

  #keyOf(kind: MachineKind): TemplateKey {
    const deviceModel = buildCommandLine({
      ...this.#commonConfig(kind),
      name: '',
      memory: { kind: 'template', path: '' },
      scratchPath: '',
      tapName: '',
      runDir: '',
    });
    return {
      artifactsId: this.#host.artifacts.id,
      qemuVersion: this.#host.qemuVersion,
      accelerator: this.isolation,
      tscKhz: this.#tscKhz,
      cpus: kind.cpus,
      memoryMiB: kind.memoryMiB,
      tenantId: kind.tenantId,
      scratchSizeBytes: this.#host.options.scratchSizeBytes,
      deviceModel: createHash('sha256').update(deviceModel.join('\n')).digest('hex'),
    };
  }
}

function kindOf({ tenantId, memoryMiB, cpus }: MachineKind): MachineKind {
  return { tenantId, memoryMiB, cpus };
}

const defaultKind: MachineKind = { tenantId: '', memoryMiB: 256, cpus: 1 };

/** Refuses a guest that ticks without need (a template of it would make every clone burn CPU) or whose clock runs wrong. */
async function checkClock(agent: GuestAgent): Promise<void> {
  const hello = await agent.waitConnected(bootTimeoutMs);
  if (!hello.tickless)
    throw new PlatformError('Precondition', `guest clock: not tickless (clock source ${hello.clockSource})`);
  const first = await agent.readClock(bootTimeoutMs);
  await sleep(clockIntervalMs);
  const rate = clockRate(first, await agent.readClock(bootTimeoutMs));
  if (Math.abs(rate - 1) > clockErrorMax)
    throw new PlatformError('Precondition', `guest clock: runs at ${rate.toFixed(3)} of the host's`, {
      details: { clockRate: rate },
    });
}

/** Gives a waiting clone its device state; it runs when it has read all of it. */
async function restore(
  machine: QemuMachine,
  state: Buffer,
  logFile: string,
  signal: AbortSignal,
): Promise<void> {
  try {
    const socketPath = join(machine.record.runDir, machineFiles.incoming);
    const monitor = await machine.connectMonitor(signal);
    await ignoreSharedMemory(monitor);
    await monitor.execute('migrate-incoming', { uri: `unix:${socketPath}` });
    await sendState(socketPath, state);
  } catch (error) {
    if (machine.isAlive()) throw error;
    const said = await readTail(logFile, logTailBytes);
    throw new PlatformError(
      'Unavailable',
      `machine ${machine.record.name} ended at its start: ${said.trim()}`,
    );
  }
}

async function sendState(socketPath: string, state: Buffer): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const socket = connect(socketPath, () => socket.end(state));
    socket.on('error', reject);
    socket.on('close', () => resolve());
    socket.resume();
  });
}
