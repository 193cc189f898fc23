// A sandbox service over real QEMU, with a network of its own and real images, for integration tests.
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chown, truncate, writeFile } from 'node:fs/promises';
import { PlatformError } from '@hypernetes/foundation/errors';
import { ip, ipBatch } from '@hypernetes/foundation/linux';
import { run } from '@hypernetes/foundation/process';
import { Attachment, Port, type ServiceTableEvent } from '@hypernetes/proto/kubestack';
import { buildImages } from '../../../../tests/fixtures/images/index.ts';
import { createImageStore } from '../../image-store/index.ts';
import type { ImageStore } from '../../image-store/image-store.ts';
import { createSandboxService } from '../create-sandbox-service.ts';
import type { PodInfrastructure } from '../infrastructure.ts';
import { releaseSandboxes } from '../release-sandboxes.ts';
import type { ContainerConfig, SandboxConfig, SandboxService } from '../sandbox-service.ts';

const guestCacheDir = process.env['HYPERNETES_TEST_CACHE'] ?? '/var/cache/hypernetes';

/** kubestack.v1 for one network: a bridge with the gateway in a network namespace, a tap per sandbox, raw files as volumes. */
export class TestInfrastructure implements PodInfrastructure {
  readonly namespace: string;
  readonly ports = new Map<string, Port>();
  readonly attachments = new Map<string, string>();
  readonly tables: ServiceTableEvent[] = [];
  failSetup = false;
  #folder: string;
  #last = 1;
  #watchers = new Set<() => void>();

  constructor(namespace: string, folder: string) {
    this.namespace = namespace;
    this.#folder = folder;
  }

  async create(): Promise<void> {
    await ip(['netns', 'add', this.namespace]);
    await ipBatch(
      ['link set lo up', 'link add br0 type bridge', 'addr add 10.9.0.1/24 dev br0', 'link set br0 up'],
      this.namespace,
    );
  }

  async remove(): Promise<void> {
    await ip(['netns', 'del', this.namespace]);
  }

  async setupPod(request: Parameters<PodInfrastructure['setupPod']>[0]): Promise<Port> {
    if (this.failSetup) throw new PlatformError('Exhausted', 'no free address');
    const sandboxId = request.sandboxId ?? '';
    const present = this.ports.get(sandboxId);
    if (present !== undefined) return present;
    const number = ++this.#last;
    const tap = `tap${number}`;
    // One that a killed process of a test has left.
    await ip(['link', 'del', tap], this.namespace).catch(() => undefined);
    await ipBatch(
      [
        `tuntap add dev ${tap} mode tap user ${request.tapOwnerUid ?? 0}`,
        `link set ${tap} master br0`,
        `link set ${tap} up`,
      ],
      this.namespace,
    );
    const port = Port.fromPartial({
      sandboxId,
      mac: `02:00:00:00:00:${number.toString(16).padStart(2, '0')}`,
      addresses: [`10.9.0.${number}/24`],
      gateway: '10.9.0.1',
      dnsServers: ['10.9.0.1'],
      mtu: 1500,
      tap: { networkNamespace: `/run/netns/${this.namespace}`, name: tap },
    });
    this.ports.set(sandboxId, port);
    return port;
  }

  async teardownPod(sandboxId: string): Promise<void> {
    const port = this.ports.get(sandboxId);
    if (port === undefined) return;
    this.ports.delete(sandboxId);
    await ip(['link', 'del', port.tap?.name ?? ''], this.namespace);
  }

