export type Verb = 'create' | 'delete' | 'deletecollection' | 'get' | 'list' | 'patch' | 'update' | 'watch';

/** One kind the API serves. */
export interface Kind {
  /** '' is the core group. */
  readonly group: string;
  readonly version: string;
  readonly kind: string;
  readonly plural: string;
  readonly singular: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  readonly verbs: readonly Verb[];
  readonly subresources: readonly Subresource[];
  readonly listKind: string;
  /** Name of its schema: 'io.k8s.api.core.v1.Pod'. */
  readonly definition: string;
  /** Kind whose stored objects it shows in its own form (events.k8s.io Event shows core Event). */
  readonly storedAs?: { readonly group: string; readonly version: string; readonly plural: string };
}

export interface Subresource {
  /** 'status', 'scale', 'log' ... */
  readonly name: string;
  /** Kind of the body: 'Pod' for status, 'Scale' for scale, 'PodExecOptions' for exec. */
  readonly kind: string;
  readonly group: string;
  readonly version: string;
  readonly verbs: readonly Verb[];
  readonly definition: string;
}
