import { existsSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { PlatformError, toPlatformError } from '@hypernetes/foundation/errors';
import { KeyedMutex } from '@hypernetes/foundation/lifecycle';
import { ip, ipBatch, nft } from '@hypernetes/foundation/linux';
import { createLogger } from '@hypernetes/foundation/logging';
import {
  defaultNetworkUid,
  formatHolder,
  type LoadBalancerSpec,
  type Network,
  type NetworkCapability,
  type NetworkProvider,
  type NetworkSpec,
  type Port,
  type PortSpec,
  type SubnetStatus,
} from '../provider-api/index.ts';
import { checkFixedAddress, nextAddress, usableAddresses } from './address-allocation.ts';
import { hostRuleset } from './host-ruleset.ts';
import { cidrContains, formatIpv4, formatIpv4Cidr, parseIpv4, parseIpv4Cidr } from './ipv4.ts';
import {
  namespaceExists,
  observeLinks,
  observeNetwork,
  observeRoutes,
  routeDestination,
  runInNamespace,
  listNamespaces,
  readHostSetting,
  writeHostSetting,
} from './kernel.ts';
import { namespacePath, portNames, shortName, type InstanceNames } from './names.ts';
import { addPortRules, namespaceRuleset, removePortRules, type PortElement } from './namespace-ruleset.ts';
import {
  nothingObserved,
  planHost,
  planNamespace,
  planPort,
  planPortRemoval,
  type DesiredNetwork,
} from './network-plan.ts';
import {
  normalizeNetworkSpec,
  parseSubnet,
  uplinkRange,
  type ParsedSubnet,
} from './network-specification.ts';
import { isUniqueViolation, type StateDatabase } from '../state/index.ts';

const log = createLogger('kubestack:network');

/** First VXLAN network identifier given out; below are those people type by hand. */
const segmentIdFirst = 4096;
const segmentIdMax = 2 ** 24 - 1;
const portNameAttemptsMax = 16;

/** Key of the setting of IPv4 forwarding that the host had before. */
export const forwardingBefore = 'ip-forward-before';
/** Key that says whether the folder of named namespaces was there before: `present` or `absent`. */
export const namespaceFolderBefore = 'netns-folder-before';

/** Serves names on the host side of each network's uplink. */
export interface NetworkNameServer {
  /** Starts answering for the network at the address; again: the same or the new address. */
  listen(networkUid: string, address: string): Promise<void>;
  close(networkUid: string): Promise<void>;
}

export interface LocalNetworkOptions {
  readonly database: StateDatabase;
  readonly names: InstanceNames;
  readonly nameServer: NetworkNameServer;
  /** Addresses of Services, which no subnet may overlap. */
  readonly serviceCidr: string;
  readonly mtu: number;
  /** TCP ports of the host pods of the default network may reach. */
  readonly hostServicePorts: readonly number[];
}

/** What is on record of a network: the specification with gateways filled in, and what was given to it. */
interface NetworkRecord extends NetworkSpec {
  /** VXLAN network identifier, for when the network spans nodes. */
  readonly segmentId: number;
  readonly uplinkIndex: number;
  readonly mtu: number;
}

interface PortRecord {
  readonly spec: PortSpec;
  readonly address: string;
  readonly mac: string;
  readonly tap: string;
}

/** A load balancer as it is on record, with its addresses. */
export interface LoadBalancerRecord extends LoadBalancerSpec {
  /** No address was asked for: the one it has came from the pool. */
  readonly fromPool: boolean;
}

/**
 * Networks made of Linux itself: one network namespace each with bridge, gateway, filters and uplink (docs/architecture.md "Networks of
 * the local provider"). The database says what exists; the kernel is made to match it.
 */
export class LocalNetworkProvider implements NetworkProvider {
  readonly name = 'local';
  readonly capabilities: ReadonlySet<NetworkCapability> = new Set([
    'ipv4',
    'multiple-subnets',
    'anti-spoofing',
  ]);
  readonly #database: StateDatabase;
  readonly #names: InstanceNames;
  readonly #options: LocalNetworkOptions;
  readonly #locks = new KeyedMutex();
  /** Networks whose kernel objects this process has made or checked; the rest is made when next touched. */
  readonly #whole = new Set<string>();
  /** Why a network that is on record does not carry packets. */
  readonly #failures = new Map<string, string>();
  /** The default network while the host routes its addresses elsewhere: to which device. It is cut off from the host, not from the world. */
  readonly #unrouted = new Map<string, string>();

  constructor(options: LocalNetworkOptions) {
    this.#options = options;
    this.#database = options.database;
    this.#names = options.names;
  }

  async reconcile(): Promise<void> {
    await this.#prepareHost();
    await this.#sweepStrangers();
    await this.#applyHostRuleset();
    for (const record of this.#records()) {
      await this.#locks
        .run(record.uid, () => this.#applyRecorded(record.uid))
        .catch((error: unknown) => {
          // One network that cannot be made must not keep the others down; it is Failed until somebody touches it again.
          log.error({ err: error, networkUid: record.uid }, 'network not restored');
        });
    }
  }

  async ensureNetwork(spec: NetworkSpec): Promise<Network> {
    const wanted = normalizeNetworkSpec(spec, parseIpv4Cidr(this.#options.serviceCidr, 'service CIDR'));
    await this.#locks.run(spec.uid, async () => {
      const before = this.#find(spec.uid);
      const changed = this.#record(wanted, before);
      const whole = this.#whole.has(spec.uid) && (await namespaceExists(this.#names.namespaceOf(spec.uid)));
      if (changed || !whole || this.#unrouted.has(spec.uid))
        await this.#apply(spec.uid, before === undefined);
    });
    return await this.getNetwork(spec.uid);
  }

  async getNetwork(uid: string): Promise<Network> {
    return await Promise.resolve(this.#toNetwork(this.#get(uid)));
  }

  async listNetworks(): Promise<readonly Network[]> {
    return await Promise.resolve(this.#records().map((record) => this.#toNetwork(record)));
  }

  async deleteNetwork(uid: string): Promise<void> {
    await this.#locks.run(uid, async () => {
      const record = this.#find(uid);
      if (record === undefined) return;
      this.#refuseWhileInUse(record);
      this.#whole.delete(uid);
      await this.#options.nameServer.close(uid);
      await this.#removeKernelObjects(uid);
      this.#database.transaction(() => {
        this.#database.run('DELETE FROM networks WHERE uid = ?', uid);
        this.#database.run('DELETE FROM subnet_cursors WHERE network_uid = ?', uid);
      });
      this.#failures.delete(uid);
      this.#unrouted.delete(uid);
      await this.#applyHostRuleset();
      log.info({ networkUid: uid, network: record.name }, 'network deleted');
    });
  }

  async setupPort(spec: PortSpec): Promise<Port> {
    return await this.#locks.run(spec.networkUid, async () => {
      const record = this.#get(spec.networkUid);
      const before = this.#findPort(spec.sandboxId);
      if (before !== undefined) this.#checkSamePort(before, spec);
      await this.#ensureWhole(record.uid);
      const port = before ?? this.#allocatePort(record, spec);
      try {
        await this.#plug(record, port, before !== undefined);
      } catch (error) {
        if (before === undefined) await this.#unplug(port).catch(() => undefined);
        throw error;
      }
      return this.#toPort(record, port);
    });
  }

  async getPort(sandboxId: string): Promise<Port> {
    const port = this.#findPort(sandboxId);
    if (port === undefined)
      throw new PlatformError('NotFound', `port of sandbox ${sandboxId}: does not exist`);
    return await Promise.resolve(this.#toPort(this.#get(port.spec.networkUid), port));
  }

  async listPorts(networkUid?: string): Promise<readonly Port[]> {
    const ports =
      networkUid === undefined
        ? this.#database.documents<PortRecord>('SELECT document FROM ports')
        : this.#portsOf(networkUid);
    return await Promise.resolve(ports.map((port) => this.#toPort(this.#get(port.spec.networkUid), port)));
  }

  async teardownPort(sandboxId: string): Promise<void> {
    const port = this.#findPort(sandboxId);
    if (port === undefined) return;
    await this.#locks.run(port.spec.networkUid, async () => {
      if (this.#findPort(sandboxId) !== undefined) await this.#unplug(port);
    });
  }

  /** True when the address is inside a subnet of the network; the name server asks. */
  hasAddress(networkUid: string, address: string): boolean {
    const record = this.#find(networkUid);
    if (record === undefined) return false;
    const number = parseIpv4(address, 'address');
    return record.subnets.some((subnet) => cidrContains(parseSubnet(subnet).cidr, number));
  }

  /**
   * Runs work that changes what else is in a network's namespace (load balancers) with the network whole and no other change at the same
   * time. `refresh` brings addresses, routes and filters in line with the record.
   */
  async withNetwork<T>(
    uid: string,
    work: (network: { readonly namespace: string; readonly refresh: () => Promise<void> }) => Promise<T>,
  ): Promise<T> {
    return await this.#locks.run(uid, async () => {
      this.#get(uid);
      await this.#ensureWhole(uid);
      return await work({
        namespace: this.#names.namespaceOf(uid),
        refresh: async () => this.#apply(uid, false),
      });
    });
  }

  /** Tenant and subnets of a network; NotFound. */
  describe(uid: string): { readonly tenantId: string; readonly subnets: readonly ParsedSubnet[] } {
    const record = this.#get(uid);
    return { tenantId: record.tenantId, subnets: record.subnets.map(parseSubnet) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Kernel objects stay: virtual machines use them while this process is away.
    await Promise.resolve();
  }

  // --- record ---

  #records(): readonly NetworkRecord[] {
    return this.#database.documents<NetworkRecord>('SELECT document FROM networks ORDER BY uid');
  }

  #find(uid: string): NetworkRecord | undefined {
    return this.#database.document<NetworkRecord>('SELECT document FROM networks WHERE uid = ?', uid);
  }

  #get(uid: string): NetworkRecord {
    const record = this.#find(uid);
    if (record === undefined) throw new PlatformError('NotFound', `network ${uid}: does not exist`);
    return record;
  }

  #portsOf(networkUid: string): readonly PortRecord[] {
    return this.#database.documents<PortRecord>(
      'SELECT document FROM ports WHERE network_uid = ? ORDER BY sandbox_id',
      networkUid,
    );
  }

  #findPort(sandboxId: string): PortRecord | undefined {
    return this.#database.document<PortRecord>('SELECT document FROM ports WHERE sandbox_id = ?', sandboxId);
  }

  #loadBalancersOf(networkUid: string): readonly LoadBalancerRecord[] {
    return this.#database.documents<LoadBalancerRecord>(
      'SELECT document FROM load_balancers WHERE network_uid = ? ORDER BY uid',
      networkUid,
    );
  }

  /** Writes the specification down; true when anything the kernel shows has changed. */
  #record(spec: NetworkSpec, before: NetworkRecord | undefined): boolean {
    if (before !== undefined) {
      this.#checkChange(before, spec);
      const after: NetworkRecord = { ...before, ...spec };
      if (JSON.stringify(after) === JSON.stringify(before)) return false;
      this.#database.run('UPDATE networks SET document = ? WHERE uid = ?', JSON.stringify(after), spec.uid);
      return JSON.stringify(after.subnets) !== JSON.stringify(before.subnets);
    }
    const taken = hostAddresses();
    this.#database.transaction(() => this.#insert(spec, taken));
    log.info({ networkUid: spec.uid, network: spec.name, tenantId: spec.tenantId }, 'network recorded');
    return true;
  }

  #insert(spec: NetworkSpec, takenAddresses: ReadonlySet<string>): void {
    const record: NetworkRecord = {
      ...spec,
      segmentId: this.#nextSegmentId(),
      uplinkIndex: this.#freeUplinkIndex(takenAddresses),
      mtu: this.#options.mtu,
    };
    try {
      this.#database.run(
        'INSERT INTO networks (uid, short_name, segment_id, uplink_index, tenant_id, document) VALUES (?, ?, ?, ?, ?, ?)',
        spec.uid,
        shortName(spec.uid),
        record.segmentId,
        record.uplinkIndex,
        spec.tenantId,
        JSON.stringify(record),
      );
    } catch (error) {
      if (!isUniqueViolation(error)) throw error;
      throw new PlatformError(
        'AlreadyExists',
        `network ${spec.uid}: another uid has the same short name; use a new uid`,
        {
          cause: error,
        },
      );
    }
  }

  #nextSegmentId(): number {
    const last = Number(this.#database.getMeta('segment-id') ?? segmentIdFirst - 1);
    if (last >= segmentIdMax)
      throw new PlatformError('Exhausted', 'network segments: all identifiers were given out');
    this.#database.setMeta('segment-id', String(last + 1));
    return last + 1;
  }

  /** A /31 that neither another network of ours nor any interface of the host has (another installation may run beside). */
  #freeUplinkIndex(takenAddresses: ReadonlySet<string>): number {
    const total = uplinkRange.size / 2;
    const used = new Set(
      this.#database.all('SELECT uplink_index FROM networks').map((row) => row['uplink_index'] as number),
    );
    const start = parseInt(shortName(this.#names.prefix), 16) % total;
    for (let step = 0; step < total; step++) {
      const index = (start + step) % total;
      const host = formatIpv4(uplinkRange.first + 2 * index);
      if (!used.has(index) && !takenAddresses.has(host)) return index;
    }
    throw new PlatformError('Exhausted', `networks: all ${total} uplinks are in use`);
  }

  #checkChange(before: NetworkRecord, spec: NetworkSpec): void {
    const what = `network "${spec.name}"`;
    if (before.tenantId !== spec.tenantId) {
      throw new PlatformError(
        'Precondition',
        `${what}: belongs to tenant ${before.tenantId}; that cannot change`,
      );
    }
    const ports = this.#portsOf(spec.uid);
    for (const old of before.subnets.map(parseSubnet)) {
      const now = spec.subnets.find((subnet) => subnet.cidr === old.spec.cidr);
      const same = now?.gateway === old.spec.gateway;
      const user = ports.find((port) => cidrContains(old.cidr, parseIpv4(port.address, 'address')));
      if (same || user === undefined) continue;
      throw new PlatformError(
        'Precondition',
        `${what}: subnet "${old.spec.name}" (${old.spec.cidr}) is used by ${formatHolder(user.spec.pod, user.spec.sandboxId)}; ` +
          'its CIDR and gateway cannot change',
      );
    }
  }

  #refuseWhileInUse(record: NetworkRecord): void {
    const ports = this.#portsOf(record.uid);
    if (ports.length > 0) {
      const holders = ports.slice(0, 5).map((port) => formatHolder(port.spec.pod, port.spec.sandboxId));
      const more = ports.length > 5 ? ` and ${ports.length - 5} more` : '';
      throw new PlatformError(
        'Precondition',
        `network "${record.name}": in use by ${holders.join(', ')}${more}`,
      );
    }
    const balancers = this.#loadBalancersOf(record.uid);
    if (balancers.length === 0) return;
    throw new PlatformError(
      'Precondition',
      `network "${record.name}": in use by load balancer ${balancers.map((balancer) => balancer.name).join(', ')}`,
    );
  }

  // --- ports ---

  #checkSamePort(before: PortRecord, spec: PortSpec): void {
    if (before.spec.networkUid !== spec.networkUid) {
      throw new PlatformError(
        'AlreadyExists',
        `port of sandbox ${spec.sandboxId}: is on network ${before.spec.networkUid} already`,
      );
    }
    if (spec.fixedAddress !== '' && spec.fixedAddress !== before.address) {
      throw new PlatformError(
        'AlreadyExists',
        `port of sandbox ${spec.sandboxId}: has address ${before.address} already`,
      );
    }
  }

  #allocatePort(record: NetworkRecord, spec: PortSpec): PortRecord {
    return this.#database.transaction(() => {
      const address = formatIpv4(this.#allocateAddress(record, spec));
      for (let attempt = 0; attempt < portNameAttemptsMax; attempt++) {
        const port: PortRecord = { spec, address, ...portNames(record.uid, spec.sandboxId, attempt) };
        if (this.#insertPort(port)) return port;
      }
      throw new PlatformError(
        'Internal',
        `port of sandbox ${spec.sandboxId}: no free name on network ${record.uid}`,
      );
    });
  }

  /** False when MAC or tap name are taken on the network. */
  #insertPort(port: PortRecord): boolean {
    const { spec } = port;
    try {
      this.#database.run(
        'INSERT INTO ports (sandbox_id, network_uid, address, mac, tap, document) VALUES (?, ?, ?, ?, ?, ?)',
        spec.sandboxId,
        spec.networkUid,
        parseIpv4(port.address, 'address'),
        port.mac,
        port.tap,
        JSON.stringify(port),
      );
      return true;
    } catch (error) {
      if (isUniqueViolation(error)) return false;
      throw error;
    }
  }

  #allocateAddress(record: NetworkRecord, spec: PortSpec): number {
    const subnets = record.subnets.map(parseSubnet);
    const used = this.#usedAddresses(record.uid);
    if (spec.fixedAddress !== '') return this.#fixedAddress(record, spec, subnets, used);
    for (const subnet of subnets) {
      const cidr = formatIpv4Cidr(subnet.cidr);
      const last = this.#database.get(
        'SELECT last FROM subnet_cursors WHERE network_uid = ? AND cidr = ?',
        record.uid,
        cidr,
      )?.['last'] as number | undefined;
      const address = nextAddress({ cidr: subnet.cidr, gateway: subnet.gateway, used, last });
      if (address === undefined) continue;
      this.#database.run(
        'INSERT INTO subnet_cursors VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET last = excluded.last',
        record.uid,
        cidr,
        address,
      );
      return address;
    }
    throw new PlatformError(
      'Exhausted',
      `network "${record.name}": no free address in ${record.subnets.map((subnet) => subnet.cidr).join(', ')}`,
    );
  }

  #fixedAddress(
    record: NetworkRecord,
    spec: PortSpec,
    subnets: readonly ParsedSubnet[],
    used: ReadonlySet<number>,
  ): number {
    const address = parseIpv4(spec.fixedAddress, 'fixed address');
    const subnet = subnets.find((candidate) => cidrContains(candidate.cidr, address));
    if (subnet === undefined) {
      throw new PlatformError(
        'Invalid',
        `fixed address ${spec.fixedAddress}: is in no subnet of network "${record.name}"`,
      );
    }
    checkFixedAddress(subnet, address);
    if (!used.has(address)) return address;
    const holder = this.#portsOf(record.uid).find((port) => port.address === spec.fixedAddress);
    throw new PlatformError(
      'AlreadyExists',
      `fixed address ${spec.fixedAddress}: is taken by ${formatHolder(holder?.spec.pod, holder?.spec.sandboxId ?? '')}`,
    );
  }

  #usedAddresses(networkUid: string): ReadonlySet<number> {
    const rows = this.#database.all('SELECT address FROM ports WHERE network_uid = ?', networkUid);
    return new Set(rows.map((row) => row['address'] as number));
  }

  async #plug(record: NetworkRecord, port: PortRecord, mayExist: boolean): Promise<void> {
    const namespace = this.#names.namespaceOf(record.uid);
    // A port's tap goes before its record does, so a new record has none: no need to look.
    const tapExists = mayExist && (await observeLinks(namespace)).has(port.tap);
    const desired = { ...portElement(port), ownerUid: port.spec.tapOwnerUid };
    await runInNamespace(namespace, planPort(desired, record.mtu, tapExists, addPortRules(port)));
  }

  async #unplug(port: PortRecord): Promise<void> {
    const namespace = this.#names.namespaceOf(port.spec.networkUid);
    if (await namespaceExists(namespace)) {
      await runInNamespace(namespace, planPortRemoval(port, removePortRules(port)));
    }
    this.#database.run('DELETE FROM ports WHERE sandbox_id = ?', port.spec.sandboxId);
  }

  // --- kernel ---

  async #ensureWhole(uid: string): Promise<void> {
    const whole = this.#whole.has(uid) && (await namespaceExists(this.#names.namespaceOf(uid)));
    if (!whole) await this.#apply(uid, false);
  }

  async #applyRecorded(uid: string): Promise<void> {
    if (this.#find(uid) !== undefined) await this.#apply(uid, false);
  }

  /** Makes the kernel match the record of one network. `fresh`: nothing of it can exist yet. */
  async #apply(uid: string, fresh: boolean): Promise<void> {
    const record = this.#get(uid);
    this.#whole.delete(uid);
    try {
      await this.#findHostRoute(record);
      const desired = this.#desired(record);
      const exists = !fresh || (await namespaceExists(desired.namespace));
      const observed = exists ? await observeNetwork(desired.namespace, desired.uplink) : nothingObserved;
      await ipBatch(planHost(desired, observed));
      await Promise.all([
        runInNamespace(desired.namespace, planNamespace(desired, observed, this.#ruleset(record, desired))),
        this.#applyHostRuleset(),
        writeHostSetting(`ipv4/conf/${desired.uplink}/rp_filter`, '1'),
        writeHostSetting(`ipv4/conf/${desired.uplink}/accept_redirects`, '0'),
        writeHostSetting(`ipv6/conf/${desired.uplink}/disable_ipv6`, '1'),
      ]);
      await this.#options.nameServer.listen(uid, desired.hostAddress);
    } catch (error) {
      const failure = toPlatformError(error, `network "${record.name}"`);
      this.#failures.set(uid, failure.message);
      throw new PlatformError('Unavailable', failure.message, { cause: error });
    }
    this.#failures.delete(uid);
    this.#whole.add(uid);
  }

  /**
   * The host can route a CIDR to one place only. Where another installation (or anybody) has the route of the default network's addresses, it is
   * left to them, and this network is masqueraded like any other.
   */
  async #findHostRoute(record: NetworkRecord): Promise<void> {
    if (record.uid !== defaultNetworkUid) return;
    const uplink = this.#names.uplinkOf(record.uid);
    const cidrs = record.subnets.map((subnet) => subnet.cidr);
    const taken = (await observeRoutes()).find(
      (route) => cidrs.includes(routeDestination(route)) && route.dev !== uplink,
    );
    if (taken === undefined) {
      this.#unrouted.delete(record.uid);
      return;
    }
    this.#unrouted.set(record.uid, taken.dev ?? 'another device');
    log.warn(
      { networkUid: record.uid, route: taken.dst, device: taken.dev },
      'host routes the network elsewhere',
    );
  }

  /** CIDRs of the network that the host routes to it. */
  #hostRoutedCidrs(record: NetworkRecord): readonly string[] {
    const routed = record.uid === defaultNetworkUid && !this.#unrouted.has(record.uid);
    return routed ? record.subnets.map((subnet) => subnet.cidr) : [];
  }

  #uplinkView(record: NetworkRecord) {
    const host = uplinkRange.first + 2 * record.uplinkIndex;
    return {
      uplink: this.#names.uplinkOf(record.uid),
      hostAddress: formatIpv4(host),
      namespaceAddress: formatIpv4(host + 1),
      externalAddresses: this.#loadBalancersOf(record.uid).flatMap((balancer) => balancer.addresses),
    };
  }

  #desired(record: NetworkRecord): DesiredNetwork {
    const subnets = record.subnets.map(parseSubnet);
    const view = this.#uplinkView(record);
    return {
      ...view,
      uid: record.uid,
      namespace: this.#names.namespaceOf(record.uid),
      mtu: record.mtu,
      gateways: subnets.map((subnet) => `${formatIpv4(subnet.gateway)}/${subnet.cidr.prefixLength}`),
      hostRoutes: [
        ...this.#hostRoutedCidrs(record),
        ...view.externalAddresses.map((address) => `${address}/32`),
      ],
      ports: this.#portsOf(record.uid).map((port) => ({
        ...portElement(port),
        ownerUid: port.spec.tapOwnerUid,
      })),
    };
  }

  #ruleset(record: NetworkRecord, desired: DesiredNetwork): string {
    return namespaceRuleset({
      subnetCidrs: record.subnets.map((subnet) => subnet.cidr),
      gateways: record.subnets.map((subnet) => subnet.gateway),
      hostAddress: desired.hostAddress,
      hostReachable: this.#hostRoutedCidrs(record).length > 0,
      ports: desired.ports,
      loadBalancers: this.#loadBalancersOf(record.uid),
    });
  }

  async #applyHostRuleset(): Promise<void> {
    await this.#locks.run('host ruleset', async () => {
      const networks = this.#records().map((record) => ({
        ...this.#uplinkView(record),
        podCidrs: this.#hostRoutedCidrs(record),
        reachesHostServices: record.uid === defaultNetworkUid,
      }));
      await nft(
        hostRuleset({
          table: this.#names.hostTable,
          uplinkPattern: `${this.#names.prefix}u*`,
          networks,
          hostServicePorts: this.#options.hostServicePorts,
        }),
      );
    });
  }

  async #prepareHost(): Promise<void> {
    // Remembered, so that a purge leaves the host as it was found.
    if (this.#database.getMeta(namespaceFolderBefore) === undefined) {
      this.#database.setMeta(namespaceFolderBefore, existsSync('/run/netns') ? 'present' : 'absent');
    }
    const before = await readHostSetting('ipv4/ip_forward');
    if (before === '1') return;
    if (before !== undefined) this.#database.setMeta(forwardingBefore, before);
    await writeHostSetting('ipv4/ip_forward', '1');
  }

  async #removeKernelObjects(uid: string): Promise<void> {
    const namespace = this.#names.namespaceOf(uid);
    const uplink = this.#names.uplinkOf(uid);
    const links = await observeLinks();
    // The uplink first: a namespace that a process still holds lives on after its name is gone.
    if (links.has(uplink)) await ip(['link', 'delete', 'dev', uplink]);
    if (await namespaceExists(namespace)) await ip(['netns', 'delete', namespace]);
  }

  /** Removes namespaces and uplinks of this instance that are not on record: half-made or half-deleted networks. */
  async #sweepStrangers(): Promise<void> {
    const records = this.#records();
    const namespaces = new Set(records.map((record) => this.#names.namespaceOf(record.uid)));
    const uplinks = new Set(records.map((record) => this.#names.uplinkOf(record.uid)));
    for (const link of (await observeLinks()).keys()) {
      if (this.#names.isUplink(link) && !uplinks.has(link)) await ip(['link', 'delete', 'dev', link]);
    }
    for (const name of await listNamespaces()) {
      if (this.#names.isNamespace(name) && !namespaces.has(name)) await ip(['netns', 'delete', name]);
    }
  }

  // --- answers ---

  #toNetwork(record: NetworkRecord): Network {
    const failure = this.#failures.get(record.uid);
    const whole = this.#whole.has(record.uid);
    const used = this.#usedAddresses(record.uid);
    return {
      uid: record.uid,
      name: record.name,
      tenantId: record.tenantId,
      subnets: record.subnets.map((subnet) => subnetStatus(parseSubnet(subnet), used)),
      providerId: this.#names.namespaceOf(record.uid),
      state: whole ? 'Active' : failure === undefined ? 'Pending' : 'Failed',
      message: whole ? this.#remark(record) : (failure ?? 'not made yet'),
      hostReachable: this.#hostRoutedCidrs(record).length > 0,
      mtu: record.mtu,
    };
  }

  #remark(record: NetworkRecord): string {
    const device = this.#unrouted.get(record.uid);
    return device === undefined ? '' : `not reachable from the host, which routes its addresses to ${device}`;
  }

  #toPort(record: NetworkRecord, port: PortRecord): Port {
    const address = parseIpv4(port.address, 'address');
    const subnet = record.subnets.map(parseSubnet).find((candidate) => cidrContains(candidate.cidr, address));
    if (subnet === undefined) {
      throw new PlatformError(
        'Internal',
        `port of sandbox ${port.spec.sandboxId}: ${port.address} is in no subnet`,
      );
    }
    const { spec } = subnet;
    return {
      sandboxId: port.spec.sandboxId,
      networkUid: record.uid,
      tenantId: record.tenantId,
      providerId: port.tap,
      mac: port.mac,
      addresses: [`${port.address}/${subnet.cidr.prefixLength}`],
      gateway: spec.gateway,
      routes: spec.hostRoutes,
      dnsServers: spec.dnsServers.length > 0 ? spec.dnsServers : [spec.gateway],
      mtu: record.mtu,
      tap: { networkNamespace: namespacePath(this.#names.namespaceOf(record.uid)), name: port.tap },
      pod: port.spec.pod,
    };
  }
}

function portElement(port: PortRecord): PortElement {
  return { tap: port.tap, mac: port.mac, address: port.address };
}

function subnetStatus(subnet: ParsedSubnet, used: ReadonlySet<number>): SubnetStatus {
  const usedHere = [...used].filter((address) => cidrContains(subnet.cidr, address)).length;
  return {
    subnet: subnet.spec,
    providerId: formatIpv4Cidr(subnet.cidr),
    addressesUsed: usedHere,
    addressesFree: usableAddresses(subnet.cidr) - usedHere,
  };
}

/** Addresses of the interfaces that are up, without starting a program. */
function hostAddresses(): ReadonlySet<string> {
  return new Set(
    Object.values(networkInterfaces()).flatMap((addresses) =>
      (addresses ?? []).map((entry) => entry.address),
    ),
  );
}
