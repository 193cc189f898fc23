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
  list<T extends KubeObject>(
    resource: Resource,
    options?: ListOptions,
  ): Promise<{ items: T[]; resourceVersion: string; continue?: string }>;
  create<T extends KubeObject>(resource: Resource, object: T, subresource?: string): Promise<T>;
  update<T extends KubeObject>(resource: Resource, object: T, subresource?: 'status' | 'scale'): Promise<T>;
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
  /** `old` undefined: added; `current` undefined: deleted. */
  onChange(
    handler: (change: {
      readonly key: string;
      readonly old: T | undefined;
      readonly current: T | undefined;
    }) => void,
  ): void;
}
