import { emptyState, type ProxyState, type ServicePort } from './proxy-state.ts';

/** Marks connections whose source is replaced on the way out, so that answers come back through this host. */
const masqueradeMark = '0x00004000';

export function tableName(instancePrefix: string): string {
  return `${instancePrefix}-proxy`;
}

/**
 * The commands that turn the rules of one state into those of another, as one nft transaction; empty when nothing differs. Their number grows
 * with what changed, not with what is there. Pure.
 */
export function planRules(instancePrefix: string, from: ProxyState, to: ProxyState): string {
  const writer = new RuleWriter(tableName(instancePrefix));
  const removed: ServicePort[] = [];
  for (const [name, old] of from.ports) {
    const next = to.ports.get(name);
    if (next !== undefined && isSame(old, next)) continue;
    writer.removeElements(old, next);
    if (next?.id !== old.id) removed.push(old);
  }
  for (const [name, next] of to.ports) {
    const old = from.ports.get(name);
    if (old !== undefined && isSame(old, next)) continue;
    writer.writeChains(next, old);
    writer.addElements(next, old);
  }
  // Chains go last: elements and rules that lead to them are gone by then.
  for (const old of removed) writer.removeChains(old);
  writer.setClusterAddresses(from.clusterAddresses, to.clusterAddresses);
  return writer.text;
}

/** The whole table, replacing whatever a former run has left, as one nft transaction. Pure. */
export function planFullRules(instancePrefix: string, state: ProxyState): string {
  const table = tableName(instancePrefix);
  return `${baseRules(table)}${planRules(instancePrefix, emptyState, state)}`;
}

function isSame(left: ServicePort, right: ServicePort): boolean {
  return JSON.stringify(left) === JSON.stringify(right);
}

/** The frame every packet goes through: lookups in maps, no rule per Service. */
function baseRules(table: string): string {
  return `add table ip ${table}
delete table ip ${table}
table ip ${table} {
	map services {
		type ipv4_addr . inet_proto . inet_service : verdict
	}
	map node-ports {
		type inet_proto . inet_service : verdict
	}
	map services-without-endpoints {
		type ipv4_addr . inet_proto . inet_service : verdict
	}
	map node-ports-without-endpoints {
		type inet_proto . inet_service : verdict
	}
	set cluster-addresses {
		type ipv4_addr
	}
	chain refuse {
		meta l4proto tcp reject with tcp reset
		reject
	}
	chain dispatch {
		ip daddr . meta l4proto . th dport vmap @services
		ip daddr != 127.0.0.0/8 fib daddr type local meta l4proto . th dport vmap @node-ports
	}
	chain dispatch-refusals {
		ip daddr . meta l4proto . th dport vmap @services-without-endpoints
		ip daddr @cluster-addresses ct status & dnat != dnat goto refuse
		fib daddr type local meta l4proto . th dport vmap @node-ports-without-endpoints
	}
	chain prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		jump dispatch
	}
	chain output {
		type nat hook output priority -100; policy accept;
		jump dispatch
	}
	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		meta mark & ${masqueradeMark} != ${masqueradeMark} return
		meta mark set meta mark ^ ${masqueradeMark}
		masquerade fully-random
	}
	chain filter-input {
		type filter hook input priority -10; policy accept;
		ct state new jump dispatch-refusals
	}
	chain filter-forward {
		type filter hook forward priority -10; policy accept;
		ct state new jump dispatch-refusals
	}
	chain filter-output {
		type filter hook output priority -10; policy accept;
		ct state new jump dispatch-refusals
	}
}
`;
}

class RuleWriter {
  readonly #table: string;
  readonly #lines: string[] = [];

  constructor(table: string) {
    this.#table = table;
  }

  get text(): string {
    return this.#lines.map((line) => `${line}\n`).join('');
  }

  /** Elements of the old port that the new one has not, or has with another meaning. */
  removeElements(old: ServicePort, next: ServicePort | undefined): void {
    const kept = new Set(next === undefined ? [] : elementsOf(next).map(elementText));
    for (const element of elementsOf(old)) {
      if (!kept.has(elementText(element))) this.#element('delete', element.map, element.key);
    }
  }

