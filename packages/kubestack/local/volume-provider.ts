import { randomUUID } from 'node:crypto';
import { chown, mkdir, open, readdir, rm, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { PlatformError } from '@hypernetes/foundation/errors';
import { KeyedMutex } from '@hypernetes/foundation/lifecycle';
import { createLogger } from '@hypernetes/foundation/logging';
import {
  formatHolder,
  type Attachment,
  type AttachmentSpec,
  type Volume,
  type VolumeCapability,
  type VolumeProvider,
  type VolumeSpec,
} from '../provider-api/index.ts';
import { kubestackDirectory, type StateDatabase } from '../state/index.ts';

const log = createLogger('kubestack:volume');
/** Sizes are multiples of this: disks of whole mebibytes suit every file system and image tool. */
const sizeStepBytes = 1 << 20;
const uuidPattern = /^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$/;

interface VolumeRecord extends VolumeSpec {
  /** `creating` until the file has its size on disk; `deleting` from the moment deletion was asked for. */
  readonly phase: 'creating' | 'ready' | 'deleting';
}

/** Volumes as sparse raw files, of mode 0600 and owned by the user of the virtual machine that has them. */
export class LocalVolumeProvider implements VolumeProvider {
  readonly name = 'local';
  readonly capabilities: ReadonlySet<VolumeCapability> = new Set(['volume-file']);
  readonly #database: StateDatabase;
  readonly #folder: string;
  readonly #locks = new KeyedMutex();

  constructor(options: { readonly database: StateDatabase; readonly dataDir: string }) {
    this.#database = options.database;
    this.#folder = join(kubestackDirectory(options.dataDir), 'volumes');
  }

  async reconcile(): Promise<void> {
    await this.#prepareFolder();
    for (const record of this.#database.documents<VolumeRecord>('SELECT document FROM volumes')) {
      await this.#locks.run(record.id, () => this.#finish(record));
    }
    const known = new Set(
      this.#database.all('SELECT id FROM volumes').map((row) => `${row['id'] as string}.raw`),
    );
    for (const file of await readdir(this.#folder)) {
      // A file nobody knows is never deleted: it may be the only copy of somebody's data (a restored folder).
      if (!known.has(file)) log.warn({ file }, 'file in the volume folder belongs to no volume');
    }
  }

  async createVolume(spec: VolumeSpec): Promise<Volume> {
    const id = spec.id === '' ? randomUUID() : spec.id;
    checkSpec(id, spec);
    return await this.#locks.run(id, async () => {
      const before = this.#find(id);
      if (before !== undefined) this.#checkSame(before, spec);
      if (before?.phase === 'ready') return this.#toVolume(before);
      await this.#prepareFolder();
      await this.#checkSpace(spec);
      const record: VolumeRecord = { ...spec, id, phase: 'creating' };
      this.#write(record);
      try {
        await this.#finish(record);
      } catch (error) {
        await this.#remove(id);
        throw error;
      }
      return this.#toVolume(this.#get(id));
    });
  }

  async getVolume(id: string): Promise<Volume> {
    return await Promise.resolve(this.#toVolume(this.#get(id)));
  }

  async listVolumes(tenantId?: string): Promise<readonly Volume[]> {
    const records =
      tenantId === undefined
        ? this.#database.documents<VolumeRecord>('SELECT document FROM volumes ORDER BY id')
        : this.#database.documents<VolumeRecord>(
            'SELECT document FROM volumes WHERE tenant_id = ? ORDER BY id',
            tenantId,
          );
    return await Promise.resolve(records.map((record) => this.#toVolume(record)));
  }

  async deleteVolume(id: string): Promise<void> {
    await this.#locks.run(id, async () => {
      const record = this.#find(id);
      if (record === undefined) return;
      const holder = this.#attachment(id);
      if (holder !== undefined) {
        throw new PlatformError(
          'Precondition',
          `volume ${id}: is attached to ${formatHolder(holder.pod, holder.sandboxId)}`,
        );
      }
      this.#write({ ...record, phase: 'deleting' });
      await this.#remove(id);
    });
  }

  async attachVolume(spec: AttachmentSpec): Promise<Attachment> {
    return await this.#locks.run(spec.volumeId, async () => {
      const record = this.#get(spec.volumeId);
      if (record.phase !== 'ready')
        throw new PlatformError(
          'Unavailable',
          `volume ${record.id}: is being ${record.phase === 'creating' ? 'created' : 'deleted'}`,
        );
      this.#checkTenant(record, spec.tenantId);
      const before = this.#attachment(record.id);
      if (before !== undefined && before.sandboxId !== spec.sandboxId) {
        throw new PlatformError(
          'Precondition',
          `volume ${record.id}: is attached to ${formatHolder(before.pod, before.sandboxId)}; it can be in one pod at a time`,
        );
      }
      if (before !== undefined && before.readOnly !== spec.readOnly) {
        throw new PlatformError(
          'Precondition',
          `volume ${record.id}: is attached to this sandbox ${before.readOnly ? 'read-only' : 'for writing'} already`,
        );
      }
      const attachment = before ?? this.#recordAttachment(record, spec);
      await this.#own(record.id, spec.ownerUid);
      return attachment;
    });
  }

  async detachVolume(volumeId: string, sandboxId: string): Promise<void> {
    await this.#locks.run(volumeId, async () => {
      const attachment = this.#attachment(volumeId);
      if (attachment?.sandboxId !== sandboxId) return;
      await this.#own(volumeId, 0);
      this.#database.run(
        'DELETE FROM attachments WHERE volume_id = ? AND sandbox_id = ?',
        volumeId,
        sandboxId,
      );
    });
  }

  async listAttachments(sandboxId?: string): Promise<readonly Attachment[]> {
    return await Promise.resolve(
      sandboxId === undefined
        ? this.#database.documents<Attachment>('SELECT document FROM attachments ORDER BY volume_id')
        : this.#database.documents<Attachment>(
            'SELECT document FROM attachments WHERE sandbox_id = ? ORDER BY volume_id',
            sandboxId,
          ),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.resolve();
  }

  #path(id: string): string {
    return join(this.#folder, `${id}.raw`);
  }

  #find(id: string): VolumeRecord | undefined {
    return this.#database.document<VolumeRecord>('SELECT document FROM volumes WHERE id = ?', id);
  }

  #get(id: string): VolumeRecord {
    const record = this.#find(id);
    if (record === undefined) throw new PlatformError('NotFound', `volume ${id}: does not exist`);
    return record;
  }

  #attachment(volumeId: string): Attachment | undefined {
    return this.#database.document<Attachment>(
      'SELECT document FROM attachments WHERE volume_id = ?',
      volumeId,
    );
  }

  #write(record: VolumeRecord): void {
    this.#database.run(
      'INSERT INTO volumes VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET tenant_id = excluded.tenant_id, document = excluded.document',
      record.id,
      record.tenantId,
      JSON.stringify(record),
    );
  }

  /** Records who has the volume, and whose it is from now on; durable on return. */
  #recordAttachment(record: VolumeRecord, spec: AttachmentSpec): Attachment {
    const attachment: Attachment = {
      id: randomUUID(),
      volumeId: record.id,
      sandboxId: spec.sandboxId,
      pod: spec.pod,
      nodeName: spec.nodeName,
      readOnly: spec.readOnly,
      connection: { kind: 'file', path: this.#path(record.id) },
    };
    this.#database.transaction(() => {
      this.#database.run(
        'INSERT INTO attachments VALUES (?, ?, ?)',
        record.id,
        spec.sandboxId,
        JSON.stringify(attachment),
      );
      if (record.tenantId === '' && spec.tenantId !== '') this.#write({ ...record, tenantId: spec.tenantId });
    });
    return attachment;
  }

  #checkTenant(record: VolumeRecord, tenantId: string): void {
    if (tenantId === '' || record.tenantId === '' || record.tenantId === tenantId) return;
    throw new PlatformError('Forbidden', `volume ${record.id}: belongs to another tenant`);
  }

  #checkSame(before: VolumeRecord, spec: VolumeSpec): void {
    const same =
      before.sizeBytes === spec.sizeBytes &&
      (spec.tenantId === '' || before.tenantId === spec.tenantId) &&
      before.phase !== 'deleting';
    if (same) return;
    throw new PlatformError(
      'AlreadyExists',
      `volume ${before.id}: exists already, with ${before.sizeBytes} bytes`,
    );
  }

  async #prepareFolder(): Promise<void> {
    // Others may pass through to a file that is theirs, and see no names.
    await mkdir(this.#folder, { recursive: true, mode: 0o711 });
  }

  async #checkSpace(spec: VolumeSpec): Promise<void> {
    const space = await statfs(this.#folder);
    if (space.bavail * space.bsize >= spec.sizeBytes) return;
    throw new PlatformError(
      'Exhausted',
      `volume of ${spec.sizeBytes} bytes: the disk has ${space.bavail * space.bsize} bytes free; delete something or ask for less`,
    );
  }

  /** Brings a half-made or half-deleted volume to its end. */
  async #finish(record: VolumeRecord): Promise<void> {
    if (record.phase === 'deleting') await this.#remove(record.id);
    if (record.phase !== 'creating') return;
    try {
      const file = await open(this.#path(record.id), 'a', 0o600);
      try {
        await file.truncate(record.sizeBytes);
        await file.sync();
      } finally {
        await file.close();
      }
      await this.#syncFolder();
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      const full = code === 'ENOSPC' || code === 'EDQUOT' || code === 'EFBIG';
      throw new PlatformError(
        full ? 'Exhausted' : 'Internal',
        `volume ${record.id} of ${record.sizeBytes} bytes: ${(error as Error).message}`,
        { cause: error },
      );
    }
    this.#write({ ...record, phase: 'ready' });
  }

  async #remove(id: string): Promise<void> {
    await rm(this.#path(id), { force: true });
    await this.#syncFolder();
    this.#database.run('DELETE FROM volumes WHERE id = ?', id);
  }

  async #syncFolder(): Promise<void> {
    const folder = await open(this.#folder, 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }

  async #own(id: string, uid: number): Promise<void> {
    try {
      const before = await stat(this.#path(id));
      if (before.uid !== uid || before.gid !== uid) await chown(this.#path(id), uid, uid);
    } catch (error) {
      throw new PlatformError('Internal', `volume ${id}: ${(error as Error).message}`, { cause: error });
    }
  }

  #toVolume(record: VolumeRecord): Volume {
    const attachment = this.#attachment(record.id);
    const states = { creating: 'Creating', deleting: 'Deleting', ready: 'Available' } as const;
    return {
      id: record.id,
      name: record.name,
      tenantId: record.tenantId,
      sizeBytes: record.sizeBytes,
      state: attachment === undefined ? states[record.phase] : 'InUse',
      message: '',
      attachment,
    };
  }
}

function checkSpec(id: string, spec: VolumeSpec): void {
  if (!uuidPattern.test(id)) throw new PlatformError('Invalid', `volume id "${id}": is no UUID`);
  if (spec.sizeBytes < sizeStepBytes || spec.sizeBytes % sizeStepBytes !== 0) {
    throw new PlatformError(
      'Invalid',
      `volume size ${spec.sizeBytes} bytes: must be a multiple of 1 MiB, at least 1 MiB`,
    );
  }
}
