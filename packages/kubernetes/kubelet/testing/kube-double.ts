import { randomUUID } from 'node:crypto';
import { EventEmitter, on } from 'node:events';
import { PlatformError } from '@hypernetes/foundation/errors';
import type {
  KubeClient,
  KubeObject,
  ListOptions,
  ObjectKey,
  PatchType,
  Resource,
  WatchEvent,
} from '../../client/index.ts';

type Json = Record<string, unknown>;

/** An API server in memory, for tests of what speaks to one: versions, watches, merge patches, graceful deletion of pods. */
/* eslint-disable @typescript-eslint/no-unnecessary-type-parameters -- the interface has them */
export class KubeDouble implements KubeClient {
  readonly #objects = new Map<string, KubeObject>();
  readonly #changes = new EventEmitter().setMaxListeners(0);
  #version = 1;

  async get<T extends KubeObject>(resource: Resource, key: ObjectKey): Promise<T> {
    return await Promise.resolve(structuredClone(this.#find<T>(resource, key)));
  }

  async list<T extends KubeObject>(resource: Resource, options: ListOptions = {}) {
    const items = this.#select<T>(resource, options).map((item) => structuredClone(item));
    return await Promise.resolve({ items, resourceVersion: String(this.#version) });
  }

  async create<T extends KubeObject>(resource: Resource, object: T, subresource?: string): Promise<T> {
    if (subresource === 'token') {
      const expirationTimestamp = new Date(Date.now() + 3_600_000).toISOString();
      return await Promise.resolve({
        ...object,
        status: { token: `token of ${object.metadata.name}`, expirationTimestamp },
      });
    }
    const key = keyOf(resource, object.metadata);
    if (this.#objects.has(key)) throw new PlatformError('AlreadyExists', `${key} already exists`);
    const made = structuredClone(object);
    made.metadata.uid ??= randomUUID();
    made.metadata.creationTimestamp = new Date().toISOString();
    return await Promise.resolve(this.#store(resource, key, made, 'ADDED'));
  }

  async update<T extends KubeObject>(resource: Resource, object: T): Promise<T> {
    this.#find(resource, object.metadata);
    const key = keyOf(resource, object.metadata);
    return await Promise.resolve(this.#store(resource, key, structuredClone(object), 'MODIFIED'));
  }

  async patch<T extends KubeObject>(
    resource: Resource,
    key: ObjectKey,
    type: PatchType,
    patch: unknown,
  ): Promise<T> {
    if (type !== 'merge') throw new PlatformError('Unimplemented', `patch type ${type}`);
    const current = this.#find<T>(resource, key);
    const wanted = (patch as { metadata?: { uid?: string } }).metadata?.uid;
    if (wanted !== undefined && wanted !== current.metadata.uid) {
      throw new PlatformError('Conflict', 'uid differs');
    }
    const merged = merge(current as unknown as Json, patch as Json) as unknown as T;
    return await Promise.resolve(this.#store(resource, keyOf(resource, key), merged, 'MODIFIED'));
  }

  async delete(
    resource: Resource,
    key: ObjectKey,
    options: { readonly uid?: string; readonly gracePeriodSeconds?: number } = {},
  ): Promise<void> {
    const current = this.#find(resource, key);
    if (options.uid !== undefined && options.uid !== current.metadata.uid) {
      throw new PlatformError('Conflict', 'uid differs');
    }
    const bound = (current as unknown as { spec?: { nodeName?: string } }).spec?.nodeName !== undefined;
    const graceS = options.gracePeriodSeconds ?? 30;
    if (resource.plural === 'pods' && bound && graceS > 0) {
      const marked = structuredClone(current);
      marked.metadata.deletionTimestamp = new Date(Date.now() + graceS * 1_000).toISOString();
      marked.metadata.deletionGracePeriodSeconds = graceS;
      this.#store(resource, keyOf(resource, key), marked, 'MODIFIED');
      return;
    }
    this.#objects.delete(keyOf(resource, key));
    this.#version += 1;
    const gone = structuredClone(current);
    gone.metadata.resourceVersion = String(this.#version);
    this.#changes.emit('change', resource.plural, { type: 'DELETED', object: gone });
    await Promise.resolve();
  }

  async getPath(path: string): Promise<unknown> {
    return await Promise.reject(new PlatformError('NotFound', path));
  }

  async *watch<T extends KubeObject>(
    resource: Resource,
    options: ListOptions & { readonly resourceVersion: string },
    signal: AbortSignal,
  ): AsyncGenerator<WatchEvent<T>> {
    const changes = on(this.#changes, 'change', { signal });
    for (const object of this.#select<T>(resource, options)) {
      if (Number(object.metadata.resourceVersion) > Number(options.resourceVersion)) {
        yield { type: 'MODIFIED', object: structuredClone(object) };
      }
    }
    try {
      for await (const [plural, event] of changes as AsyncIterable<[string, WatchEvent<T>]>) {
        if (plural === resource.plural && matches(event.object, options)) yield structuredClone(event);
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.resolve();
  }

  #find<T extends KubeObject>(resource: Resource, key: ObjectKey): T {
    const found = this.#objects.get(keyOf(resource, key));
    if (found !== undefined) return found as T;
    throw new PlatformError('NotFound', `${resource.plural} "${key.name}" not found`);
  }

  #select<T extends KubeObject>(resource: Resource, options: ListOptions): T[] {
    return [...this.#objects]
      .filter(([key, object]) => key.startsWith(`${resource.plural}|`) && matches(object, options))
      .map(([, object]) => object as T);
  }

  #store<T extends KubeObject>(resource: Resource, key: string, object: T, type: 'ADDED' | 'MODIFIED'): T {
    this.#version += 1;
    object.metadata.resourceVersion = String(this.#version);
    this.#objects.set(key, object);
    this.#changes.emit('change', resource.plural, { type, object: structuredClone(object) });
    return structuredClone(object);
  }
}

function keyOf(resource: Resource, key: ObjectKey): string {
  return `${resource.plural}|${resource.namespaced ? (key.namespace ?? '') : ''}|${key.name}`;
}

function matches(object: KubeObject, options: ListOptions): boolean {
  if (options.namespace !== undefined && object.metadata.namespace !== options.namespace) return false;
  const selector = options.fieldSelector;
  if (selector === undefined) return true;
  const [path = '', wanted] = selector.split('=');
  let value: unknown = object;
  for (const part of path.split('.')) value = (value as Json | undefined)?.[part];
  return value === wanted;
}

/** RFC 7396. */
function merge(target: Json, patch: Json): Json {
  const result: Json = { ...target };
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) Reflect.deleteProperty(result, key);
    else if (typeof value === 'object' && !Array.isArray(value)) {
      result[key] = merge((result[key] ?? {}) as Json, value as Json);
    } else result[key] = structuredClone(value);
  }
  return result;
}
