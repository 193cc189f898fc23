// A guest under test: QEMU with the assembled kernel and initramfs, driven over the contract like in the platform.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { run, spawnChild, type ChildProcess } from '@hypernetes/foundation/process';
import { GuestAgent, type Operation, type OperationResult } from '@hypernetes/hypercontainer/guest-agent';
import type { Event } from '@hypernetes/proto/hyperstart';

export const guestFolder = fileURLToPath(new URL('../..', import.meta.url));
export const cacheDir = process.env['HYPERNETES_CACHE_DIR'] ?? '/var/cache/hypernetes';

/** What answers at 10.9.0.100:80 on the machine's network: a server that is not in the pod. */
const remoteServer = "printf 'HTTP/1.0 200 OK\\r\\n\\r\\nfrom afar'";

interface GuestImages {
  readonly kernel: string;
  readonly initramfs: string;
  readonly tools: string;
}

export interface TestDisk {
  readonly lun: number;
  readonly path: string;
  readonly readOnly: boolean;
}

/** Kernel, initramfs and tools, assembled if they are not there yet. */
export async function assembleGuest(): Promise<GuestImages> {
  await run(join(guestFolder, 'hyperkernel/assemble.sh'), [cacheDir], { timeoutMs: 240_000 });
  return JSON.parse(await readFile(join(cacheDir, 'guest/current.json'), 'utf8')) as GuestImages;
}

async function hostTscKhz(): Promise<number> {
  const log = await run('dmesg', [], { timeoutMs: 5000 });
  const match = /tsc: (?:Refined TSC clocksource calibration:|Detected) ([0-9.]+) MHz/.exec(
    log.stdout.toString(),
  );
  const info = /model name[^\n]*@ ([0-9.]+)GHz/.exec(await readFile('/proc/cpuinfo', 'utf8'));
  if (match?.[1] !== undefined) return Math.round(Number(match[1]) * 1000);
  if (info?.[1] !== undefined) return Math.round(Number(info[1]) * 1_000_000);
  return 2_300_000;
}

async function connectSocket(path: string): Promise<Socket> {
  for (let attempt = 0; ; attempt++) {
    const socket = connect(path);
    const connected = await new Promise<boolean>((resolve) => {
      socket.once('connect', () => resolve(true));
      socket.once('error', () => resolve(false));
    });
    if (connected) return socket;
    if (attempt > 500) throw new Error(`nobody listens on ${path}`);
    await delay(10);
  }
}

export class GuestMachine implements AsyncDisposable {
  readonly events: Event[] = [];
  readonly agentSocket: string;
  agent: GuestAgent;
  readonly #folder: string;
  readonly #child: ChildProcess;
  #console = '';
  #qmp: Socket | undefined;