  addElements(next: ServicePort, old: ServicePort | undefined): void {
    const there = new Set(old === undefined ? [] : elementsOf(old).map(elementText));
    for (const element of elementsOf(next)) {
      if (there.has(elementText(element))) continue;
      this.#element('add', element.map, `${element.key} : goto ${element.chain}`);
    }
  }

  writeChains(port: ServicePort, old: ServicePort | undefined): void {
    const chain = serviceChain(port);
    this.#line('add chain', chain);
    this.#line('flush chain', chain);
    if (hasStickyParts(old)) this.#removeStickyParts(old);
    if (!port.keepsClientAddress) {
      this.#line('add rule', `${chain} meta mark set meta mark | ${masqueradeMark}`);
    }
    if (port.endpoints.length === 0) return;
    if (port.affinityS > 0) this.#writeSticky(port, chain);
    else {
      const targets = port.endpoints.map((endpoint, index) => `${index} : ${endpoint}`).join(', ');
      const choice = `numgen random mod ${port.endpoints.length} map { ${targets} }`;
      this.#line('add rule', `${chain} meta l4proto ${port.protocol} dnat ip to ${choice}`);
    }
  }

  removeChains(port: ServicePort): void {
    this.#line('flush chain', serviceChain(port));
    if (hasStickyParts(port)) this.#removeStickyParts(port);
    this.#line('delete chain', serviceChain(port));
  }

  setClusterAddresses(from: ReadonlySet<string>, to: ReadonlySet<string>): void {
    for (const address of from) {
      if (!to.has(address)) this.#element('delete', 'cluster-addresses', address);
    }
    for (const address of to) {
      if (!from.has(address)) this.#element('add', 'cluster-addresses', address);
    }
  }

  /** A chain and a set of clients per endpoint: a known client goes back to its endpoint, a new one is remembered. */
  #writeSticky(port: ServicePort, chain: string): void {
    const parts = port.endpoints.map((endpoint) => ({ endpoint, name: stickyName(port, endpoint) }));
    for (const { endpoint, name } of parts) {
      const timeout = `timeout ${port.affinityS}s`;
      this.#line('add set', `${name} { type ipv4_addr; flags dynamic,timeout; ${timeout}; size 65535; }`);
      this.#line('add chain', name);
      this.#line('add rule', `${name} update @${name} { ip saddr ${timeout} }`);
      const target = endpoint.replace(' . ', ':');
      this.#line('add rule', `${name} meta l4proto ${port.protocol} dnat ip to ${target}`);
    }
    for (const { name } of parts) this.#line('add rule', `${chain} ip saddr @${name} goto ${name}`);
    const targets = parts.map(({ name }, index) => `${index} : goto ${name}`).join(', ');
    this.#line('add rule', `${chain} numgen random mod ${parts.length} vmap { ${targets} }`);
  }

  #removeStickyParts(port: ServicePort): void {
    for (const endpoint of port.endpoints) {
      const name = stickyName(port, endpoint);
      this.#line('flush chain', name);
      this.#line('delete chain', name);
      this.#line('delete set', name);
    }
  }

  #line(command: string, rest: string): void {
    this.#lines.push(`${command} ip ${this.#table} ${rest}`);
  }

  #element(verb: 'add' | 'delete', map: string, element: string): void {
    this.#lines.push(`${verb} element ip ${this.#table} ${map} { ${element} }`);
  }
}

interface Element {
  readonly map: string;
  readonly key: string;
  readonly chain: string;
}

function elementText({ map, key, chain }: Element): string {
  return `${map} ${key} ${chain}`;
}

/** A port without endpoints stands in the maps of the refused. */
function elementsOf(port: ServicePort): Element[] {
  const served = port.endpoints.length > 0;
  const suffix = served ? '' : '-without-endpoints';
  const chain = served ? serviceChain(port) : 'refuse';
  return [
    ...port.addresses.map((key) => ({ map: `services${suffix}`, key, chain })),
    ...port.nodePorts.map((key) => ({ map: `node-ports${suffix}`, key, chain })),
  ];
}

function serviceChain(port: ServicePort): string {
  return `service-${port.id}`;
}

function hasStickyParts(port: ServicePort | undefined): port is ServicePort {
  return port !== undefined && port.affinityS > 0;
}

function stickyName(port: ServicePort, endpoint: string): string {
  return `sticky-${port.id}-${endpoint.replace(' . ', '.')}`;
}
