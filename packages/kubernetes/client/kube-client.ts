/** What every Kubernetes object has; everything else is read through types of `kubernetes-types` at the place of use. */
export interface KubeObject {
  apiVersion?: string;
  kind?: string;
  metadata: ObjectMeta;
}

export interface ObjectMeta {
  name: string;
  namespace?: string;
  uid?: string;
  generateName?: string;
  resourceVersion?: string;
  generation?: number;
  creationTimestamp?: string;
  deletionTimestamp?: string;
  deletionGracePeriodSeconds?: number;
  labels?: Record<string, string>;
  annotations?: Record<string, string>;
  finalizers?: string[];
  ownerReferences?: OwnerReference[];
}

export interface OwnerReference {
  apiVersion: string;
  kind: string;
  name: string;
  uid: string;
  controller?: boolean;
  blockOwnerDeletion?: boolean;
}

/** A resource of the API: { group: 'apps', version: 'v1', plural: 'deployments', namespaced: true }; the core group is ''. */
export interface Resource {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly namespaced: boolean;
}

export interface ObjectKey {
  readonly namespace?: string;
  readonly name: string;
}

export type PatchType = 'json' | 'merge' | 'strategic';

export interface ListOptions {
  readonly namespace?: string;
  readonly labelSelector?: string;
  readonly fieldSelector?: string;
  readonly resourceVersion?: string;
  readonly limit?: number;
  readonly continue?: string;
  /** Ask for apiVersion, kind and metadata only; a server that cannot answers whole objects. */
  readonly metadataOnly?: boolean;
}

export type WatchEvent<T> =
  | { readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'; readonly object: T }
  | { readonly type: 'BOOKMARK'; readonly object: T };

/**
 * The Kubernetes API as controllers, scheduler and kubelet use it. Errors are PlatformErrors made from the Status object: NotFound,
 * AlreadyExists, Conflict, Invalid, Forbidden, Expired (410), Unavailable (no connection) ...; details.status holds the Status.
 */
export interface KubeClient extends AsyncDisposable {
  get<T extends KubeObject>(resource: Resource, key: ObjectKey): Promise<T>;
  // eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- the caller says the kind
  list<T extends KubeObject>(
    resource: Resource,
    options?: ListOptions,
  ): Promise<{ items: T[]; resourceVersion: string; continue?: string }>;
  create<T extends KubeObject>(resource: Resource, object: T, subresource?: string): Promise<T>;
  update<T extends KubeObject>(
    resource: Resource,
    object: T,
    subresource?: 'status' | 'scale' | 'finalize',
  ): Promise<T>;
  patch<T extends KubeObject>(
    resource: Resource,
    key: ObjectKey,
    type: PatchType,
    patch: unknown,
    subresource?: 'status',
  ): Promise<T>;
  /** Not there: NotFound. */
  delete(
    resource: Resource,
    key: ObjectKey,
    options?: {
      readonly uid?: string;
      readonly gracePeriodSeconds?: number;
      readonly propagationPolicy?: string;
    },
  ): Promise<void>;
  /** A path of the server that is not an object of a known kind: discovery, /healthz, /version. Text that is not JSON comes as a string. */
  getPath(path: string): Promise<unknown>;
  /** One watch connection; ends when the server ends it, throws Expired when the version is too old. */
  watch<T extends KubeObject>(
    resource: Resource,
    options: ListOptions & { readonly resourceVersion: string },
    signal: AbortSignal,
  ): AsyncIterable<WatchEvent<T>>;
}

/** A local copy of a list kept current by list and watch (re-listing on Expired, reconnecting with backoff). */
export interface Informer<T extends KubeObject> extends AsyncDisposable {
  /** Resolves when the first list is in. Handlers were called with it by then. */
  start(): Promise<void>;
  get(key: string): T | undefined; // 'namespace/name', or 'name' for cluster-scoped kinds
  list(): T[];
  /** Objects for which the index function of that name answered the value. An index that was not declared: Invalid. */
  byIndex(index: string, value: string): T[];
  /** The first list is in. */
  readonly synced: boolean;
  /** `old` undefined: added; `current` undefined: deleted. What is known already is told to a late handler at once. */
  onChange(
    handler: (change: {
      readonly key: string;
      readonly old: T | undefined;
      readonly current: T | undefined;
    }) => void,
  ): void;
}

/** 'namespace/name', or 'name' for an object without a namespace. */
export function keyOf(object: {
  readonly metadata: { readonly name: string; readonly namespace?: string };
}): string {
  const { namespace, name } = object.metadata;
  return namespace === undefined || namespace === '' ? name : `${namespace}/${name}`;
}

/** The reverse of keyOf. */
export function parseKey(key: string): ObjectKey {
  const slash = key.indexOf('/');
  return slash < 0 ? { name: key } : { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}
