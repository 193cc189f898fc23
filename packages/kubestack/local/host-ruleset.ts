/** What the host's own table is made from. */
export interface HostRulesetInput {
  readonly table: string;
  /** Interface name pattern of this instance's uplinks, `hnu*`. */
  readonly uplinkPattern: string;
  readonly networks: readonly {
    readonly uplink: string;
    /** Host side of the uplink: the only address of the host its pods may reach, at port 53. */
    readonly hostAddress: string;
    /** Namespace side: what the pods' traffic comes from. */
    readonly namespaceAddress: string;
    readonly externalAddresses: readonly string[];
    /** Set for the default network, where the host routes to its pods: their addresses appear on the host as they are. */
    readonly podCidrs: readonly string[];
    /** The default network: its pods may use the host's services. */
    readonly reachesHostServices: boolean;
  }[];
  /** TCP ports of the host that pods of the default network may reach (the API server). */
  readonly hostServicePorts: readonly number[];
}

function elements(values: readonly (string | number)[]): string {
  return values.length === 0 ? '' : ` elements = { ${values.join(', ')} }`;
}

/**
 * The host's table: networks reach the world, never each other, and of the host only their name server. Rules judge only traffic of this
 * instance's uplinks; everything else passes through untouched.
 */
export function hostRuleset(input: HostRulesetInput): string {
  const { networks, uplinkPattern } = input;
  const reachable = networks.filter((network) => network.reachesHostServices);
  const sources = networks.flatMap((network) => [network.namespaceAddress, ...network.podCidrs]);
  const dns = networks.map((network) => `"${network.uplink}" . ${network.hostAddress}`);
  const external = networks.flatMap((network) =>
    network.externalAddresses.map((address) => `"${network.uplink}" . ${address}`),
  );
  return `${[
    `add table ip ${input.table}`,
    `delete table ip ${input.table}`,
    `table ip ${input.table} {`,
    `  set dns { type ifname . ipv4_addr;${elements(dns)} }`,
    `  set uplinks { type ipv4_addr;${elements(networks.map((network) => network.hostAddress))} }`,
    `  set external { type ifname . ipv4_addr;${elements(external)} }`,
    `  set reachable { type ifname;${elements(reachable.map((network) => `"${network.uplink}"`))} }`,
    `  set sources { type ipv4_addr; flags interval; auto-merge;${elements(sources)} }`,
    `  set host_services { type inet_service;${elements(input.hostServicePorts)} }`,
    '  chain postrouting {',
    '    type nat hook postrouting priority srcnat; policy accept;',
    `    ip saddr @sources oifname != "${uplinkPattern}" oifname != "lo" masquerade`,
    '  }',
    '  chain input {',
    '    type filter hook input priority filter; policy accept;',
    `    iifname "${uplinkPattern}" jump from_network_to_host`,
    // A host answers at all its addresses on all its interfaces: names of a network are for the network, and for the host itself.
    `    iifname != "${uplinkPattern}" iifname != "lo" ip daddr @uplinks drop`,
    '  }',
    '  chain from_network_to_host {',
    '    ct state established,related accept',
    '    iifname . ip daddr @dns meta l4proto { tcp, udp } th dport 53 accept',
    '    iifname @reachable tcp dport @host_services accept',
    '    iifname @reachable icmp type echo-request accept',
    '    iifname @reachable ct status dnat accept',
    '    drop',
    '  }',
    '  chain forward {',
    '    type filter hook forward priority filter; policy accept;',
    `    iifname "${uplinkPattern}" jump from_network`,
    `    oifname "${uplinkPattern}" jump to_network`,
    '  }',
    '  chain from_network {',
    '    ct state established,related accept',
    '    iifname @reachable oifname @reachable ct status dnat accept',
    `    oifname "${uplinkPattern}" drop`,
    // Link-local destinations are the host's own neighbours, metadata services of clouds above all; routers do not forward to them (RFC 3927 7).
    '    ip daddr 169.254.0.0/16 drop',
    '  }',
    '  chain to_network {',
    '    ct state established,related accept',
    '    oifname @reachable ct status dnat accept',
    '    oifname . ip daddr @external accept',
    '    drop',
    '  }',
    '}',
  ].join('\n')}\n`;
}
