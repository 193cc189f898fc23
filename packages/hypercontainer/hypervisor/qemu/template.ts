import { createHash, randomBytes } from 'node:crypto';
import { chmod, chown, mkdir, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { PlatformError } from '@hypernetes/foundation/errors';
import { readFileIfExists, writeFileAtomic } from '@hypernetes/foundation/files';
import { waitFor, withDeadline } from '@hypernetes/foundation/lifecycle';
import type { QmpClient } from './qmp-client.ts';

/** Least recently used templates beyond this are removed: each holds some tens of MiB of host memory. */
const templatesMax = 24;
/** Device state is tens of KiB; memory does not travel with it. */
const deviceStateBytesMax = 16 << 20;
const saveTimeoutMs = 20_000;

/** What two machines must have in common to be copies of one template. */
export interface TemplateKey {
  readonly artifactsId: string;
  readonly qemuVersion: string;
  readonly accelerator: string;
  readonly tscKhz: number;
  readonly cpus: number;
  readonly memoryMiB: number;
  readonly tenantId: string;
  readonly scratchSizeBytes: number;
  /** Digest of the command line with every path and name left out: another device model is another template. */
  readonly deviceModel: string;
}

/** A template on disk, ready to be copied. */
export interface Template {
  readonly id: string;
  readonly memoryPath: string;
  readonly deviceStatePath: string;
  /** Group that may open the memory image (QEMU opens it for writing even where it only maps a private copy). */
  readonly gid: number;
}

const memoryFile = 'memory';
const deviceStateFile = 'device-state';
const keyFile = 'template.json';

/** The template's name. Pure. */
export function templateId(key: TemplateKey): string {
  return createHash('sha256')
    .update(JSON.stringify(key, Object.keys(key).sort()))
    .digest('hex')
    .slice(0, 24);
}

/** Folder of templates on a memory file system. A template is there whole or not at all. */
export class TemplateStore {
  readonly #folder: string;
  readonly #gidBase: number;
  readonly #building = new Map<string, Promise<Template>>();

  constructor(folder: string, gidBase: number) {
    this.#folder = folder;
    this.#gidBase = gidBase;
  }

  /** The template of the key, made by `build` when there is none; one build at a time per key. */
  async get(key: TemplateKey, build: (folder: string, gid: number) => Promise<void>): Promise<Template> {
    const id = templateId(key);
    const present = this.#building.get(id);
    if (present !== undefined) return await present;
    const work = this.#getOrBuild(id, key, build).finally(() => this.#building.delete(id));
    this.#building.set(id, work);
    return await work;
  }

  /** Name of the key's template. */
  idOf(key: TemplateKey): string {
    return templateId(key);
  }

  /** A template that made a machine which did not come up is not used again. */
  async discard(id: string): Promise<void> {
    await rm(join(this.#folder, id), { recursive: true, force: true });
  }

  /** Removes half-made templates of a process that died. */
  async sweep(): Promise<void> {
    for (const name of await readdir(this.#folder).catch(() => []))
      if (name.includes('.tmp-')) await rm(join(this.#folder, name), { recursive: true, force: true });
  }

  async #getOrBuild(
    id: string,
    key: TemplateKey,
    build: (folder: string, gid: number) => Promise<void>,
  ): Promise<Template> {
    const folder = join(this.#folder, id);
    const gid = this.#gidOf(id);
    if ((await readFileIfExists(join(folder, keyFile))) === undefined) await this.#build(id, gid, key, build);
    const now = new Date();
    await utimes(folder, now, now);
    return {
      id,
      gid,
      memoryPath: join(folder, memoryFile),
      deviceStatePath: join(folder, deviceStateFile),
    };
  }

  async #build(
    id: string,
    gid: number,
    key: TemplateKey,
    build: (folder: string, gid: number) => Promise<void>,
  ): Promise<void> {
    await mkdir(this.#folder, { recursive: true, mode: 0o711 });
    await this.#removeOldest();
    const temporary = join(this.#folder, `${id}.tmp-${randomBytes(4).toString('hex')}`);
    await mkdir(temporary, { mode: 0o700 });
    try {
      await build(temporary, gid);
      await chown(join(temporary, memoryFile), 0, gid);
      await chmod(join(temporary, memoryFile), 0o660);
      await writeFileAtomic(join(temporary, keyFile), JSON.stringify(key));
      await chown(temporary, 0, gid);
      await chmod(temporary, 0o710);
      await rm(join(this.#folder, id), { recursive: true, force: true });
      await rename(temporary, join(this.#folder, id));
    } catch (error) {
      await rm(temporary, { recursive: true, force: true });
      throw error;
    }
  }

  #gidOf(id: string): number {
    // Only a fence between templates: two that meet by chance share it.
    return this.#gidBase + (parseInt(id.slice(0, 6), 16) % 50_000);
  }

  async #removeOldest(): Promise<void> {
    const names = (await readdir(this.#folder)).filter((name) => !name.includes('.tmp-'));
    const ages = await Promise.all(
      names.map(async (name) => ({ name, usedMs: (await stat(join(this.#folder, name))).mtimeMs })),
    );
    const surplus = ages.sort((a, b) => b.usedMs - a.usedMs).slice(templatesMax - 1);
    // Machines made of it keep their mapping; only new ones need a new template.
    for (const { name } of surplus) await this.discard(name);
  }
}

/** Paths a template is built into. */
export function templatePaths(folder: string): { readonly memory: string; readonly deviceState: string } {
  return { memory: join(folder, memoryFile), deviceState: join(folder, deviceStateFile) };
}

/**
 * Stops the machine and writes its device state to a file. The monitor sends it to a unix socket of ours (QEMU 7.2 cannot write files, and its
 * sandbox forbids it to start programs). The memory is in the template's file already.
 */
export async function saveDeviceState(
  monitor: QmpClient,
  options: { readonly socketPath: string; readonly uid: number; readonly targetPath: string },
): Promise<void> {
  await withDeadline('save of the template', saveTimeoutMs, async () => {
    await monitor.execute('stop');
    await ignoreSharedMemory(monitor);
    const receiver = receiveOnce(options.socketPath);
    await receiver.listening;
    await chown(options.socketPath, options.uid, options.uid);
    await monitor.execute('migrate', { uri: `unix:${options.socketPath}` });
    const state = await receiver.content;
    const outcome = await waitFor(
      'end of the save',
      { timeoutMs: saveTimeoutMs, intervalMs: 2 },
      async () => {
        const answer = (await monitor.execute('query-migrate')) as { status?: string; 'error-desc'?: string };
        return ['completed', 'failed', 'cancelled'].includes(answer.status ?? '') ? answer : undefined;
      },
    );
    if (outcome.status !== 'completed')
      throw new PlatformError('Internal', `save of the template: ${outcome['error-desc'] ?? 'failed'}`);
    await writeFileAtomic(options.targetPath, state);
  });
}

/** Makes device state travel without the memory, which is in the template's file. Both sides must agree. */
export async function ignoreSharedMemory(monitor: QmpClient): Promise<void> {
  await monitor.execute('migrate-set-capabilities', {
    capabilities: [{ capability: 'x-ignore-shared', state: true }],
  });
}

function receiveOnce(path: string): {
  readonly listening: Promise<void>;
  readonly content: Promise<Buffer>;
} {
  let server: Server | undefined;
  const content = new Promise<Buffer>((resolve, reject) => {
    server = createServer((socket) => {
      const chunks: Buffer[] = [];
      let length = 0;
      socket.on('data', (chunk: Buffer) => {
        chunks.push(chunk);
        length += chunk.length;
        if (length > deviceStateBytesMax) socket.destroy(new Error('device state too large'));
      });
      socket.on('error', reject);
      socket.on('close', () => {
        server?.close();
        resolve(Buffer.concat(chunks));
      });
    });
  });
  const listening = new Promise<void>((resolve, reject) => {
    server?.once('error', reject);
    server?.listen(path, resolve);
  });
  return { listening, content };
}
