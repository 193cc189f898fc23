import { createInformer, resources, type Informer, type KubeClient } from '../../client/index.ts';
import type { Pod } from '../kube-types.ts';

/** The pods bound to this node, by uid, as the API has them. */
export class PodStore implements AsyncDisposable {
  readonly #informer: Informer<Pod>;
  readonly #pods = new Map<string, Pod>();

  /** `onChange` gets the uid of every pod that comes, changes or goes. */
  constructor(client: KubeClient, nodeName: string, onChange: (podUid: string) => void) {
    this.#informer = createInformer<Pod>(client, resources.pods, {
      fieldSelector: `spec.nodeName=${nodeName}`,
    });
    this.#informer.onChange(({ old, current }) => {
      const before = old?.metadata.uid;
      const after = current?.metadata.uid;
      // Deleted and made again under the same name between two looks: both are news.
      if (before !== undefined && before !== after) {
        this.#pods.delete(before);
        onChange(before);
      }
      if (current !== undefined) {
        this.#pods.set(current.metadata.uid, current);
        onChange(current.metadata.uid);
      }
    });
  }

  /** Resolves when the first list is in. */
  async start(): Promise<void> {
    await this.#informer.start();
  }

  get(uid: string): Pod | undefined {
    return this.#pods.get(uid);
  }

  find(namespace: string, name: string): Pod | undefined {
    return this.#informer.get(`${namespace}/${name}`);
  }

  list(): Pod[] {
    return [...this.#pods.values()];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#informer[Symbol.asyncDispose]();
  }
}
