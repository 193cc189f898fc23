import { PlatformError } from '@hypernetes/foundation/errors';
import { apiVersionOf, findKind, kinds, type Kind } from '../../api/index.ts';
import { columnsOf } from '../columns/index.ts';
import { makeRegistration, type Registration } from './registration.ts';
import { ResourceStorage, type StorageDependencies } from './resource-storage.ts';
import type { Strategy } from './strategy.ts';

/** Everything served, by resource. */
export class Catalogue {
  readonly #byResource = new Map<string, ResourceStorage>();

  constructor(registrations: readonly Registration[], dependencies: StorageDependencies) {
    for (const registration of registrations) {
      const { group, version, plural } = registration.kind;
      this.#byResource.set(`${group}/${version}/${plural}`, new ResourceStorage(registration, dependencies));
    }
  }

  find(group: string, version: string, plural: string): ResourceStorage | undefined {
    return this.#byResource.get(`${group}/${version}/${plural}`);
  }

  /** The storage of a kind this server is known to have. */
  get(group: string, version: string, plural: string): ResourceStorage {
    const storage = this.find(group, version, plural);
    if (storage === undefined) {
      throw new PlatformError('Internal', `no resource ${plural} in ${apiVersionOf({ group, version })}`);
    }
    return storage;
  }

  /** The storage of an object's kind, undefined when it is not served. */
  findByKind(apiVersion: string, kind: string): ResourceStorage | undefined {
    const found = findKind(apiVersion, kind);
    return found === undefined ? undefined : this.find(found.group, found.version, found.plural);
  }

  all(): readonly ResourceStorage[] {
    return [...this.#byResource.values()];
  }
}

/**
 * Served without being announced: clients that meet a kind they do not know read the list of definitions to find out whether somebody
 * defined it. It can only be read so far, so it is empty.
 */
const customResourceDefinition: Kind = {
  group: 'apiextensions.k8s.io',
  version: 'v1',
  kind: 'CustomResourceDefinition',
  plural: 'customresourcedefinitions',
  singular: 'customresourcedefinition',
  shortNames: [],
  categories: [],
  namespaced: false,
  verbs: ['get', 'list', 'watch'],
  subresources: [],
  listKind: 'CustomResourceDefinitionList',
  definition: 'io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition',
};

/** A registration for every kind of the api package; those without a strategy follow the conventions alone. */
export function makeRegistrations(strategies: Readonly<Record<string, Strategy>>): Registration[] {
  return [...kinds, customResourceDefinition].map((kind) => {
    const strategy = strategies[`${kind.group}/${kind.plural}`] ?? {};
    return makeRegistration(kind, strategy, columnsOf(kind));
  });
}

/** Places in the store, each once. */
export function storedResources(
  registrations: readonly Registration[],
): { readonly prefix: string; readonly namespaced: boolean }[] {
  const byPrefix = new Map<string, { prefix: string; namespaced: boolean }>();
  for (const { kind, prefix } of registrations) {
    byPrefix.set(prefix, { prefix, namespaced: kind.namespaced });
  }
  return [...byPrefix.values()];
}
