import { PlatformError } from '@hypernetes/foundation/errors';
import {
  createInformer,
  type Informer,
  type KubeClient,
  type KubeObject,
  type Pod,
  type Resource,
} from '../../client/index.ts';

/** Index functions every informer has; pods have `node`, EndpointSlices `service` besides. */
const commonIndexes = {
  namespace: ({ metadata }: KubeObject) => (metadata.namespace === undefined ? [] : [metadata.namespace]),
  uid: ({ metadata }: KubeObject) => (metadata.uid === undefined ? [] : [metadata.uid]),
  owner: ({ metadata }: KubeObject) => (metadata.ownerReferences ?? []).map(({ uid }) => uid),
  controller: ({ metadata }: KubeObject) =>
    (metadata.ownerReferences ?? []).filter(({ controller }) => controller === true).map(({ uid }) => uid),
};

const ownIndexes: Readonly<
  Record<string, Readonly<Record<string, (object: KubeObject) => readonly string[]>>>
> = {
  pods: {
    node: (object) => {
      const name = (object as Pod).spec?.nodeName;
      return name === undefined || name === '' ? [] : [name];
    },
  },
  endpointslices: {
    service: ({ metadata }) => {
      const service = metadata.labels?.['kubernetes.io/service-name'];
      return service === undefined ? [] : [`${metadata.namespace ?? ''}/${service}`];
    },
  },
};

const resourceKey = ({ group, plural }: Resource): string => `${plural}.${group}`;

/** The informers of all controllers of a process: one per resource, whoever asks. */
export class InformerSet implements AsyncDisposable {
  readonly #client: KubeClient;
  readonly #informers = new Map<string, Informer<KubeObject>>();
  #closed = false;

  constructor(client: KubeClient) {
    this.#client = client;
  }

  /** The informer of whole objects. Handlers are to be added before start(). */
  of<T extends KubeObject>(resource: Resource): Informer<T> {
    return this.#ensure(resource, false) as unknown as Informer<T>;
  }

  /** An informer that knows at least the objects' metadata: the one of whole objects if there is one. */
  metadataOf(resource: Resource): Informer<KubeObject> {
    return this.#ensure(resource, true);
  }

  /** Resolves when every informer asked for so far has its first list. */
  async start(): Promise<void> {
    await Promise.all([...this.#informers.values()].map((informer) => informer.start()));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#informers.values()].map((informer) => informer[Symbol.asyncDispose]()));
  }

  #ensure(resource: Resource, metadataOnly: boolean): Informer<KubeObject> {
    const key = resourceKey(resource);
    const known = this.#informers.get(key);
    if (known !== undefined) return known;
    if (this.#closed) throw new PlatformError('Canceled', 'the controllers are stopping');
    const informer = createInformer<KubeObject>(this.#client, resource, {
      metadataOnly,
      indexes: { ...commonIndexes, ...(metadataOnly ? {} : ownIndexes[resource.plural]) },
    });
    this.#informers.set(key, informer);
    return informer;
  }
}
