import type { ApiObject } from '../../api/index.ts';
import type { StoredItem } from '../../store/index.ts';

/** How a kind shows what is stored; the identity for all but kinds that show another kind's objects. */
export type View = (stored: ApiObject) => ApiObject;

/** Parses a stored value; what is not stored (the version) is put in. The result belongs to the caller. */
export function parseStored(item: { readonly value: string; readonly modRevision: number }): ApiObject {
  const object = JSON.parse(item.value) as ApiObject;
  object.metadata.resourceVersion = String(item.modRevision);
  return object;
}

/** The text to store: everything but the version, which is the revision of the write. */
export function formatStored(object: ApiObject): string {
  const { resourceVersion: _version, ...metadata } = object.metadata;
  return JSON.stringify({ ...object, metadata });
}

/**
 * One state of one object, parsed once and encoded once however many readers there are. What it hands out is shared: never change it.
 */
export class CachedObject {
  readonly key: string;
  readonly revision: number;
  #value: string | undefined;
  #object: ApiObject | undefined;
  #json: string | undefined;
  #views: Map<string, CachedObject> | undefined;

  constructor(item: Pick<StoredItem, 'key' | 'value' | 'modRevision'>, object?: ApiObject) {
    this.key = item.key;
    this.revision = item.modRevision;
    this.#value = item.value;
    this.#object = object;
  }

  get object(): ApiObject {
    if (this.#object === undefined) {
      this.#object = parseStored({ value: this.#value ?? '', modRevision: this.revision });
      this.#value = undefined; // the parsed form is enough from here on
    }
    return this.#object;
  }

  get json(): string {
    this.#json ??= JSON.stringify(this.object);
    return this.#json;
  }

  /** The same state as another kind shows it; made once per view. */
  view(name: string, view: View | undefined): CachedObject {
    if (view === undefined) return this;
    this.#views ??= new Map();
    let seen = this.#views.get(name);
    if (seen === undefined) {
      seen = new CachedObject({ key: this.key, value: '', modRevision: this.revision }, view(this.object));
      this.#views.set(name, seen);
    }
    return seen;
  }

  /** The state as it was when a later write deleted it: the same with the revision of the deletion. */
  at(revision: number): CachedObject {
    if (revision === this.revision) return this;
    const object = this.object;
    const metadata = { ...object.metadata, resourceVersion: String(revision) };
    return new CachedObject({ key: this.key, value: '', modRevision: revision }, { ...object, metadata });
  }
}
