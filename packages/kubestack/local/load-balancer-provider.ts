import { readFile } from 'node:fs/promises';
import { isIPv4 } from 'node:net';
import { PlatformError, toPlatformError } from '@hypernetes/foundation/errors';
import { KeyedMutex } from '@hypernetes/foundation/lifecycle';
import { createLogger } from '@hypernetes/foundation/logging';
import {
  defaultNetworkUid,
  type Listener,
  type LoadBalancer,
  type LoadBalancerCapability,
  type LoadBalancerProvider,
  type LoadBalancerSpec,
} from '../provider-api/index.ts';
import type { StateDatabase } from '../state/index.ts';
import { checkExternalAddress, whyRefused, type AddressPolicy } from './external-addresses.ts';
import { Proxies } from './haproxy.ts';
import { cidrContains, formatIpv4, parseIpv4, parseIpv4Cidr, type Ipv4Cidr } from './ipv4.ts';
import { observeLinks, observeRoutes, routeDestination } from './kernel.ts';
import type { InstanceNames } from './names.ts';
import type { LoadBalancerRecord, LocalNetworkProvider } from './network-provider.ts';
import { uplinkRange, type ParsedSubnet } from './network-specification.ts';

const log = createLogger('kubestack:load-balancer');
const addressesMax = 16;
const listenersMax = 256;
const membersMax = 4_096;
const sourceRangesMax = 256;
/** How often processes are looked after: one that died is started again. */
const superviseMs = 5_000;

export interface LocalLoadBalancerOptions {
  readonly database: StateDatabase;
  readonly names: InstanceNames;
  readonly networks: LocalNetworkProvider;
  readonly dataDir: string;
  readonly runDir: string;
  readonly serviceCidr: string;
  /** CIDRs that addresses may be asked for in. */
  readonly externalAddressRanges: readonly string[];
  /** CIDR addresses are given out of when none is asked for. */
  readonly externalAddressPool: string;
}

/** Load balancers by HAProxy (TCP) and connection tracking (UDP), in the namespace of their network. */
export class LocalLoadBalancerProvider implements LoadBalancerProvider {
  readonly name = 'local';
  readonly capabilities: ReadonlySet<LoadBalancerCapability> = new Set([
    'load-balancer-tcp',
    'load-balancer-udp',
    'load-balancer-source-ranges',
    'load-balancer-address-pool',
  ]);
  readonly #database: StateDatabase;
  readonly #options: LocalLoadBalancerOptions;
  readonly #proxies: Proxies;
  readonly #locks = new KeyedMutex();
  readonly #failures = new Map<string, string>();
  readonly #supervisor: NodeJS.Timeout;
  #supervising: Promise<void> = Promise.resolve();

