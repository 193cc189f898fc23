import { createHash } from 'node:crypto';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { PlatformError } from '@hypernetes/foundation/errors';

/** Names that come from the API become parts of paths: only what DNS names and uids consist of may. */
export function pathPart(name: string): string {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name)) {
    throw new PlatformError('Invalid', `${JSON.stringify(name)} cannot be the name of a folder`);
  }
  return name;
}

/** Where the kubelet keeps what belongs to pods (the layout every kubelet has). */
export class PodFolders {
  readonly #root: string;
  readonly #directVolumes: string;

  constructor(dataDir: string, runDir: string) {
    this.#root = join(dataDir, 'kubelet', 'pods');
    this.#directVolumes = join(runDir, 'direct-volumes');
  }

  pod(uid: string): string {
    return join(this.#root, pathPart(uid));
  }

  /** `plugin` is configmap, secret, empty-dir ... */
  volume(uid: string, plugin: string, name: string): string {
    return join(this.pod(uid), 'volumes', `kubernetes.io~${plugin}`, pathPart(name));
  }

  etcHosts(uid: string): string {
    return join(this.pod(uid), 'etc-hosts');
  }

  terminationLog(uid: string, container: string, attempt: number): string {
    return join(this.pod(uid), 'containers', pathPart(container), String(attempt));
  }

  /** The registry entry by which the runtime knows that a host path stands for a block device. */
  directVolume(hostPath: string): string {
    const name = createHash('sha256').update(hostPath).digest('hex');
    return join(this.#directVolumes, `${name}.json`);
  }

  async listPodUids(): Promise<string[]> {
    try {
      return await readdir(this.#root);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  }

  /** Removes all that was made for a pod. Nothing there: success. */
  async remove(uid: string): Promise<void> {
    const cinder = join(this.pod(uid), 'volumes', 'kubernetes.io~cinder');
    for (const name of await readdir(cinder).catch(() => [])) {
      await rm(this.directVolume(join(cinder, name)), { force: true });
    }
    await rm(this.pod(uid), { recursive: true, force: true });
  }
}