  private constructor(folder: string, child: ChildProcess) {
    this.#folder = folder;
    this.#child = child;
    this.agentSocket = join(folder, 'agent.sock');
    this.agent = this.#newAgent(true);
    child.stdout?.on('data', (chunk: Buffer) => (this.#console += chunk.toString()));
    child.stderr?.on('data', (chunk: Buffer) => (this.#console += chunk.toString()));
  }

  static async start(images: GuestImages, disks: readonly TestDisk[]): Promise<GuestMachine> {
    const folder = await mkdtemp(join(tmpdir(), 'hn-guest-'));
    const kernelArguments = `console=ttyS0 quiet panic=-1 reboot=t tsc=reliable tsc_early_khz=${await hostTscKhz()}`;
    const child = spawnChild(
      'qemu-system-x86_64',
      [
        ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-serial', 'stdio'],
        ...['-M', 'microvm,acpi=on', '-accel', 'tcg,tb-size=64', '-cpu', 'max', '-m', '256M', '-smp', '1'],
        ...['-kernel', images.kernel, '-initrd', images.initramfs, '-append', kernelArguments],
        ...['-qmp', `unix:${folder}/qmp.sock,server=on,wait=off`],
        ...['-global', 'virtio-mmio.force-legacy=false', '-device', 'virtio-serial-device'],
        ...['-chardev', `socket,id=agent,path=${folder}/agent.sock,server=on,wait=off`],
        ...['-device', 'virtserialport,chardev=agent,name=hyperstart.v1'],
        ...['-device', 'virtio-scsi-device,id=scsi0'],
        ...[
          '-netdev',
          `user,id=net0,restrict=on,net=10.9.0.0/24,guestfwd=tcp:10.9.0.100:80-cmd:${remoteServer}`,
          '-device',
          'virtio-net-device,netdev=net0,mac=52:54:00:00:00:01',
        ],
        ...['-object', 'rng-builtin,id=rng0', '-device', 'virtio-rng-device,rng=rng0'],
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    const machine = new GuestMachine(folder, child);
    await machine.#openMonitor();
    for (const disk of disks) await machine.plug(disk);
    return machine;
  }

  get consoleText(): string {
    return this.#console;
  }

  get exited(): boolean {
    return this.#child.exitCode !== null || this.#child.signalCode !== null;
  }

  async request(operation: Operation, timeoutMs = 30_000): Promise<OperationResult | undefined> {
    return await this.agent.request(operation, { timeoutMs });
  }

  /** Another host process takes over: a new connection without the memory of the former one. */
  async replaceAgent(): Promise<void> {
    await this.agent[Symbol.asyncDispose]();
    this.agent = this.#newAgent(false);
  }

  async plug(disk: TestDisk): Promise<void> {
    const node = `disk${disk.lun}`;
    await this.#execute('blockdev-add', {
      driver: 'raw',
      'node-name': node,
      'read-only': disk.readOnly,
      file: { driver: 'file', filename: disk.path },
    });
    await this.#execute('device_add', {
      driver: 'scsi-hd',
      bus: 'scsi0.0',
      drive: node,
      id: `scsi-${node}`,
      lun: disk.lun,
    });
  }

  async unplug(lun: number): Promise<void> {
    await this.#execute('device_del', { id: `scsi-disk${lun}` });
  }

  async waitForEvent(matches: (event: Event) => boolean, timeoutMs = 20_000): Promise<Event> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const found = this.events.find(matches);
      if (found !== undefined) return found;
      if (Date.now() > deadline) throw new Error(`no such event came; console:\n${this.#console}`);
      await delay(10);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent[Symbol.asyncDispose]();
    this.#qmp?.destroy();
    if (!this.exited) {
      const gone = new Promise((resolve) => this.#child.once('exit', resolve));
      this.#child.kill('SIGKILL');
      await gone;
    }
    await rm(this.#folder, { recursive: true, force: true });
  }

  #newAgent(fresh: boolean): GuestAgent {
    return new GuestAgent({
      socketPath: this.agentSocket,
      fresh,
      onEvent: (event) => {
        this.events.push(event);
        return Promise.resolve();
      },
    });
  }

  async #openMonitor(): Promise<void> {
    this.#qmp = await connectSocket(join(this.#folder, 'qmp.sock'));
    await this.#execute('qmp_capabilities', {});
  }

  async #execute(command: string, options: Record<string, unknown>): Promise<void> {
    const socket = this.#qmp;
    if (socket === undefined) throw new Error('no monitor');
    let text = '';
    const answer = new Promise<Record<string, unknown>>((resolve) => {
      const onData = (chunk: Buffer): void => {
        text += chunk.toString();
        const lines = text.split('\n');
        for (const line of lines.slice(0, -1)) {
          const message = JSON.parse(line) as Record<string, unknown>;
          if (!('return' in message) && !('error' in message)) continue;
          socket.off('data', onData);
          resolve(message);
        }
      };
      socket.on('data', onData);
    });
    socket.write(JSON.stringify({ execute: command, arguments: options }));
    const message = await answer;
    if ('error' in message) throw new Error(`${command}: ${JSON.stringify(message['error'])}`);
  }
}
