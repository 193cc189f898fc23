import type { PodTemplateSpec } from 'kubernetes-types/core/v1';
import { isPlatformError, toPlatformError, type PlatformError } from '@hypernetes/foundation/errors';
import {
  apiVersionOf,
  keyOf,
  resources,
  type EventRecorder,
  type KubeClient,
  type KubeObject,
  type Pod,
  type Resource,
} from '../../client/index.ts';
import { controllerReference } from './pod-ownership.ts';
import type { UnseenChanges } from './unseen-changes.ts';

/** Pods made or deleted for one owner in one go, at most. */
const burst = 500;

/** A pod as the template has it, for the owner; `name` instead of a generated one. */
export function podFromTemplate(
  template: PodTemplateSpec,
  ownerResource: Resource,
  owner: KubeObject,
  name?: string,
): Pod {
  return {
    metadata: {
      name: name ?? '',
      ...(name === undefined ? { generateName: `${owner.metadata.name}-` } : {}),
      namespace: owner.metadata.namespace ?? '',
      ...(template.metadata?.labels === undefined ? {} : { labels: { ...template.metadata.labels } }),
      ...(template.metadata?.annotations === undefined
        ? {}
        : { annotations: { ...template.metadata.annotations } }),
      ...(template.metadata?.finalizers === undefined
        ? {}
        : { finalizers: [...template.metadata.finalizers] }),
      ownerReferences: [controllerReference(ownerResource, owner)],
    },
    ...(template.spec === undefined ? {} : { spec: structuredClone(template.spec) }),
  };
}

/** Makes and deletes the pods of owners of one kind, with the events people look for and the bookkeeping that prevents doubles. */
export class PodWriter {
  readonly #client: KubeClient;
  readonly #events: EventRecorder;
  readonly #unseen: UnseenChanges;
  readonly #ownerResource: Resource;

  constructor(options: {
    readonly client: KubeClient;
    readonly events: EventRecorder;
    readonly unseen: UnseenChanges;
    readonly ownerResource: Resource;
  }) {
    this.#client = options.client;
    this.#events = options.events;
    this.#unseen = options.unseen;
    this.#ownerResource = options.ownerResource;
  }

  /** Makes these pods in batches of 1, 2, 4 ...: what the first is refused for (a quota), the others need not be asked. */
  async create(owner: KubeObject, pods: readonly Pod[]): Promise<PlatformError | undefined> {
    const wanted = pods.slice(0, burst);
    let failure: PlatformError | undefined;
    for (let done = 0, size = 1; done < wanted.length && failure === undefined; done += size, size *= 2) {
      await Promise.all(
        wanted.slice(done, done + size).map(async (pod) => {
          failure = (await this.#createOne(owner, pod)) ?? failure;
        }),
      );
    }
    return failure;
  }

  async delete(owner: KubeObject, pods: readonly Pod[]): Promise<PlatformError | undefined> {
    let failure: PlatformError | undefined;
    await Promise.all(
      pods.slice(0, burst).map(async (pod) => {
        failure = (await this.#deleteOne(owner, pod)) ?? failure;
      }),
    );
    return failure;
  }

  #about({ metadata }: KubeObject) {
    return { apiVersion: apiVersionOf(this.#ownerResource), kind: this.#ownerResource.kind, metadata };
  }

  async #createOne(owner: KubeObject, pod: Pod): Promise<PlatformError | undefined> {
    try {
      const made = await this.#client.create(resources.pods, pod);
      this.#unseen.created(keyOf(owner), made.metadata.uid);
      this.#events.event(
        this.#about(owner),
        'Normal',
        'SuccessfulCreate',
        `Created pod: ${made.metadata.name}`,
      );
      return undefined;
    } catch (thrown) {
      const error = toPlatformError(thrown);
      this.#events.event(this.#about(owner), 'Warning', 'FailedCreate', `Error creating: ${error.message}`);
      return error;
    }
  }

  async #deleteOne(owner: KubeObject, pod: Pod): Promise<PlatformError | undefined> {
    try {
      const { uid } = pod.metadata;
      await this.#client.delete(resources.pods, pod.metadata, uid === undefined ? {} : { uid });
      this.#unseen.deleted(keyOf(owner), uid);
      this.#events.event(
        this.#about(owner),
        'Normal',
        'SuccessfulDelete',
        `Deleted pod: ${pod.metadata.name}`,
      );
      return undefined;
    } catch (thrown) {
      if (isPlatformError(thrown, 'NotFound')) return undefined;
      const error = toPlatformError(thrown);
      this.#events.event(this.#about(owner), 'Warning', 'FailedDelete', `Error deleting: ${error.message}`);
      return error;
    }
  }
}