  constructor(options: LocalLoadBalancerOptions) {
    this.#options = options;
    this.#database = options.database;
    this.#proxies = new Proxies(options);
    this.#supervisor = setInterval(() => {
      this.#supervising = this.#supervising.then(() => this.#supervise());
    }, superviseMs);
    this.#supervisor.unref();
  }

  async reconcile(): Promise<void> {
    const rows = this.#database.all('SELECT DISTINCT network_uid FROM load_balancers');
    const wanted = new Set(rows.map((row) => row['network_uid'] as string));
    for (const uid of this.#proxies.networks()) if (!wanted.has(uid)) await this.#proxies.stop(uid);
    for (const uid of wanted) {
      await this.#restore(uid);
    }
  }

  async ensureLoadBalancer(spec: LoadBalancerSpec): Promise<LoadBalancer> {
    return await this.#locks.run(spec.uid, async () => {
      const before = this.#find(spec.uid);
      this.#checkSpec(spec, before);
      return await this.#options.networks.withNetwork(spec.networkUid, async ({ namespace, refresh }) => {
        const record = await this.#record(spec, before);
        try {
          if (before === undefined || namespaceView(before) !== namespaceView(record)) await refresh();
          await this.#proxies.ensure(spec.networkUid, namespace, this.#ofNetwork(spec.networkUid));
          this.#failures.delete(spec.networkUid);
        } catch (error) {
          this.#failures.set(spec.networkUid, toPlatformError(error).message);
          throw new PlatformError(
            'Unavailable',
            `load balancer "${spec.name}": ${toPlatformError(error).message}`,
            {
              cause: error,
            },
          );
        }
        return this.#toLoadBalancer(record);
      });
    });
  }

  async getLoadBalancer(uid: string): Promise<LoadBalancer> {
    const record = this.#find(uid);
    if (record === undefined) throw new PlatformError('NotFound', `load balancer ${uid}: does not exist`);
    return await Promise.resolve(this.#toLoadBalancer(record));
  }

  async listLoadBalancers(): Promise<readonly LoadBalancer[]> {
    const records = this.#database.documents<LoadBalancerRecord>(
      'SELECT document FROM load_balancers ORDER BY uid',
    );
    return await Promise.resolve(records.map((record) => this.#toLoadBalancer(record)));
  }

  async deleteLoadBalancer(uid: string): Promise<void> {
    await this.#locks.run(uid, async () => {
      const record = this.#find(uid);
      if (record === undefined) return;
      await this.#options.networks.withNetwork(record.networkUid, async ({ namespace, refresh }) => {
        const rest = this.#ofNetwork(record.networkUid).filter((other) => other.uid !== uid);
        // The proxy lets go of the addresses before they go.
        await this.#proxies.ensure(record.networkUid, namespace, rest);
        this.#database.transaction(() => {
          this.#database.run('DELETE FROM load_balancer_addresses WHERE uid = ?', uid);
          this.#database.run('DELETE FROM load_balancers WHERE uid = ?', uid);
        });
        await refresh();
      });
    });
  }

  /** Stops looking after the processes; they go on. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#supervisor);
    await this.#supervising;
  }

  #find(uid: string): LoadBalancerRecord | undefined {
    return this.#database.document<LoadBalancerRecord>(
      'SELECT document FROM load_balancers WHERE uid = ?',
      uid,
    );
  }

  #ofNetwork(networkUid: string): readonly LoadBalancerRecord[] {
    return this.#database.documents<LoadBalancerRecord>(
      'SELECT document FROM load_balancers WHERE network_uid = ? ORDER BY uid',
      networkUid,
    );
  }

  async #supervise(): Promise<void> {
    for (const uid of this.#proxies.networks()) {
      if (!this.#proxies.isRunning(uid)) await this.#restore(uid);
    }
  }

  async #restore(networkUid: string): Promise<void> {
    try {
      await this.#options.networks.withNetwork(networkUid, async ({ namespace }) => {
        await this.#proxies.ensure(networkUid, namespace, this.#ofNetwork(networkUid));
      });
      this.#failures.delete(networkUid);
    } catch (error) {
      this.#failures.set(networkUid, toPlatformError(error).message);
      log.error({ err: error, networkUid }, 'load balancer process not restored');
    }
  }

  #checkSpec(spec: LoadBalancerSpec, before: LoadBalancerRecord | undefined): void {
    const what = `load balancer "${spec.name}"`;
    const network = this.#options.networks.describe(spec.networkUid);
    if (network.tenantId !== spec.tenantId) {
      throw new PlatformError('Forbidden', `${what}: network ${spec.networkUid} belongs to another tenant`);
    }
    if (before !== undefined && before.networkUid !== spec.networkUid) {
      throw new PlatformError(
        'Precondition',
        `${what}: is on network ${before.networkUid}; that cannot change`,
      );
    }
    const tooMany =
      spec.addresses.length > addressesMax ||
      spec.listeners.length > listenersMax ||
      spec.sourceRanges.length > sourceRangesMax;
    if (tooMany)
      throw new PlatformError('Invalid', `${what}: too many addresses, listeners or source ranges`);
    for (const range of spec.sourceRanges) parseIpv4Cidr(range, `${what}: source range`);
    const seen = new Set<string>();
    for (const listener of spec.listeners) {
      const key = `${listener.protocol}/${listener.port}`;
      if (seen.has(key)) throw new PlatformError('Invalid', `${what}: two listeners on ${key}`);
      seen.add(key);
      checkMembers(what, listener, network.subnets);
    }
  }

  /** Writes the load balancer and its addresses down, durable on return. */
  async #record(spec: LoadBalancerSpec, before: LoadBalancerRecord | undefined): Promise<LoadBalancerRecord> {
    const fromPool = spec.addresses.length === 0;
    const kept = before?.fromPool === true && fromPool ? before.addresses : [];
    const wanted = fromPool ? kept : [...new Set(spec.addresses)];
    const policy = await this.#policy(spec.networkUid);
    for (const address of wanted)
      if (before?.addresses.includes(address) !== true) checkExternalAddress(address, policy);
    return this.#database.transaction(() => {
      const addresses = wanted.length > 0 ? wanted : [this.#addressFromPool(policy)];
      const record: LoadBalancerRecord = { ...spec, addresses, fromPool };
      this.#database.run('DELETE FROM load_balancer_addresses WHERE uid = ?', spec.uid);
      for (const address of addresses) this.#claim(address, spec);
      this.#database.run(
        'INSERT INTO load_balancers VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET document = excluded.document',
        spec.uid,
        spec.networkUid,
        JSON.stringify(record),
      );
      return record;
    });
  }

  #claim(address: string, spec: LoadBalancerSpec): void {
    const holder = this.#database.get('SELECT uid FROM load_balancer_addresses WHERE address = ?', address)?.[
      'uid'
    ];
    if (holder !== undefined) {
      const other = this.#find(holder as string);
      // Names of another tenant's load balancers are not for this one's eyes.
      const by = other?.tenantId === spec.tenantId ? ` by load balancer "${other.name}"` : '';
      throw new PlatformError(
        'AlreadyExists',
        `load balancer "${spec.name}": address ${address} is taken${by}`,
      );
    }
    this.#database.run('INSERT INTO load_balancer_addresses VALUES (?, ?)', address, spec.uid);
  }

  /** The next address of the pool after the one given out last, so that a freed one rests. */
  #addressFromPool(policy: AddressPolicy): string {
    const pool = parseIpv4Cidr(this.#options.externalAddressPool, 'external address pool');
    const taken = new Set(
      this.#database
        .all('SELECT address FROM load_balancer_addresses')
        .map((row) => row['address'] as string),
    );
    const last = Number(this.#database.getMeta('external-address') ?? 0);
    for (let step = 1; step < pool.size - 1; step++) {
      const offset = ((last + step - 1) % (pool.size - 2)) + 1;
      const address = formatIpv4(pool.first + offset);
      if (taken.has(address) || whyRefused(address, policy) !== undefined) continue;
      this.#database.setMeta('external-address', String(offset));
      return address;
    }
    throw new PlatformError(
      'Exhausted',
      `load balancer addresses: the pool ${this.#options.externalAddressPool} is used up`,
    );
  }

  async #policy(networkUid: string): Promise<AddressPolicy> {
    const [links, routes, resolvers] = await Promise.all([observeLinks(), observeRoutes(), hostResolvers()]);
    const hostAddresses = new Map<string, string>();
    for (const route of routes)
      if (route.gateway !== undefined) hostAddresses.set(route.gateway, "the host's router");
    for (const resolver of resolvers) hostAddresses.set(resolver, "the host's name server");
    for (const address of [...links.values()].flat()) {
      hostAddresses.set(address.split('/')[0] ?? '', "the host's own address");
    }
    const others = routes.filter(
      (route) => route.dst !== 'default' && !this.#options.names.isUplink(route.dev ?? ''),
    );
    return {
      allowed: [...this.#options.externalAddressRanges, this.#options.externalAddressPool].map((range) =>
        parseIpv4Cidr(range, 'external address range'),
      ),
      reserved: this.#reserved(networkUid),
      hostAddresses,
      hostRoutes: others.map((route) => ({
        cidr: parseIpv4Cidr(routeDestination(route), 'host route'),
        device: route.dev ?? 'another device',
      })),
    };
  }

  #reserved(networkUid: string): AddressPolicy['reserved'] {
    const fixed = [
      ['0.0.0.0/8', 'the "this network" range'],
      ['127.0.0.0/8', 'the loopback range'],
      ['169.254.0.0/16', 'the link-local range'],
      ['224.0.0.0/3', 'the multicast or reserved range'],
      [this.#options.serviceCidr, 'the addresses of Services'],
    ] as const;
    const pods = [...this.#subnetsOf(defaultNetworkUid), ...this.#subnetsOf(networkUid)].map((cidr) => ({
      cidr,
      what: 'the addresses of pods',
    }));
    return [
      { cidr: uplinkRange, what: 'the uplinks of networks' },
      ...fixed.map(([cidr, what]) => ({ cidr: parseIpv4Cidr(cidr, what), what })),
      ...pods,
    ];
  }

  #subnetsOf(networkUid: string): readonly Ipv4Cidr[] {
    try {
      return this.#options.networks.describe(networkUid).subnets.map((subnet) => subnet.cidr);
    } catch {
      // The default network may not be there (yet).
      return [];
    }
  }

  #toLoadBalancer(record: LoadBalancerRecord): LoadBalancer {
    const failure = this.#failures.get(record.networkUid);
    return {
      uid: record.uid,
      name: record.name,
      networkUid: record.networkUid,
      addresses: record.addresses,
      listeners: record.listeners,
      providerId: this.#options.names.namespaceOf(record.networkUid),
      state: failure === undefined ? 'Active' : 'Failed',
      message: failure ?? '',
    };
  }
}

