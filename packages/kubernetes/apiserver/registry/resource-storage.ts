import { isPlatformError } from '@hypernetes/foundation/errors';
import { KeyedMutex, type Clock } from '@hypernetes/foundation/lifecycle';
import {
  badRequest,
  defaultObject,
  invalid,
  validateObject,
  type ApiObject,
  type FieldError,
} from '../../api/index.ts';
import type { Store } from '../../store/index.ts';
import type { AdmissionChain, AdmissionRequest } from '../admission/admission.ts';
import type { UserInfo } from '../authentication/user.ts';
import { CachedObject, formatStored, parseStored } from '../cache/cached-object.ts';
import type { ResourceCache } from '../cache/resource-cache.ts';
import type { StoreDispatcher } from '../cache/store-dispatcher.ts';
import { alreadyExists, notFound, preconditionFailed, staleVersion } from '../http/status-error.ts';
import { formatTime, isFinished, planDeletion, type DeleteOptions } from './deletion.ts';
import {
  generateName,
  isSameDesire,
  isSameState,
  keepSystemMetadata,
  stampNewObject,
} from './object-metadata.ts';
import type { Registration } from './registration.ts';

/** Who writes, and how. */
export interface WriteContext {
  readonly user: UserInfo;
  readonly dryRun: boolean;
  readonly warnings: string[];
  /** '' for the main resource; 'status' and others write their part of the object. */
  readonly subresource: string;
}

export interface ObjectPlace {
  /** Empty for kinds without namespaces. */
  readonly namespace: string;
  readonly name: string;
}

export interface Preconditions {
  readonly uid?: string;
  readonly resourceVersion?: string;
}

export interface StorageDependencies {
  readonly store: Store;
  readonly dispatcher: StoreDispatcher;
  readonly admission: AdmissionChain;
  readonly clock: Clock;
}

/** Makes the new state out of the stored one; called again when another write came in between. */
export type Transform = (old: ApiObject) => ApiObject | Promise<ApiObject>;

// Writers that meet again and again give way after this many rounds (as the real server's patches do).
const maxWriteAttempts = 16;
const maxNameAttempts = 8;

/** Objects of one kind: every write goes through defaulting, admission, strategy and validation into the store. */
export class ResourceStorage {
  readonly registration: Registration;
  readonly cache: ResourceCache;
  readonly #dependencies: StorageDependencies;
  readonly #mutex = new KeyedMutex();

  constructor(registration: Registration, dependencies: StorageDependencies) {
    this.registration = registration;
    this.cache = dependencies.dispatcher.cache(registration.prefix);
    this.#dependencies = dependencies;
  }

  /** The object as it is now; its own copy. NotFound. */
  async get(place: ObjectPlace): Promise<ApiObject> {
    const item = await this.#dependencies.store.get(this.#keyOf(place));
    if (item === undefined) throw notFound(this.registration.kind, place.name);
    return this.#fromStored(parseStored(item));
  }

  async find(place: ObjectPlace): Promise<ApiObject | undefined> {
    const item = await this.#dependencies.store.get(this.#keyOf(place));
    return item === undefined ? undefined : this.#fromStored(parseStored(item));
  }

  /** All objects as they are now, shared: not to be changed. */
  async listNow(scope: { readonly namespace?: string } = {}): Promise<CachedObject[]> {
    await this.#dependencies.dispatcher.catchUp();
    await this.cache.load();
    return this.cache.list(scope).map((item) => this.view(item));
  }

  /** A cached state in the form of this kind. */
  view(item: CachedObject): CachedObject {
    const { kind, strategy } = this.registration;
    return item.view(kind.definition, strategy.stored?.fromStored);
  }

  async create(namespace: string, object: ApiObject, context: WriteContext): Promise<ApiObject> {
    return await this.#exclusively(async () => await this.#create(namespace, object, context));
  }

  /** Writes what `transform` makes of the stored object. Without a version in the result, the newest state is transformed. */
  async update(place: ObjectPlace, transform: Transform, context: WriteContext): Promise<ApiObject> {
    return await this.#exclusively(async () => await this.#update(place, transform, context));
  }

