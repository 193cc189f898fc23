import { PlatformError } from '@hypernetes/foundation/errors';
import { KeyedMutex } from '@hypernetes/foundation/lifecycle';
import type { MountVolume } from '@hypernetes/proto/hyperstart';
import { MountVolume as MountVolumeMessage } from '@hypernetes/proto/hyperstart';
import type { GuestAgent } from '../guest-agent/index.ts';
import type { DiskAddress, Machine } from '../hypervisor/index.ts';
import type { ImageLayer } from '../image-store/image-store.ts';
import type { DirectVolume } from './mounts.ts';
import type { SandboxContext } from './sandbox-context.ts';
import type { PluggedDisk, SandboxRecord } from './records.ts';

const mountTimeoutMs = 60_000;
const lunsPerTarget = 256;
const disksMax = lunsPerTarget * 256;
const toolsVolumeId = 'tools';

/** The disks of one running machine: image layers, shared by its containers, and volumes. What is plugged is on record before it is plugged. */
export class MachineDisks {
  readonly #context: SandboxContext;
  readonly #record: SandboxRecord;
  readonly #save: () => Promise<void>;
  readonly #machine: Machine;
  readonly #agent: GuestAgent;
  readonly #mutex = new KeyedMutex();
  readonly #mounted = new Set<string>();

  constructor(options: {
    readonly context: SandboxContext;
    readonly record: SandboxRecord;
    readonly save: () => Promise<void>;
    readonly machine: Machine;
    readonly agent: GuestAgent;
  }) {
    this.#context = options.context;
    this.#record = options.record;
    this.#save = options.save;
    this.#machine = options.machine;
    this.#agent = options.agent;
  }

  /** Plugs and mounts what is not there yet, all side by side. Answers the guest's names, lowest layer first. */
  async mountLayers(layers: readonly ImageLayer[]): Promise<string[]> {
    const ids = layers.map((layer) => `layer-${layer.diffId.replace('sha256:', '').slice(0, 40)}`);
    const fresh = ids.filter((id) => this.#addressOf(id) === undefined);
    const wanted = new Set(fresh);
    for (const volumeId of wanted) this.#addToRecord(volumeId);
    if (wanted.size > 0) await this.#save();
    await Promise.all(
      layers.map(async (layer, index) => {
        const volumeId = ids[index] ?? '';
        await this.#mount({ path: layer.path, readOnly: true, volumeId, fsType: layer.fsType });
      }),
    );
    return ids;
  }

  /** Attaches (fenced by kubestack), plugs and mounts; a blank volume gets its file system. Answers the guest's name. */
  async mountVolume(volume: DirectVolume): Promise<string> {
    const volumeId = `volume-${volume.volumeId}`;
    const { context } = { context: this.#context };
    const record = this.#record;
    if (!record.volumes.some((attached) => attached.volumeId === volume.volumeId)) {
      record.volumes.push({
        volumeId: volume.volumeId,
        tenantId: record.config.tenantId,
        readOnly: volume.readOnly,
      });
    }
    if (this.#addressOf(volumeId) === undefined) this.#addToRecord(volumeId);
    await this.#save();
    const { metadata } = record.config;
    const attachment = await context.infrastructure.attachVolume({
      volumeId: volume.volumeId,
      // The tenant is the pod's, never what the registry entry says.
      tenantId: record.config.tenantId,
      sandboxId: record.id,
      pod: { namespace: metadata.namespace, name: metadata.name, uid: metadata.uid },
      nodeName: context.nodeName,
      readOnly: volume.readOnly,
      ownerUid: context.monitorUidBase + record.slot,
    });
    if (attachment.connection?.$case !== 'file')
      throw new PlatformError(
        'Unimplemented',
        `volume ${volume.volumeId}: connection ${attachment.connection?.$case ?? 'none'} cannot be opened by this node`,
      );
    if (!volume.readOnly) await this.#mountTools();
    await this.#mount({
      path: attachment.connection.value.path,
      readOnly: volume.readOnly,
      volumeId,
      fsType: volume.fsType,
    });
    return volumeId;
  }

  async #mountTools(): Promise<void> {
    await this.#once(toolsVolumeId, async () => {
      await this.#mountInGuest({
        volumeId: toolsVolumeId,
        address: this.#machine.toolsAddress,
        fsType: 'squashfs',
        readOnly: true,
      });
    });
  }

  async #mount(disk: {
    readonly path: string;
    readonly readOnly: boolean;
    readonly volumeId: string;
    readonly fsType: string;
  }): Promise<void> {
    await this.#once(disk.volumeId, async () => {
      const address = this.#addressOf(disk.volumeId);
      if (address === undefined) throw new PlatformError('Internal', `disk ${disk.volumeId} is on no record`);
      await this.#machine.plugDisk({ address, path: disk.path, readOnly: disk.readOnly });
      await this.#mountInGuest({
        volumeId: disk.volumeId,
        address: { ...address },
        fsType: disk.fsType,
        readOnly: disk.readOnly,
        // Mounting again what is mounted is success, so this is safe to repeat.
        formatIfBlank: !disk.readOnly,
        toolsVolumeId: disk.readOnly ? '' : toolsVolumeId,
      });
    });
  }

  async #mountInGuest(value: Partial<MountVolume>): Promise<void> {
    await this.#agent.request(
      { $case: 'mountVolume', value: MountVolumeMessage.fromPartial(value) },
      { timeoutMs: mountTimeoutMs },
    );
  }

  async #once(volumeId: string, work: () => Promise<void>): Promise<void> {
    await this.#mutex.run(volumeId, async () => {
      if (this.#mounted.has(volumeId)) return;
      await work();
      this.#mounted.add(volumeId);
    });
  }

  #addressOf(volumeId: string): DiskAddress | undefined {
    return this.#record.disks.find((disk) => disk.volumeId === volumeId)?.address;
  }

  #addToRecord(volumeId: string): void {
    const number = this.#record.nextLun;
    if (number >= disksMax)
      throw new PlatformError('Exhausted', `sandbox ${this.#record.id}: no place for another disk`);
    this.#record.nextLun += 1;
    const address = { target: Math.floor(number / lunsPerTarget), lun: number % lunsPerTarget };
    const disk: PluggedDisk = { volumeId, address };
    this.#record.disks.push(disk);
  }
}
