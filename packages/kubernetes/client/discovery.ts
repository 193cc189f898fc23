import type { KubeClient, Resource } from './kube-client.ts';

/** A resource as the server's discovery describes it. */
export interface DiscoveredResource extends Resource {
  readonly verbs: readonly string[];
}

interface ApiResourceList {
  resources?: { name: string; kind: string; namespaced?: boolean; verbs?: string[] }[];
}

async function listGroupVersion(
  client: KubeClient,
  group: string,
  version: string,
): Promise<DiscoveredResource[]> {
  const path = group === '' ? `/api/${version}` : `/apis/${group}/${version}`;
  const answer = (await client.getPath(path)) as ApiResourceList;
  return (answer.resources ?? [])
    .filter((resource) => !resource.name.includes('/'))
    .map((resource) => ({
      group,
      version,
      plural: resource.name,
      kind: resource.kind,
      namespaced: resource.namespaced === true,
      verbs: resource.verbs ?? [],
    }));
}

/** All resources the server serves, each in its group's preferred version. Subresources are left out. */
export async function discoverResources(client: KubeClient): Promise<DiscoveredResource[]> {
  const groups = (await client.getPath('/apis')) as {
    groups?: { name: string; preferredVersion?: { version: string }; versions?: { version: string }[] }[];
  };
  const versions: [group: string, version: string][] = [['', 'v1']];
  for (const group of groups.groups ?? []) {
    const preferred = group.preferredVersion?.version ?? group.versions?.[0]?.version;
    if (preferred !== undefined) versions.push([group.name, preferred]);
  }
  const found = await Promise.all(
    versions.map(([group, version]) => listGroupVersion(client, group, version)),
  );
  return found.flat();
}