  /** The state that was marked, or the last one with `removed`. */
  async delete(
    place: ObjectPlace,
    options: DeleteOptions & { readonly preconditions?: Preconditions },
    context: WriteContext,
  ): Promise<{ readonly object: ApiObject; readonly removed: boolean }> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#deleteOnce(place, options, context);
      } catch (error) {
        const pinned = options.preconditions?.resourceVersion !== undefined;
        if (!isPlatformError(error, 'Conflict') || pinned || attempt >= maxWriteAttempts) throw error;
        if (error.details['status'] !== undefined) throw error; // a precondition, not a race
      }
    }
  }

  async #exclusively<T>(work: () => Promise<T>): Promise<T> {
    return this.registration.strategy.exclusiveWrites === true
      ? await this.#mutex.run('writes', work)
      : await work();
  }

  async #create(namespace: string, object: ApiObject, context: WriteContext): Promise<ApiObject> {
    const { kind } = this.registration;
    const prefix = object.metadata.generateName ?? '';
    const generated = (object.metadata.name ?? '') === '' && prefix !== '';
    if (object.metadata.resourceVersion !== undefined && object.metadata.resourceVersion !== '') {
      throw badRequest('resourceVersion should not be set on objects to be created');
    }
    for (let attempt = 0; ; attempt++) {
      const candidate = structuredClone(object);
      if (generated) candidate.metadata.name = generateName(prefix);
      const ready = await this.#prepareNew(namespace, candidate, context);
      const name = ready.metadata.name ?? '';
      try {
        return await this.#insert({ namespace, name }, ready, context);
      } catch (error) {
        if (!isPlatformError(error, 'AlreadyExists')) throw error;
        if (!generated || attempt >= maxNameAttempts) throw alreadyExists(kind, name);
      }
    }
  }

  async #insert(place: ObjectPlace, object: ApiObject, context: WriteContext): Promise<ApiObject> {
    const key = this.#keyOf(place);
    if (context.dryRun) {
      if ((await this.#dependencies.store.get(key)) !== undefined) {
        throw alreadyExists(this.registration.kind, place.name);
      }
      return object;
    }
    const item = await this.#dependencies.store.create(key, formatStored(this.#toStored(object)));
    object.metadata.resourceVersion = String(item.modRevision);
    return object;
  }

  async #prepareNew(namespace: string, object: ApiObject, context: WriteContext): Promise<ApiObject> {
    const { kind, strategy } = this.registration;
    const now = formatTime(this.#dependencies.clock.now());
    if (kind.namespaced) object.metadata.namespace = namespace;
    else delete object.metadata.namespace;
    stampNewObject(object, now);
    if (hasStatus(this.registration) && strategy.keepStatusOnCreate !== true) delete object['status'];
    if (strategy.countsGenerations === true) object.metadata.generation = 1;
    const ready = defaultObject(kind, object);
    const request = this.#admissionRequest('create', ready, undefined, context);
    await this.#dependencies.admission.mutate(request);
    await strategy.prepareForCreate?.(ready, { user: context.user, now });
    this.#check(ready, [
      ...requiredName(ready),
      ...validateObject(kind, ready),
      ...((await strategy.validate?.(ready, undefined)) ?? []),
    ]);
    await this.#dependencies.admission.validate(request);
    return ready;
  }

  async #update(place: ObjectPlace, transform: Transform, context: WriteContext): Promise<ApiObject> {
    const { kind, strategy } = this.registration;
    for (let attempt = 0; ; attempt++) {
      const item = await this.#dependencies.store.get(this.#keyOf(place));
      if (item === undefined) throw notFound(kind, place.name);
      const old = this.#fromStored(parseStored(item));
      const wanted = await transform(structuredClone(old));
      const pinned = wanted.metadata.resourceVersion ?? '';
      if (pinned === '' && strategy.versionRequiredOnUpdate === true) throw this.#versionMissing(place.name);
      if (pinned !== '' && pinned !== old.metadata.resourceVersion) throw staleVersion(kind, place.name);
      const ready = await this.#prepareChanged(wanted, old, context);
      if (isSameState(ready, old)) return old;
      try {
        return await this.#replace(place, ready, item.modRevision, context);
      } catch (error) {
        if (isPlatformError(error, 'NotFound')) throw notFound(kind, place.name);
        // The newer state is transformed again; a transform that names a version of its own fails above then.
        if (!isPlatformError(error, 'Conflict')) throw error;
        if (attempt >= maxWriteAttempts) throw staleVersion(kind, place.name);
      }
    }
  }

  async #replace(
    place: ObjectPlace,
    object: ApiObject,
    modRevision: number,
    context: WriteContext,
  ): Promise<ApiObject> {
    if (context.dryRun) return object;
    const key = this.#keyOf(place);
    if (isFinished(object, this.registration.strategy)) {
      const { revision } = await this.#dependencies.store.delete(key, modRevision);
      object.metadata.resourceVersion = String(revision);
      return object;
    }
    const item = await this.#dependencies.store.update(
      key,
      formatStored(this.#toStored(object)),
      modRevision,
    );
    object.metadata.resourceVersion = String(item.modRevision);
    return object;
  }

  async #prepareChanged(object: ApiObject, old: ApiObject, context: WriteContext): Promise<ApiObject> {
    const { kind, strategy } = this.registration;
    this.#checkIdentity(object, old);
    keepSystemMetadata(object, old);
    const merged = this.#mergeParts(object, old, context.subresource);
    const ready = defaultObject(kind, merged);
    const request = this.#admissionRequest('update', ready, old, context);
    await this.#dependencies.admission.mutate(request);
    if (context.subresource === '') {
      const now = formatTime(this.#dependencies.clock.now());
      await strategy.prepareForUpdate?.(ready, old, { user: context.user, now });
    }
    if (strategy.countsGenerations === true && !isSameDesire(ready, old)) {
      ready.metadata.generation = (old.metadata.generation ?? 0) + 1;
    }
    const subresource = context.subresource === '' ? {} : { subresource: context.subresource };
    this.#check(ready, [
      ...newFinalizers(ready, old),
      ...validateObject(kind, ready, { old, ...subresource }),
      ...(context.subresource === '' ? ((await strategy.validate?.(ready, old)) ?? []) : []),
    ]);
    await this.#dependencies.admission.validate(request);
    return ready;
  }

  // A write to the main resource leaves the status alone, one to the status everything else.
  #mergeParts(object: ApiObject, old: ApiObject, subresource: string): ApiObject {
    if (subresource === 'status') {
      const throughStatus = this.registration.strategy.metadataThroughStatus === true;
      const metadata = throughStatus
        ? mergeMetadata(old.metadata, object.metadata)
        : { ...old.metadata, ...versionOf(object) };
      return { ...structuredClone(old), metadata, ...partOf(object, 'status') };
    }
    if (subresource !== '' || !hasStatus(this.registration)) return object;
    const { status: _status, ...rest } = object as ApiObject & { status?: unknown };
    return { ...rest, ...partOf(structuredClone(old), 'status') };
  }

  async #deleteOnce(
    place: ObjectPlace,
    options: DeleteOptions & { readonly preconditions?: Preconditions },
    context: WriteContext,
  ): Promise<{ object: ApiObject; removed: boolean }> {
    const { kind, strategy } = this.registration;
    const item = await this.#dependencies.store.get(this.#keyOf(place));
    if (item === undefined) throw notFound(kind, place.name);
    const old = this.#fromStored(parseStored(item));
    this.#checkPreconditions(old, options.preconditions ?? {});
    const request = this.#admissionRequest('delete', undefined, old, context);
    await this.#dependencies.admission.validate(request);
    const plan = planDeletion(old, options, strategy, this.#dependencies.clock.now());
    if (plan.action === 'wait') return { object: old, removed: false };
    if (plan.action === 'mark') {
      const object = await this.#replace(place, plan.object, item.modRevision, context);
      return { object, removed: false };
    }
    if (!context.dryRun) {
      const { revision } = await this.#dependencies.store.delete(this.#keyOf(place), item.modRevision);
      old.metadata.resourceVersion = String(revision);
    }
    return { object: old, removed: true };
  }

  #versionMissing(name: string): Error {
    return invalid(this.registration.kind, name, [
      {
        reason: 'FieldValueInvalid',
        field: 'metadata.resourceVersion',
        message: 'Invalid value: 0x0: must be specified for an update',
      },
    ]);
  }

  #checkIdentity(object: ApiObject, old: ApiObject): void {
    const { kind } = this.registration;
    const name = old.metadata.name ?? '';
    if (object.metadata.uid !== undefined && object.metadata.uid !== old.metadata.uid) {
      throw preconditionFailed(
        kind,
        name,
        `UID in precondition: ${object.metadata.uid}, UID in object meta: ${old.metadata.uid ?? ''}`,
      );
    }
  }

  #checkPreconditions(old: ApiObject, { uid, resourceVersion }: Preconditions): void {
    const { kind } = this.registration;
    const name = old.metadata.name ?? '';
    if (uid !== undefined && uid !== old.metadata.uid) {
      throw preconditionFailed(
        kind,
        name,
        `UID in precondition: ${uid}, UID in object meta: ${old.metadata.uid ?? ''}`,
      );
    }
    if (resourceVersion !== undefined && resourceVersion !== old.metadata.resourceVersion) {
      throw preconditionFailed(
        kind,
        name,
        `ResourceVersion in precondition: ${resourceVersion}, ResourceVersion in object meta: ${old.metadata.resourceVersion ?? ''}`,
      );
    }
  }

  #admissionRequest(
    operation: AdmissionRequest['operation'],
    object: ApiObject | undefined,
    old: ApiObject | undefined,
    context: WriteContext,
  ): AdmissionRequest {
    const metadata = (object ?? old)?.metadata ?? {};
    return {
      operation,
      kind: this.registration.kind,
      subresource: context.subresource,
      namespace: metadata.namespace ?? '',
      name: metadata.name ?? '',
      ...(object === undefined ? {} : { object }),
      ...(old === undefined ? {} : { old }),
      user: context.user,
      dryRun: context.dryRun,
      warnings: context.warnings,
    };
  }

  #check(object: ApiObject, errors: readonly FieldError[]): void {
    if (errors.length > 0) throw invalid(this.registration.kind, object.metadata.name ?? '', errors);
  }

  #keyOf(place: ObjectPlace): string {
    return this.cache.keyOf(place.namespace, place.name);
  }

  #toStored(object: ApiObject): ApiObject {
    return this.registration.strategy.stored?.toStored(object) ?? object;
  }

  #fromStored(object: ApiObject): ApiObject {
    return this.registration.strategy.stored?.fromStored(object) ?? object;
  }
}

