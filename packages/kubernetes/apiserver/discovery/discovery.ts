import { apiVersionOf, kinds, type Kind, type Subresource } from '../../api/index.ts';

interface ApiResource {
  readonly name: string;
  readonly singularName: string;
  readonly namespaced: boolean;
  readonly kind: string;
  readonly verbs: readonly string[];
  readonly group?: string;
  readonly version?: string;
  readonly shortNames?: readonly string[];
  readonly categories?: readonly string[];
}

/** Group and version, in the order clients should prefer them. */
interface GroupVersion {
  readonly group: string;
  readonly version: string;
}

function groupVersions(): GroupVersion[] {
  const seen = new Map<string, GroupVersion>();
  for (const { group, version } of kinds) seen.set(`${group}/${version}`, { group, version });
  return [...seen.values()];
}

function groups(): string[] {
  return [...new Set(kinds.map((kind) => kind.group))].filter((group) => group !== '');
}

function kindsOf(group: string, version: string): Kind[] {
  return kinds
    .filter((kind) => kind.group === group && kind.version === version)
    .sort((left, right) => (left.plural < right.plural ? -1 : 1));
}

function resourceOf(kind: Kind): ApiResource {
  return {
    name: kind.plural,
    singularName: kind.singular,
    namespaced: kind.namespaced,
    kind: kind.kind,
    verbs: [...kind.verbs].sort(),
    ...(kind.shortNames.length === 0 ? {} : { shortNames: kind.shortNames }),
    ...(kind.categories.length === 0 ? {} : { categories: kind.categories }),
  };
}

function subresourceOf(kind: Kind, subresource: Subresource): ApiResource {
  const foreign = subresource.group !== kind.group || subresource.version !== kind.version;
  return {
    name: `${kind.plural}/${subresource.name}`,
    singularName: '',
    namespaced: kind.namespaced,
    ...(foreign ? { group: subresource.group, version: subresource.version } : {}),
    kind: subresource.kind,
    verbs: [...subresource.verbs].sort(),
  };
}

/** GET /api/v1 and /apis/<group>/<version>: meta/v1 APIResourceList; undefined when not served. */
export function apiResourceList(group: string, version: string): Record<string, unknown> | undefined {
  const served = kindsOf(group, version);
  if (served.length === 0) return undefined;
  return {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion: apiVersionOf({ group, version }),
    resources: served.flatMap((kind) => [
      resourceOf(kind),
      ...kind.subresources.map((subresource) => subresourceOf(kind, subresource)),
    ]),
  };
}

/** GET /api: meta/v1 APIVersions of the core group. */
export function apiVersions(serverAddress: string): Record<string, unknown> {
  return {
    kind: 'APIVersions',
    versions: groupVersions()
      .filter(({ group }) => group === '')
      .map(({ version }) => version),
    serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress }],
  };
}

/** GET /apis/<group>: meta/v1 APIGroup; undefined when not served. */
export function apiGroup(group: string): Record<string, unknown> | undefined {
  const versions = groupVersions()
    .filter((each) => each.group === group)
    .map((each) => ({ groupVersion: apiVersionOf(each), version: each.version }));
  if (group === '' || versions.length === 0) return undefined;
  return { kind: 'APIGroup', apiVersion: 'v1', name: group, versions, preferredVersion: versions[0] };
}

/** GET /apis: meta/v1 APIGroupList. */
export function apiGroupList(): Record<string, unknown> {
  const list = groups().map((group) => {
    const { kind: _kind, apiVersion: _apiVersion, ...rest } = apiGroup(group) ?? {};
    return rest;
  });
  return { kind: 'APIGroupList', apiVersion: 'v1', groups: list };
}

function discoveredResource(kind: Kind): Record<string, unknown> {
  return {
    resource: kind.plural,
    responseKind: { group: kind.group, version: kind.version, kind: kind.kind },
    scope: kind.namespaced ? 'Namespaced' : 'Cluster',
    singularResource: kind.singular,
    verbs: [...kind.verbs].sort(),
    ...(kind.shortNames.length === 0 ? {} : { shortNames: kind.shortNames }),
    ...(kind.categories.length === 0 ? {} : { categories: kind.categories }),
    ...(kind.subresources.length === 0
      ? {}
      : {
          subresources: kind.subresources.map((subresource) => ({
            subresource: subresource.name,
            responseKind: {
              group: subresource.group,
              version: subresource.version,
              kind: subresource.kind,
            },
            verbs: [...subresource.verbs].sort(),
          })),
        }),
  };
}

/** GET /api and /apis in the aggregated form: apidiscovery.k8s.io APIGroupDiscoveryList. */
export function aggregatedDiscovery(
  root: 'api' | 'apis',
  version: 'v2' | 'v2beta1',
): Record<string, unknown> {
  const wanted = root === 'api' ? [''] : groups();
  return {
    kind: 'APIGroupDiscoveryList',
    apiVersion: `apidiscovery.k8s.io/${version}`,
    metadata: {},
    items: wanted.map((group) => ({
      metadata: { ...(group === '' ? {} : { name: group }), creationTimestamp: null },
      versions: groupVersions()
        .filter((each) => each.group === group)
        .map((each) => ({
          version: each.version,
          resources: kindsOf(group, each.version).map(discoveredResource),
          freshness: 'Current',
        })),
    })),
  };
}
