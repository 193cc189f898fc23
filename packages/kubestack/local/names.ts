import { createHash } from 'node:crypto';
import { PlatformError } from '@hypernetes/foundation/errors';
import { defaultNetworkUid } from '../provider-api/index.ts';

/** First 8 hex digits of the SHA-256 of a key: what fits into the names of kernel objects. */
export function shortName(key: string): string {
  return createHash('sha256').update(key).digest('hex').slice(0, 8);
}

/** Names of the kernel objects of one installation (docs/architecture.md "Places"). */
export interface InstanceNames {
  readonly prefix: string;
  readonly hostTable: string;
  namespaceOf(networkUid: string): string;
  uplinkOf(networkUid: string): string;
  /** True for namespaces of networks of this instance, and of no other. */
  isNamespace(name: string): boolean;
  isUplink(name: string): boolean;
}

/** Interface names have at most 15 characters: 6 are left for the prefix. */
export function instanceNames(prefix: string): InstanceNames {
  if (!/^[a-z][a-z0-9]{0,5}$/.test(prefix)) {
    throw new PlatformError(
      'Invalid',
      `instance prefix "${prefix}": must be 1 to 6 lower-case letters and digits`,
    );
  }
  const namespacePattern = new RegExp(`^${prefix}-([0-9a-f]{8}|default)$`);
  const uplinkPattern = new RegExp(`^${prefix}u[0-9a-f]{8}$`);
  return {
    prefix,
    hostTable: `${prefix}-kubestack`,
    namespaceOf: (uid) => `${prefix}-${uid === defaultNetworkUid ? 'default' : shortName(uid)}`,
    uplinkOf: (uid) => `${prefix}u${shortName(uid)}`,
    isNamespace: (name) => namespacePattern.test(name),
    isUplink: (name) => uplinkPattern.test(name),
  };
}

/** Path under which `ip netns` keeps a namespace. */
export function namespacePath(namespace: string): string {
  return `/run/netns/${namespace}`;
}

function macFrom(key: string): string {
  const digits = createHash('sha256').update(key).digest('hex').slice(0, 10);
  // 02: locally administered, unicast.
  return `02:${(digits.match(/../g) ?? []).join(':')}`;
}

/** MAC and tap name of a sandbox on a network; `attempt` gives others when one is taken there. */
export function portNames(
  networkUid: string,
  sandboxId: string,
  attempt: number,
): { readonly mac: string; readonly tap: string } {
  const key = attempt === 0 ? sandboxId : `${sandboxId}#${attempt}`;
  return { mac: macFrom(`port ${networkUid} ${key}`), tap: `t${shortName(key)}` };
}

/** The bridge's own address: always the same, so that pods' ARP caches stay right when it is made again. */
export function gatewayMac(networkUid: string): string {
  return macFrom(`gateway ${networkUid}`);
}