function hasStatus(registration: Registration): boolean {
  return registration.kind.subresources.some((subresource) => subresource.name === 'status');
}

function partOf(object: ApiObject, field: string): Record<string, unknown> {
  return object[field] === undefined ? {} : { [field]: object[field] };
}

function versionOf(object: ApiObject): { resourceVersion?: string } {
  const version = object.metadata.resourceVersion;
  return version === undefined ? {} : { resourceVersion: version };
}

function mergeMetadata(old: ApiObject['metadata'], wanted: ApiObject['metadata']): ApiObject['metadata'] {
  const { labels: _labels, annotations: _annotations, ...rest } = old;
  return {
    ...rest,
    ...(wanted.labels === undefined ? {} : { labels: wanted.labels }),
    ...(wanted.annotations === undefined ? {} : { annotations: wanted.annotations }),
    ...(wanted.resourceVersion === undefined ? {} : { resourceVersion: wanted.resourceVersion }),
  };
}

function requiredName(object: ApiObject): FieldError[] {
  if ((object.metadata.name ?? '') !== '') return [];
  return [
    {
      reason: 'FieldValueRequired',
      field: 'metadata.name',
      message: 'Required value: name or generateName is required',
    },
  ];
}

// Nobody may prolong the life of what is going: finalizers can only be taken off.
function newFinalizers(object: ApiObject, old: ApiObject): FieldError[] {
  if (old.metadata.deletionTimestamp === undefined) return [];
  const before = old.metadata.finalizers ?? [];
  const added = (object.metadata.finalizers ?? []).filter((finalizer) => !before.includes(finalizer));
  if (added.length === 0) return [];
  return [
    {
      reason: 'FieldValueForbidden',
      field: 'metadata.finalizers',
      message: `Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers ${JSON.stringify(added)}`,
    },
  ];
}
