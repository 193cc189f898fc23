import { toPlatformError } from '@hypernetes/foundation/errors';
import { createLogger } from '@hypernetes/foundation/logging';
import {
  parseKey,
  resources,
  type EndpointSlice,
  type Informer,
  type Namespace,
  type Network,
  type Service,
} from '../../client/index.ts';
import { serviceNameLabel } from '../endpointslice/endpointslice-plan.ts';
import { createQueue, type Controller, type ControllerContext } from '../machinery/controller.ts';
import { defaultNetworkUid, networkUidOf, PodNetworks } from './pod-networks.ts';
import { dnsServiceKey, serviceEntry } from './service-entry.ts';
import type { Service as ServiceEntry } from '@hypernetes/proto/kubestack';

const log = createLogger('kubernetes:service-tables');

/** What went over the wire: a change of one Service must cost one entry, however many there are. */
export interface ServiceTableTraffic {
  fullTables: number;
  upserts: number;
  removals: number;
}

interface Table {
  /** Entries as sent, by Service key, in JSON; undefined: the whole table has to be sent. */
  sent: Map<string, string> | undefined;
  /** Services that may have changed since. */
  dirty: Set<string>;
}

/** Writes the service table of every network: whole once after each connect, then only what changed. */
export function startServiceTablesController(
  context: ControllerContext,
): Controller & { readonly traffic: Readonly<ServiceTableTraffic> } {
  return new ServiceTablesController(context);
}

class ServiceTablesController implements AsyncDisposable {
  readonly traffic: ServiceTableTraffic = { fullTables: 0, upserts: 0, removals: 0 };
  readonly #context: ControllerContext;
  readonly #services: Informer<Service>;
  readonly #slices: Informer<EndpointSlice>;
  readonly #networks: Informer<Network>;
  readonly #podNetworks: PodNetworks;
  readonly #tables = new Map<string, Table>();
  readonly #queue: ReturnType<typeof createQueue>;

