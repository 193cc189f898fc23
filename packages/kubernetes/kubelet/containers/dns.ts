import { DNSConfig } from '@hypernetes/proto/cri';
import type { Pod } from '../kube-types.ts';

/** The resolv.conf the pod's sandbox gets. */
export interface DnsSettings {
  readonly servers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly string[];
}

/** Limits of Kubernetes 1.33 for what a pod may have. */
const serversMax = 3;
const searchesMax = 32;

export function parseResolvConf(text: string): DnsSettings {
  const servers: string[] = [];
  let searches: string[] = [];
  let options: string[] = [];
  for (const line of text.split('\n')) {
    const [word, ...rest] = line
      .replace(/[#;].*$/, '')
      .trim()
      .split(/\s+/);
    if (word === 'nameserver' && rest[0] !== undefined) servers.push(rest[0]);
    else if (word === 'search') searches = rest;
    else if (word === 'options') options = rest;
  }
  return { servers, searches, options };
}

/** DNS of a pod from its dnsPolicy and dnsConfig; `host` is the node's own. */
export function podDns(
  pod: Pod,
  cluster: { readonly servers: readonly string[]; readonly domain: string },
  host: DnsSettings,
): DNSConfig {
  const base = policyDns(pod, cluster, host);
  const own = pod.spec.dnsConfig;
  const servers = unique([...base.servers, ...(own?.nameservers ?? [])]);
  const searches = unique([...base.searches, ...(own?.searches ?? [])]);
  return {
    servers: servers.slice(0, serversMax),
    searches: searches.slice(0, searchesMax),
    options: mergeOptions(base.options, own?.options ?? []),
  };
}

function policyDns(
  pod: Pod,
  cluster: { readonly servers: readonly string[]; readonly domain: string },
  host: DnsSettings,
): DnsSettings {
  const policy = pod.spec.dnsPolicy ?? 'ClusterFirst';
  if (policy === 'None') return { servers: [], searches: [], options: [] };
  // On the host's network ClusterFirst means Default, but no pod of ours is on the host's network.
  if (policy === 'Default') return host;
  const { domain } = cluster;
  return {
    servers: cluster.servers,
    searches: [`${pod.metadata.namespace}.svc.${domain}`, `svc.${domain}`, domain, ...host.searches],
    options: ['ndots:5'],
  };
}

function unique(values: readonly string[]): string[] {
  return [...new Set(values)];
}

/** The pod's own options replace those of the same name. */
function mergeOptions(
  base: readonly string[],
  own: readonly { readonly name?: string; readonly value?: string }[],
): string[] {
  const result = new Map<string, string>();
  for (const option of base) result.set(option.split(':')[0] ?? option, option);
  for (const { name, value } of own) {
    if (name !== undefined) result.set(name, value === undefined || value === '' ? name : `${name}:${value}`);
  }
  return [...result.values()];
}