  volumePath(volumeId: string): string {
    return join(this.#folder, `${volumeId}.raw`);
  }

  async createVolume(volumeId: string, sizeBytes: number): Promise<void> {
    await writeFile(this.volumePath(volumeId), '');
    await truncate(this.volumePath(volumeId), sizeBytes);
  }

  async attachVolume(request: Parameters<PodInfrastructure['attachVolume']>[0]): Promise<Attachment> {
    const volumeId = request.volumeId ?? '';
    const holder = this.attachments.get(volumeId);
    if (holder !== undefined && holder !== request.sandboxId)
      throw new PlatformError('Precondition', `volume ${volumeId} is in use by sandbox ${holder}`);
    this.attachments.set(volumeId, request.sandboxId ?? '');
    await chown(this.volumePath(volumeId), request.ownerUid ?? 0, request.ownerUid ?? 0);
    return Attachment.fromPartial({
      volumeId,
      connection: { $case: 'file', value: { path: this.volumePath(volumeId) } },
    });
  }

  detachVolume(volumeId: string, sandboxId: string): Promise<void> {
    if (this.attachments.get(volumeId) === sandboxId) this.attachments.delete(volumeId);
    return Promise.resolve();
  }

  publish(event: ServiceTableEvent): void {
    this.tables.push(event);
    for (const wake of this.#watchers) wake();
  }

  async *watchServices(_networkUid: string, signal: AbortSignal): AsyncGenerator<ServiceTableEvent> {
    for (let at = 0; !signal.aborted;) {
      const event = this.tables[at];
      if (event !== undefined) {
        at += 1;
        yield event;
      } else
        await new Promise<void>((resolve) => {
          const wake = (): void => {
            this.#watchers.delete(wake);
            resolve();
          };
          this.#watchers.add(wake);
          signal.addEventListener('abort', wake, { once: true });
        });
    }
  }

  [Symbol.dispose](): void {
    for (const wake of this.#watchers) wake();
  }
}

/** Folders, network and images; services are made on them, one after another. */
export class SandboxFixture {
  readonly folder: string;
  readonly prefix: string;
  readonly infrastructure: TestInfrastructure;
  readonly images: ImageStore;
  readonly podUid = 'b7a5b2c0-0000-4000-8000-000000000001';

  constructor(folder: string, infrastructure: TestInfrastructure, images: ImageStore, prefix: string) {
    this.folder = folder;
    this.prefix = prefix;
    this.infrastructure = infrastructure;
    this.images = images;
  }

  static async create(): Promise<SandboxFixture> {
    const folder = await mkdtemp(join(tmpdir(), 'hnt-'));
    await chmod(folder, 0o711);
    const prefix = `t${randomBytes(3).toString('hex')}`;
    const infrastructure = new TestInfrastructure(prefix, folder);
    await infrastructure.create();
    const images = await createImageStore({ dataDir: join(folder, 'images') });
    for (const { name, folder: layout } of await buildImages()) {
      if (name !== 'busybox') continue;
      const archive = join(folder, `${name}.tar`);
      await run('tar', ['-cf', archive, '-C', layout, '.']);
      await images.load(archive);
    }
    await chmod(join(folder, 'images'), 0o711);
    return new SandboxFixture(folder, infrastructure, images, prefix);
  }

  /** A new instance on the same folders, recovered: what a restart of the daemon is. */
  async open(): Promise<SandboxService> {
    const service = createSandboxService({
      dataDir: join(this.folder, 'data'),
      runDir: join(this.folder, 'run'),
      cacheDir: guestCacheDir,
      instancePrefix: this.prefix,
      nodeName: 'test',
      images: this.images,
      infrastructure: this.infrastructure,
      accelerator: 'tcg',
      scratchSizeBytes: 256 << 20,
      monitorUidBase: 300_000,
    });
    await service.recover();
    return service;
  }

  get imageReference(): string {
    const [image] = this.images.list();
    return image?.references[0] ?? image?.id ?? '';
  }

  sandboxConfig(name: string, more: Partial<SandboxConfig> = {}): SandboxConfig {
    return {
      metadata: { name, namespace: 'default', uid: this.podUid, attempt: 0 },
      hostname: name,
      logDirectory: join(this.folder, 'logs', name),
      labels: {},
      annotations: {},
      dns: { servers: [], searches: ['svc.cluster.local'], options: [] },
      runtimeHandler: '',
      sysctls: {},
      sharedPidNamespace: false,
      resources: {},
      networkUid: 'default',
      tenantId: '',
      ...more,
    };
  }

  containerConfig(
    name: string,
    command: readonly string[],
    more: Partial<ContainerConfig> = {},
  ): ContainerConfig {
    return {
      metadata: { name, attempt: 0 },
      image: this.imageReference,
      command,
      args: [],
      workingDir: '',
      env: [],
      mounts: [],
      labels: {},
      annotations: {},
      logPath: `${name}/0.log`,
      stdin: false,
      stdinOnce: false,
      tty: false,
      resources: {},
      security: {
        privileged: false,
        supplementalGroups: [],
        strictGroups: false,
        readOnlyRootfs: false,
        noNewPrivileges: false,
        addCapabilities: [],
        dropCapabilities: [],
        maskedPaths: [],
        readOnlyPaths: [],
        seccomp: { type: 'Unconfined' },
        privatePidNamespace: true,
      },
      ...more,
    };
  }

  /** A folder as the kubelet has it for a volume of the pod. */
  async volumeFolder(plugin: string, name: string): Promise<string> {
    const path = join(
      this.folder,
      'kubelet',
      'pods',
      this.podUid,
      'volumes',
      `kubernetes.io~${plugin}`,
      name,
    );
    await mkdir(path, { recursive: true });
    return path;
  }

  async remove(): Promise<void> {
    await releaseSandboxes({
      dataDir: join(this.folder, 'data'),
      runDir: join(this.folder, 'run'),
      instancePrefix: this.prefix,
    });
    await this.infrastructure.remove();
    await this.images[Symbol.asyncDispose]();
    await rm(this.folder, { recursive: true, force: true });
  }
}
