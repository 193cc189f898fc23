import { isPlatformError, toPlatformError } from '@hypernetes/foundation/errors';
import { createLogger } from '@hypernetes/foundation/logging';
import {
  apiVersionOf,
  discoverResources,
  keyOf,
  parseKey,
  type DiscoveredResource,
  type Informer,
  type KubeObject,
  type ObjectKey,
  type OwnerReference,
  type Resource,
} from '../../client/index.ts';
import { createQueue, type Controller, type ControllerContext } from '../machinery/controller.ts';
import { removeFinalizer } from '../machinery/finalizers.ts';
import { writeOwners } from '../machinery/pod-ownership.ts';
import {
  blocksOwner,
  foregroundFinalizer,
  orphanFinalizer,
  planGarbage,
  waitsFor,
  type OwnerState,
} from './garbage-plan.ts';

const log = createLogger('kubernetes:garbage-collector');
const rediscoverMs = 30_000;
/** Never owned and written all the time. */
const ignored = new Set(['events.', 'events.events.k8s.io']);

interface Followed {
  readonly resource: DiscoveredResource;
  readonly informer: Informer<KubeObject>;
}

interface Found {
  readonly resource: DiscoveredResource;
  readonly object: KubeObject;
}

/** Deletes what has lost its owners, and holds owners back or lets dependents go as the propagation policy of a deletion says. */
export async function startGarbageCollector(context: ControllerContext): Promise<Controller> {
  const collector = new GarbageCollector(context);
  await collector.discover().catch((error: unknown) => {
    log.warn({ message: toPlatformError(error).message }, 'discovery failed, trying again later');
  });
  return collector;
}

class GarbageCollector implements AsyncDisposable {
  readonly #context: ControllerContext;
  readonly #followed = new Map<string, Followed>();
  readonly #queue: ReturnType<typeof createQueue>;
  readonly #timer: NodeJS.Timeout;

