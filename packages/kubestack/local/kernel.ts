import { readdir, readFile, rm, statfs, writeFile } from 'node:fs/promises';
import { ipJson } from '@hypernetes/foundation/linux';
import { run } from '@hypernetes/foundation/process';
import { namespacePath } from './names.ts';
import type { ObservedNetwork } from './network-plan.ts';

interface LinkJson {
  readonly ifname?: string;
  readonly addr_info?: readonly {
    readonly family: string;
    readonly local: string;
    readonly prefixlen: number;
  }[];
}

interface RouteJson {
  readonly dst: string;
  readonly dev?: string;
  readonly gateway?: string;
  readonly protocol?: string;
}

/** Runs a script inside a network namespace. */
export async function runInNamespace(namespace: string, script: string): Promise<void> {
  await run('nsenter', [`--net=${namespacePath(namespace)}`, 'sh'], { input: script, timeoutMs: 30_000 });
}

/** NSFS_MAGIC: what statfs(2) says of a namespace that is mounted. */
const nsfsMagic = 0x6e736673;

/** A file that is left from before a reboot is no namespace; it is removed. */
export async function namespaceExists(namespace: string): Promise<boolean> {
  const path = namespacePath(namespace);
  try {
    if ((await statfs(path)).type === nsfsMagic) return true;
    await rm(path, { force: true });
    return false;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw error;
  }
}

/** Interface names to IPv4 addresses in CIDR form, of the host or of a namespace. */
export async function observeLinks(namespace?: string): Promise<ReadonlyMap<string, readonly string[]>> {
  const links = (await ipJson(['address', 'show'], namespace)) as readonly LinkJson[];
  const addresses = new Map<string, readonly string[]>();
  for (const link of links) {
    if (link.ifname === undefined) continue;
    const own = (link.addr_info ?? []).filter((address) => address.family === 'inet');
    addresses.set(
      link.ifname,
      own.map((address) => `${address.local}/${address.prefixlen}`),
    );
  }
  return addresses;
}

/** The host's main routing table. */
export async function observeRoutes(): Promise<readonly RouteJson[]> {
  return (await ipJson(['-4', 'route', 'show', 'table', 'main'])) as readonly RouteJson[];
}

/** Destinations as `ip route` prints them, with the /32 it leaves out. */
export function routeDestination(route: { readonly dst: string }): string {
  return route.dst === 'default' || route.dst.includes('/') ? route.dst : `${route.dst}/32`;
}

/** Everything about one network that decides what has to be done. */
export async function observeNetwork(namespace: string, uplink: string): Promise<ObservedNetwork> {
  const exists = await namespaceExists(namespace);
  const [hostLinks, routes, links] = await Promise.all([
    observeLinks(),
    observeRoutes(),
    exists ? observeLinks(namespace) : new Map<string, readonly string[]>(),
  ]);
  return {
    namespaceExists: exists,
    hostLinks,
    hostRoutes: routes
      .filter((route) => route.dev === uplink && route.protocol !== 'kernel')
      .map(routeDestination),
    links,
  };
}

/** Writes a setting of the host's own network (under /proc/sys/net); one this kernel does not have is left out. */
export async function writeHostSetting(name: string, value: string): Promise<void> {
  try {
    await writeFile(`/proc/sys/net/${name}`, value);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}

/** A setting of the host's own network; undefined: this kernel does not have it. */
export async function readHostSetting(name: string): Promise<string | undefined> {
  return await readFile(`/proc/sys/net/${name}`, 'utf8').then(
    (text) => text.trim(),
    () => undefined,
  );
}

/** Names under /run/netns. */
export async function listNamespaces(): Promise<readonly string[]> {
  try {
    return await readdir('/run/netns');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}