/** What of a load balancer the namespace's addresses, routes and filters are made from. */
function namespaceView(record: LoadBalancerRecord): string {
  const listeners = record.listeners.map((listener) =>
    listener.protocol === 'UDP' ? listener : { protocol: listener.protocol, port: listener.port },
  );
  return JSON.stringify([record.addresses, record.sourceRanges, listeners]);
}

/** Members are pods of the network: a proxy with access to the host's side of it must not be led anywhere else. */
function checkMembers(what: string, listener: Listener, subnets: readonly ParsedSubnet[]): void {
  if (listener.members.length > membersMax) {
    throw new PlatformError(
      'Invalid',
      `${what}: listener on port ${listener.port} has more than ${membersMax} members`,
    );
  }
  for (const member of listener.members) {
    const address = parseIpv4(member.address, `${what}: member`);
    const subnet = subnets.find((candidate) => cidrContains(candidate.cidr, address));
    if (subnet !== undefined && address !== subnet.gateway) continue;
    throw new PlatformError('Invalid', `${what}: member ${member.address} is no pod address of its network`);
  }
}

/** Name servers of the host: nobody may take their addresses. */
async function hostResolvers(): Promise<readonly string[]> {
  const text = await readFile('/etc/resolv.conf', 'utf8').catch(() => '');
  return text.split('\n').flatMap((line) => {
    const address = /^\s*nameserver\s+(\S+)/.exec(line)?.[1];
    return address !== undefined && isIPv4(address) ? [address] : [];
  });
}