  constructor(context: ControllerContext) {
    this.#context = context;
    this.#queue = createQueue(context, 'garbage-collector', (key) => this.#reconcile(key), {
      concurrency: 8,
      maxDelayMs: 10_000,
    });
    this.#timer = setInterval(() => {
      this.discover().catch((error: unknown) => {
        log.warn({ message: toPlatformError(error).message }, 'discovery failed, trying again later');
      });
    }, rediscoverMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.#queue[Symbol.asyncDispose]();
  }

  /** Follows every kind that can be listed, watched and deleted; new ones (definitions made later) too. */
  async discover(): Promise<void> {
    const starting: Promise<void>[] = [];
    for (const resource of await discoverResources(this.#context.client)) {
      const id = `${resource.plural}.${resource.group}`;
      const usable = ['list', 'watch', 'delete', 'patch'].every((verb) => resource.verbs.includes(verb));
      if (!usable || ignored.has(id) || this.#followed.has(id)) continue;
      const informer = this.#context.informers.metadataOf(resource);
      this.#followed.set(id, { resource, informer });
      informer.onChange((change) => this.#onChange(id, change));
      starting.push(informer.start());
    }
    // Owners that are not in yet look absent; each is asked for at the server before anything is deleted.
    void Promise.allSettled(starting);
  }

  #onChange(
    id: string,
    { key, old, current }: { key: string; old: KubeObject | undefined; current: KubeObject | undefined },
  ): void {
    if (current === undefined) {
      this.#wakeDependents(old?.metadata.uid);
      // Owners that wait for their dependents look again.
      for (const { uid } of old?.metadata.ownerReferences ?? []) this.#wakeWaiting(uid);
      return;
    }
    const owned = (current.metadata.ownerReferences ?? []).length > 0;
    if (owned || current.metadata.deletionTimestamp !== undefined) this.#queue.add(`${id}|${key}`);
    if (waitsFor(current, foregroundFinalizer)) this.#wakeDependents(current.metadata.uid);
    if (
      old !== undefined &&
      old.metadata.ownerReferences?.length !== current.metadata.ownerReferences?.length
    ) {
      for (const { uid } of old.metadata.ownerReferences ?? []) this.#wakeWaiting(uid);
    }
  }

  #wakeDependents(uid: string | undefined): void {
    if (uid === undefined) return;
    for (const { resource, object } of this.#dependentsOf(uid)) this.#queue.add(queueKey(resource, object));
  }

  #wakeWaiting(uid: string): void {
    for (const { resource, informer } of this.#followed.values()) {
      for (const owner of informer.byIndex('uid', uid)) {
        if (owner.metadata.deletionTimestamp !== undefined) this.#queue.add(queueKey(resource, owner));
      }
    }
  }

  #dependentsOf(uid: string): Found[] {
    const found: Found[] = [];
    for (const { resource, informer } of this.#followed.values()) {
      for (const object of informer.byIndex('owner', uid)) found.push({ resource, object });
    }
    return found;
  }

  async #reconcile(key: string): Promise<undefined> {
    const bar = key.indexOf('|');
    const followed = this.#followed.get(key.slice(0, bar));
    const known = followed?.informer.get(key.slice(bar + 1));
    if (followed === undefined || known === undefined) return undefined;
    const { resource } = followed;
    if (waitsFor(known, orphanFinalizer)) await this.#orphan(resource, known);
    else if (waitsFor(known, foregroundFinalizer)) await this.#clearForeground(resource, known);
    else if ((known.metadata.ownerReferences ?? []).length > 0) {
      await this.#collect(resource, parseKey(key.slice(bar + 1)), known);
    }
    return undefined;
  }

  async #collect(resource: Resource, key: ObjectKey, known: KubeObject): Promise<void> {
    const { client } = this.#context;
    const states = new Map<string, OwnerState>();
    for (const owner of known.metadata.ownerReferences ?? []) {
      states.set(owner.uid, await this.#ownerState(owner, known.metadata.namespace));
    }
    if ([...states.values()].every((state) => state === 'present')) return;
    // Our copy may be old: decide on the object as it is.
    const live = await this.#find(resource, key);
    if (live === undefined || live.metadata.uid !== known.metadata.uid) return;
    for (const owner of live.metadata.ownerReferences ?? []) {
      if (!states.has(owner.uid))
        states.set(owner.uid, await this.#ownerState(owner, known.metadata.namespace));
    }
    const hasDependents = this.#dependentsOf(live.metadata.uid ?? '').length > 0;
    const action = planGarbage(live, ({ uid }) => states.get(uid) ?? 'present', hasDependents);
    if (action.kind === 'drop-owners') {
      await writeOwners(client, resource, live, action.owners);
    } else if (action.kind === 'delete') {
      log.debug({ resource: resource.plural, object: keyOf(live) }, 'deleting what has lost its owners');
      await client
        .delete(resource, key, {
          propagationPolicy: action.propagationPolicy,
          ...(live.metadata.uid === undefined ? {} : { uid: live.metadata.uid }),
        })
        .catch(ignoreGone);
    }
  }

  async #ownerState(owner: OwnerReference, namespace: string | undefined): Promise<OwnerState> {
    const followed = [...this.#followed.values()].find(
      ({ resource }) => resource.kind === owner.kind && apiVersionOf(resource) === owner.apiVersion,
    );
    // A kind nobody serves (its definition is not there, or not yet): better keep the object.
    if (followed === undefined) return 'present';
    const { resource, informer } = followed;
    const stateOf = (object: KubeObject): OwnerState =>
      waitsFor(object, foregroundFinalizer) ? 'awaits-dependents' : 'present';
    const [known] = informer.byIndex('uid', owner.uid);
    if (known !== undefined) return stateOf(known);
    const place = resource.namespaced && namespace !== undefined ? { namespace } : {};
    const live = await this.#find(resource, { ...place, name: owner.name });
    return live?.metadata.uid === owner.uid ? stateOf(live) : 'absent';
  }

  /** Foreground: dependents first, then the owner. */
  async #clearForeground(resource: DiscoveredResource, owner: KubeObject): Promise<void> {
    const uid = owner.metadata.uid ?? '';
    const dependents = this.#dependentsOf(uid);
    for (const { resource: kind, object } of dependents) {
      if (object.metadata.deletionTimestamp === undefined) this.#queue.add(queueKey(kind, object));
    }
    if (dependents.some(({ object }) => blocksOwner(object, uid))) return;
    await removeFinalizer(this.#context.client, resource, owner, foregroundFinalizer).catch(ignoreGone);
  }

  /** Orphan: dependents forget the owner, then it goes. */
  async #orphan(resource: DiscoveredResource, owner: KubeObject): Promise<void> {
    const uid = owner.metadata.uid ?? '';
    for (const { resource: kind, object } of this.#dependentsOf(uid)) {
      const others = (object.metadata.ownerReferences ?? []).filter((reference) => reference.uid !== uid);
      await writeOwners(this.#context.client, kind, object, others);
    }
    await removeFinalizer(this.#context.client, resource, owner, orphanFinalizer).catch(ignoreGone);
  }

  async #find(resource: Resource, key: ObjectKey): Promise<KubeObject | undefined> {
    try {
      return await this.#context.client.get<KubeObject>(resource, key);
    } catch (error) {
      if (isPlatformError(error, 'NotFound')) return undefined;
      throw error;
    }
  }
}

function queueKey({ plural, group }: Resource, object: KubeObject): string {
  return `${plural}.${group}|${keyOf(object)}`;
}

function ignoreGone(error: unknown): void {
  if (!isPlatformError(error, 'NotFound')) throw error;
}
