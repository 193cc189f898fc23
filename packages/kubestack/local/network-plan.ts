import { gatewayMac } from './names.ts';
import type { PortElement } from './namespace-ruleset.ts';

/** What a network's kernel objects should be. */
export interface DesiredNetwork {
  readonly uid: string;
  readonly namespace: string;
  readonly uplink: string;
  /** Link-local addresses of the uplink's two ends. */
  readonly hostAddress: string;
  readonly namespaceAddress: string;
  readonly mtu: number;
  /** Gateways with prefix length, on the bridge. */
  readonly gateways: readonly string[];
  /** Destinations the host routes to the namespace: pod CIDRs of the default network, addresses of load balancers (/32). */
  readonly hostRoutes: readonly string[];
  /** Addresses of load balancers, in the namespace. */
  readonly externalAddresses: readonly string[];
  readonly ports: readonly (PortElement & { readonly ownerUid: number })[];
}

/** What there is. Interface names to their addresses in CIDR form. */
export interface ObservedNetwork {
  readonly namespaceExists: boolean;
  readonly hostLinks: ReadonlyMap<string, readonly string[]>;
  readonly hostRoutes: readonly string[];
  readonly links: ReadonlyMap<string, readonly string[]>;
}

export const nothingObserved: ObservedNetwork = {
  namespaceExists: false,
  hostLinks: new Map(),
  hostRoutes: [],
  links: new Map(),
};

/** Namespace-local kernel settings: a router for IPv4 with strict source checks, no IPv6, bridged frames are the bridge filter's alone. */
const namespaceSettings: readonly (readonly [string, string])[] = [
  ['ipv6/conf/all/disable_ipv6', '1'],
  ['ipv6/conf/default/disable_ipv6', '1'],
  ['ipv4/ip_forward', '1'],
  ['ipv4/conf/all/rp_filter', '1'],
  ['ipv4/conf/default/rp_filter', '1'],
  ['ipv4/conf/all/accept_redirects', '0'],
  ['ipv4/conf/default/accept_redirects', '0'],
  ['ipv4/conf/all/send_redirects', '0'],
  ['ipv4/conf/default/send_redirects', '0'],
  ['bridge/bridge-nf-call-iptables', '0'],
  ['bridge/bridge-nf-call-ip6tables', '0'],
  ['bridge/bridge-nf-call-arptables', '0'],
];

function without(present: readonly string[], wanted: readonly string[]): readonly string[] {
  return present.filter((value) => !wanted.includes(value));
}

function uplinkIsWhole(desired: DesiredNetwork, observed: ObservedNetwork): boolean {
  return observed.namespaceExists && observed.hostLinks.has(desired.uplink) && observed.links.has('uplink');
}

/** Lines of `ip -batch` on the host: namespace, uplink, its address and the routes into it. */
export function planHost(desired: DesiredNetwork, observed: ObservedNetwork): readonly string[] {
  const { uplink, namespace, hostAddress, namespaceAddress } = desired;
  const whole = uplinkIsWhole(desired, observed);
  const routesBefore = whole ? observed.hostRoutes : [];
  return [
    ...(observed.namespaceExists ? [] : [`netns add ${namespace}`]),
    ...(!whole && observed.hostLinks.has(uplink) ? [`link delete dev ${uplink}`] : []),
    ...(whole ? [] : [`link add name ${uplink} type veth peer name uplink netns ${namespace}`]),
    `link set dev ${uplink} mtu ${desired.mtu} up`,
    `address replace ${hostAddress}/31 dev ${uplink}`,
    ...without(routesBefore, desired.hostRoutes).map((route) => `route delete ${route} dev ${uplink}`),
    ...desired.hostRoutes.map((route) => `route replace ${route} via ${namespaceAddress} dev ${uplink}`),
  ];
}

function planTap(port: DesiredNetwork['ports'][number], mtu: number): readonly string[] {
  return [`tuntap add dev ${port.tap} mode tap user ${port.ownerUid}`, ...planTapSettings(port, mtu)];
}

function planTapSettings(port: DesiredNetwork['ports'][number], mtu: number): readonly string[] {
  return [
    `link set dev ${port.tap} mtu ${mtu} master br0`,
    // Who is where is on record: nothing is learned from frames, and unknown destinations are not flooded.
    `link set dev ${port.tap} type bridge_slave learning off flood off`,
    `link set dev ${port.tap} up`,
  ];
}

function neighbourOf(port: PortElement): string {
  return `neighbour replace ${port.address} lladdr ${port.mac} dev br0 nud permanent`;
}

