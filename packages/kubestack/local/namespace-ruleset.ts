import type { Listener } from '../provider-api/index.ts';

/** What the filters of one network's namespace are made from; all values are validated before. */
export interface NamespaceRulesetInput {
  readonly subnetCidrs: readonly string[];
  readonly gateways: readonly string[];
  /** Host side of the uplink, where the name server listens. */
  readonly hostAddress: string;
  /** The default network: the host may open connections to pods, and pods keep their address towards the host. */
  readonly hostReachable: boolean;
  readonly ports: readonly PortElement[];
  readonly loadBalancers: readonly {
    readonly addresses: readonly string[];
    readonly listeners: readonly Listener[];
    readonly sourceRanges: readonly string[];
  }[];
}

export interface PortElement {
  readonly tap: string;
  readonly mac: string;
  readonly address: string;
}

const table = 'kubestack';

function elements(values: readonly string[]): string {
  return values.length === 0 ? '' : ` elements = { ${values.join(', ')} }`;
}

function macElement(port: PortElement): string {
  return `"${port.tap}" . ${port.mac}`;
}

function addressElement(port: PortElement): string {
  return `"${port.tap}" . ${port.mac} . ${port.address}`;
}

function replaceTable(family: string, body: readonly string[]): readonly string[] {
  // One transaction: `add` makes `delete` succeed, and no packet ever meets a moment without filters.
  return [
    `add table ${family} ${table}`,
    `delete table ${family} ${table}`,
    `table ${family} ${table} {`,
    ...body,
    '}',
  ];
}

/** Every frame a pod sends carries its own MAC, and its own address in IPv4 and ARP; everything else (IPv6 too) ends here. */
function bridgeTable(input: NamespaceRulesetInput): readonly string[] {
  return replaceTable('bridge', [
    `  set macs { type ifname . ether_addr;${elements(input.ports.map(macElement))} }`,
    `  set addresses { type ifname . ether_addr . ipv4_addr;${elements(input.ports.map(addressElement))} }`,
    '  chain prerouting {',
    '    type filter hook prerouting priority -300; policy accept;',
    '    iifname "t*" jump from_port',
    '  }',
    '  chain from_port {',
    '    iifname . ether saddr != @macs drop',
    '    ether type ip iifname . ether saddr . ip saddr @addresses accept',
    '    ether type arp arp saddr ip 0.0.0.0 arp operation request iifname . arp saddr ether @macs accept',
    '    ether type arp iifname . arp saddr ether . arp saddr ip @addresses accept',
    '    drop',
    '  }',
  ]);
}

function listenersOf(input: NamespaceRulesetInput, protocol: 'TCP' | 'UDP') {
  return input.loadBalancers.flatMap((balancer) =>
    balancer.listeners
      .filter((listener) => listener.protocol === protocol)
      .flatMap((listener) =>
        balancer.addresses.map((address) => ({ address, listener, sourceRanges: balancer.sourceRanges })),
      ),
  );
}

/** UDP load balancing: each new flow goes to the next member; connection tracking keeps it there. */
function udpRules(input: NamespaceRulesetInput): readonly string[] {
  return listenersOf(input, 'UDP').map(({ address, listener, sourceRanges }) => {
    const sources = sourceRanges.length === 0 ? '' : `ip saddr { ${sourceRanges.join(', ')} } `;
    const match = `    ${sources}ip daddr ${address} udp dport ${listener.port}`;
    if (listener.members.length === 0) return `${match} drop`;
    const map = listener.members.map((member, index) => `${index} : ${member.address} . ${member.port}`);
    return `${match} dnat ip to numgen inc mod ${map.length} map { ${map.join(', ')} }`;
  });
}

function ipTable(input: NamespaceRulesetInput): readonly string[] {
  const tcp = listenersOf(input, 'TCP').map(({ address, listener }) => `${address} . ${listener.port}`);
  const udp = udpRules(input);
  const dns = `ip daddr @gateways meta l4proto { tcp, udp } th dport 53 dnat to ${input.hostAddress}`;
  return replaceTable('ip', [
    `  set subnets { type ipv4_addr; flags interval;${elements(input.subnetCidrs)} }`,
    `  set gateways { type ipv4_addr;${elements(input.gateways)} }`,
    `  set listeners { type ipv4_addr . inet_service;${elements([...new Set(tcp)])} }`,
    '  chain prerouting {',
    '    type nat hook prerouting priority dstnat; policy accept;',
    `    iifname "br0" ${dns}`,
    ...udp,
    '  }',
    '  chain postrouting {',
    '    type nat hook postrouting priority srcnat; policy accept;',
    ...(input.hostReachable ? [] : ['    oifname "uplink" ip saddr @subnets masquerade']),
    ...(udp.length === 0 ? [] : ['    oifname "br0" ip saddr @subnets ct status dnat masquerade']),
    '  }',
    '  chain input {',
    '    type filter hook input priority filter; policy drop;',
    '    iifname "lo" accept',
    '    ct state established,related accept',
    '    icmp type echo-request accept',
    '    ip daddr . tcp dport @listeners accept',
    '  }',
    '  chain forward {',
    '    type filter hook forward priority filter; policy drop;',
    '    ct state established,related accept',
    '    iifname "br0" ip saddr @subnets accept',
    `    iifname "uplink" oifname "br0" ${input.hostReachable ? '' : 'ct status dnat '}accept`,
    '  }',
  ]);
}

/** The whole ruleset of a network's namespace as one nft transaction, replacing the one before. */
export function namespaceRuleset(input: NamespaceRulesetInput): string {
  return [...bridgeTable(input), ...ipTable(input)].join('\n') + '\n';
}

/** Lets one more port speak, without touching the rest. */
export function addPortRules(port: PortElement): string {
  return (
    `add element bridge ${table} macs { ${macElement(port)} }\n` +
    `add element bridge ${table} addresses { ${addressElement(port)} }\n`
  );
}

/** Takes a port's right to speak; `add` first, so that it succeeds whether or not it is there. */
export function removePortRules(port: PortElement): string {
  return (
    addPortRules(port) +
    `delete element bridge ${table} macs { ${macElement(port)} }\n` +
    `delete element bridge ${table} addresses { ${addressElement(port)} }\n`
  );
}
