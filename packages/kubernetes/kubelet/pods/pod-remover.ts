import { readdir, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { isPlatformError } from '@hypernetes/foundation/errors';
import { createLogger } from '@hypernetes/foundation/logging';
import { resources, type KubeClient } from '../../client/index.ts';
import type { Pod } from '../kube-types.ts';
import type { CriClient } from '../runtime/cri-client.ts';
import { criAnnotations } from '../runtime/labels.ts';
import type { PodRuntime, RuntimeContainer } from '../runtime/pod-runtime.ts';
import type { PodFolders } from '../volumes/pod-folders.ts';
import type { ContainerKiller } from './container-killer.ts';

const log = createLogger('kubelet:remover');
const defaultGraceS = 30;

/** Takes away what is left of pods: in the runtime, on the host, and at last in the API. */
export class PodRemover {
  readonly #cri: CriClient;
  readonly #client: KubeClient;
  readonly #folders: PodFolders;
  readonly #killer: ContainerKiller;
  readonly #podLogsDir: string;

  constructor(parts: {
    readonly cri: CriClient;
    readonly client: KubeClient;
    readonly folders: PodFolders;
    readonly killer: ContainerKiller;
    readonly podLogsDir: string;
  }) {
    this.#cri = parts.cri;
    this.#client = parts.client;
    this.#folders = parts.folders;
    this.#killer = parts.killer;
    this.#podLogsDir = parts.podLogsDir;
  }

  /** Nothing of the pod runs any more: removes its records, files and API object. The uid keeps a namesake safe. */
  async finalize(pod: Pod, runtime: PodRuntime): Promise<void> {
    await this.#removeAll(pod.metadata.uid, runtime);
    const { namespace, name, uid } = pod.metadata;
    try {
      await this.#client.delete(resources.pods, { namespace, name }, { uid, gracePeriodSeconds: 0 });
    } catch (error) {
      // Gone already, or a namesake with another uid in its place: either way ours is not there.
      if (!isPlatformError(error, 'NotFound') && !isPlatformError(error, 'Conflict')) throw error;
    }
  }

  /** A pod the API no longer has: ends what runs of it, step by step; asked again after each. */
  async removeOrphan(uid: string): Promise<void> {
    const runtime = await this.#cri.podRuntime(uid, '', '');
    const alive = runtime.containers.filter(({ state }) => state === 'running' || state === 'unknown');
    for (const container of alive) {
      const graceS = graceOf(container);
      this.#killer.kill({ podUid: uid, pod: undefined, container }, graceS, '');
    }
    if (alive.length > 0) return;
    if (runtime.sandboxes.length > 0) {
      log.info({ podUid: uid, namespace: runtime.namespace, pod: runtime.name }, 'removing orphaned pod');
    }
    await this.#removeAll(uid, runtime);
  }

  /** A dead container's record and its log files. */
  async removeContainer(container: RuntimeContainer): Promise<void> {
    await this.#cri.removeContainer(container.id);
    if (container.logPath === '') return;
    const folder = dirname(container.logPath);
    const file = basename(container.logPath);
    for (const name of await readdir(folder).catch(() => [])) {
      if (name === file || name.startsWith(`${file}.`)) await rm(join(folder, name), { force: true });
    }
  }

  async #removeAll(uid: string, runtime: PodRuntime): Promise<void> {
    for (const { id, ready } of runtime.sandboxes) {
      if (ready) await this.#cri.stopSandbox(id);
      await this.#cri.removeSandbox(id);
    }
    await this.#folders.remove(uid);
    for (const name of await readdir(this.#podLogsDir).catch(() => [])) {
      if (name.endsWith(`_${uid}`)) await rm(join(this.#podLogsDir, name), { recursive: true, force: true });
    }
  }
}

function graceOf(container: RuntimeContainer): number {
  const seconds = Number(container.annotations[criAnnotations.podTerminationGracePeriod]);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds : defaultGraceS;
}