  constructor(context: ControllerContext) {
    const { informers, kubestack } = context;
    this.#context = context;
    this.#services = informers.of<Service>(resources.services);
    this.#slices = informers.of<EndpointSlice>(resources.endpointSlices);
    this.#networks = informers.of<Network>(resources.networks);
    const namespaces = informers.of<Namespace>(resources.namespaces);
    this.#podNetworks = new PodNetworks(informers);
    this.#queue = createQueue(context, 'service-tables', (uid) => this.#reconcile(uid), {
      maxDelayMs: 5_000,
    });
    this.#services.onChange(({ key }) => this.#touch(key));
    this.#slices.onChange(({ old, current }) => {
      for (const slice of [old, current]) {
        const name = slice?.metadata.labels?.[serviceNameLabel];
        if (name !== undefined) this.#touch(`${slice?.metadata.namespace ?? ''}/${name}`);
      }
    });
    namespaces.onChange(({ key, old, current }) => {
      const uidOf = (namespace: Namespace | undefined): string | undefined =>
        namespace === undefined ? undefined : networkUidOf(namespace, (name) => this.#networks.get(name));
      if (uidOf(old) === uidOf(current)) return;
      const uids = [uidOf(old), uidOf(current)].filter((uid) => uid !== undefined);
      for (const service of this.#services.byIndex('namespace', key)) {
        for (const uid of uids) this.#touchOn(uid, `${key}/${service.metadata.name}`);
      }
    });
    this.#networks.onChange(({ old, current }) => this.#onNetwork(old, current));
    kubestack.onConnected(() => {
      for (const { uid } of this.#podNetworks.all()) this.#renew(uid);
    });
    this.#renew(defaultNetworkUid);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#queue[Symbol.asyncDispose]();
  }

  #onNetwork(old: Network | undefined, current: Network | undefined): void {
    const uid = (current ?? old)?.metadata.uid;
    if (uid === undefined) return;
    if (current === undefined) {
      this.#tables.delete(uid);
    } else if (old?.status?.phase !== 'Active' && current.status?.phase === 'Active') {
      this.#renew(uid);
    }
  }

  #renew(uid: string): void {
    this.#tables.set(uid, { sent: undefined, dirty: new Set() });
    this.#queue.add(uid);
  }

  #touch(key: string): void {
    if (key === dnsServiceKey) {
      for (const uid of this.#tables.keys()) this.#touchOn(uid, key);
      return;
    }
    const uid = this.#podNetworks.uidOf(parseKey(key).namespace ?? '');
    // The namespace may have come later than its service: its own event touches all of it.
    if (uid !== undefined) this.#touchOn(uid, key);
  }

  #touchOn(uid: string, key: string): void {
    const table = this.#tables.get(uid);
    if (table === undefined) return;
    table.dirty.add(key);
    this.#queue.add(uid);
  }

  async #reconcile(uid: string): Promise<undefined> {
    const table = this.#tables.get(uid);
    if (table === undefined) return undefined;
    // A network that is not made yet has no table; becoming Active renews it.
    if (uid !== defaultNetworkUid && this.#networks.byIndex('uid', uid)[0]?.status?.phase !== 'Active')
      return undefined;
    const dirty = [...table.dirty];
    table.dirty.clear();
    try {
      if (table.sent === undefined) await this.#sendAll(uid, table);
      else await this.#sendChanges(uid, table, table.sent, dirty);
    } catch (error) {
      // Whether it arrived is unknown: start over from the whole table.
      if (this.#tables.get(uid) === table) table.sent = undefined;
      throw toPlatformError(error, `service table of network ${uid}`);
    }
    return undefined;
  }

  #entry(uid: string, key: string): ServiceEntry | undefined {
    const service = this.#services.get(key);
    if (service === undefined) return undefined;
    const { namespace = '' } = service.metadata;
    if (key !== dnsServiceKey && this.#podNetworks.uidOf(namespace) !== uid) return undefined;
    return serviceEntry(service, this.#slices.byIndex('service', key), this.#podNetworks.gatewayOf(uid));
  }

  async #sendAll(uid: string, table: Table): Promise<void> {
    const upserts: ServiceEntry[] = [];
    const sent = new Map<string, string>();
    const keys = new Set([dnsServiceKey]);
    for (const namespace of this.#podNetworks.namespacesOn(uid)) {
      for (const { metadata } of this.#services.byIndex('namespace', namespace))
        keys.add(`${namespace}/${metadata.name}`);
    }
    for (const key of keys) {
      const entry = this.#entry(uid, key);
      if (entry === undefined) continue;
      upserts.push(entry);
      sent.set(key, JSON.stringify(entry));
    }
    await this.#context.kubestack.applyServices({ networkUid: uid, full: true, upserts, removals: [] });
    table.sent = sent;
    this.#count({ full: true, upserts: upserts.length, removals: 0 }, uid);
  }

  async #sendChanges(
    uid: string,
    table: Table,
    sent: Map<string, string>,
    dirty: readonly string[],
  ): Promise<void> {
    const upserts: ServiceEntry[] = [];
    const removed: string[] = [];
    const changed = new Map<string, string>();
    for (const key of dirty) {
      const entry = this.#entry(uid, key);
      const json = entry === undefined ? undefined : JSON.stringify(entry);
      if (json === sent.get(key)) continue;
      if (entry === undefined || json === undefined) {
        removed.push(key);
      } else {
        upserts.push(entry);
        changed.set(key, json);
      }
    }
    if (upserts.length + removed.length === 0) return;
    const removals = removed.map(parseKey).map(({ namespace = '', name }) => ({ namespace, name }));
    await this.#context.kubestack.applyServices({ networkUid: uid, full: false, upserts, removals });
    for (const key of removed) sent.delete(key);
    for (const [key, json] of changed) sent.set(key, json);
    this.#count({ full: false, upserts: upserts.length, removals: removals.length }, uid);
  }

  #count(sent: { full: boolean; upserts: number; removals: number }, uid: string): void {
    if (sent.full) this.traffic.fullTables += 1;
    this.traffic.upserts += sent.upserts;
    this.traffic.removals += sent.removals;
    log.debug({ network: uid, ...sent }, 'service table written');
  }
}