/** Lines of `ip -batch` in the namespace: bridge, gateway addresses, uplink end, taps, external addresses. */
export function planNamespaceLinks(desired: DesiredNetwork, observed: ObservedNetwork): readonly string[] {
  const { mtu, ports } = desired;
  const externals = desired.externalAddresses.map((address) => `${address}/32`);
  const taps = ports.map((port) => port.tap);
  const strangers = [...observed.links.keys()].filter(
    (name) => /^t[0-9a-f]{8}$/.test(name) && !taps.includes(name),
  );
  const missing = ports.filter((port) => !observed.links.has(port.tap));
  const present = ports.filter((port) => observed.links.has(port.tap));
  return [
    ...(observed.links.has('br0')
      ? []
      : [
          `link add br0 address ${gatewayMac(desired.uid)} type bridge stp_state 0 forward_delay 0 mcast_snooping 0`,
        ]),
    'link set dev lo up',
    `link set dev br0 mtu ${mtu} up`,
    ...without(observed.links.get('br0') ?? [], desired.gateways).map(
      (address) => `address delete ${address} dev br0`,
    ),
    ...desired.gateways.map((address) => `address replace ${address} dev br0`),
    ...without(observed.links.get('lo') ?? [], [...externals, '127.0.0.1/8']).map(
      (address) => `address delete ${address} dev lo`,
    ),
    ...externals.map((address) => `address replace ${address} dev lo`),
    `link set dev uplink mtu ${mtu} up`,
    `address replace ${desired.namespaceAddress}/31 dev uplink`,
    `route replace default via ${desired.hostAddress} dev uplink`,
    ...strangers.map((tap) => `link delete dev ${tap}`),
    ...missing.flatMap((port) => planTap(port, mtu)),
    ...present.flatMap((port) => planTapSettings(port, mtu)),
    ...ports.map(neighbourOf),
  ];
}

function forwardingEntry(port: PortElement): string {
  return `fdb replace ${port.mac} dev ${port.tap} master static`;
}

function hereDocument(command: string, lines: readonly string[]): readonly string[] {
  return lines.length === 0 ? [] : [`${command} <<'END'`, ...lines.map((line) => line.trimEnd()), 'END'];
}

/**
 * A shell script for inside the namespace: one process started instead of a dozen. Every value in it was made or validated here; nothing
 * a user typed reaches it unparsed.
 */
export function namespaceScript(parts: {
  readonly settings: boolean;
  readonly links: readonly string[];
  readonly forwarding: readonly string[];
  readonly ruleset: string;
}): string {
  const settings = parts.settings
    ? namespaceSettings.map(
        ([name, value]) => `[ ! -e /proc/sys/net/${name} ] || echo ${value} >/proc/sys/net/${name}`,
      )
    : [];
  return (
    [
      'set -e',
      ...settings,
      // Filters stand before the first interface comes up.
      ...hereDocument('nft -f -', parts.ruleset === '' ? [] : parts.ruleset.trimEnd().split('\n')),
      ...hereDocument('ip -batch -', parts.links),
      ...hereDocument('bridge -batch -', parts.forwarding),
    ].join('\n') + '\n'
  );
}

/** The script that makes a namespace's inside as desired. */
export function planNamespace(desired: DesiredNetwork, observed: ObservedNetwork, ruleset: string): string {
  return namespaceScript({
    settings: true,
    links: planNamespaceLinks(desired, observed),
    forwarding: desired.ports.map(forwardingEntry),
    ruleset,
  });
}

/** The script that adds one port to a namespace that is whole. */
export function planPort(
  port: DesiredNetwork['ports'][number],
  mtu: number,
  tapExists: boolean,
  ruleset: string,
): string {
  return namespaceScript({
    settings: false,
    links: [...(tapExists ? planTapSettings(port, mtu) : planTap(port, mtu)), neighbourOf(port)],
    forwarding: [forwardingEntry(port)],
    ruleset,
  });
}

/** The script that removes one port; what is gone already is passed over. */
export function planPortRemoval(port: PortElement, ruleset: string): string {
  return (
    [
      ...hereDocument('nft -f -', ruleset.trimEnd().split('\n')),
      ...hereDocument('ip -force -batch - 2>/dev/null', [
        `link delete dev ${port.tap}`,
        `neighbour delete ${port.address} dev br0`,
      ]),
      // What is passed over must not hide a tap that could not be removed.
      `! ip link show dev ${port.tap} >/dev/null 2>&1`,
    ].join('\n') + '\n'
  );
}
