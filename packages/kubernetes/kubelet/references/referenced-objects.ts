import { withDeadline } from '@hypernetes/foundation/lifecycle';
import {
  createInformer,
  resources,
  type ConfigMap,
  type Informer,
  type KubeClient,
  type Secret,
} from '../../client/index.ts';
import { allContainers, type Pod } from '../kube-types.ts';

export type ReferencedKind = 'configMaps' | 'secrets';

/** One ConfigMap or Secret a pod names. */
export interface Reference {
  readonly kind: ReferencedKind;
  readonly name: string;
}

const firstListMs = 10_000;

interface Watched {
  readonly informer: Informer<ConfigMap> | Informer<Secret>;
  readonly started: Promise<void>;
  readonly podUids: Set<string>;
}

/**
 * The ConfigMaps and Secrets the pods of this node name, each watched by itself: a kubelet sees no others. `onChange` gets the uid of
 * every pod that names a changed one.
 */
export class ReferencedObjects implements AsyncDisposable {
  readonly #client: KubeClient;
  readonly #onChange: (podUid: string) => void;
  readonly #watched = new Map<string, Watched>();

  constructor(client: KubeClient, onChange: (podUid: string) => void) {
    this.#client = client;
    this.#onChange = onChange;
  }

  /** Undefined when there is no such object. */
  async getConfigMap(podUid: string, namespace: string, name: string): Promise<ConfigMap | undefined> {
    return await this.#get<ConfigMap>('configMaps', podUid, namespace, name);
  }

  /** Undefined when there is no such object. */
  async getSecret(podUid: string, namespace: string, name: string): Promise<Secret | undefined> {
    return await this.#get<Secret>('secrets', podUid, namespace, name);
  }

  /** The pod is gone: what only it named is no longer watched. */
  release(podUid: string): void {
    for (const [key, watched] of this.#watched) {
      if (!watched.podUids.delete(podUid) || watched.podUids.size > 0) continue;
      this.#watched.delete(key);
      void watched.informer[Symbol.asyncDispose]();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const all = [...this.#watched.values()];
    this.#watched.clear();
    await Promise.all(all.map(({ informer }) => informer[Symbol.asyncDispose]()));
  }

  async #get<T extends ConfigMap | Secret>(
    kind: ReferencedKind,
    podUid: string,
    namespace: string,
    name: string,
  ): Promise<T | undefined> {
    const key = `${kind}/${namespace}/${name}`;
    const watched = this.#watched.get(key) ?? this.#watch(key, kind, namespace, name);
    watched.podUids.add(podUid);
    await withDeadline(`read ${key}`, firstListMs, () => watched.started);
    return watched.informer.get(`${namespace}/${name}`) as T | undefined;
  }

  #watch(key: string, kind: ReferencedKind, namespace: string, name: string): Watched {
    const informer = createInformer<ConfigMap | Secret>(this.#client, resources[kind], {
      namespace,
      fieldSelector: `metadata.name=${name}`,
    });
    const started = informer.start();
    started.catch(() => undefined);
    const watched: Watched = { informer, started, podUids: new Set() };
    this.#watched.set(key, watched);
    informer.onChange(() => {
      for (const podUid of watched.podUids) this.#onChange(podUid);
    });
    return watched;
  }
}

/** Whether any container or volume of the pod names something that may change under it. */
export function namesMutableObjects(pod: Pod): boolean {
  return (
    (pod.spec.volumes ?? []).some(
      ({ configMap, secret, projected, downwardAPI }) =>
        configMap !== undefined ||
        secret !== undefined ||
        projected !== undefined ||
        downwardAPI !== undefined,
    ) || allContainers(pod.spec).some(({ envFrom }) => (envFrom ?? []).length > 0)
  );
}
