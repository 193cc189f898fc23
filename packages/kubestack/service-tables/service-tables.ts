import type { Service, ServiceKey, ServiceTableEvent } from '@hypernetes/proto/kubestack';
import { PlatformError } from '@hypernetes/foundation/errors';
import { Broadcast, type StateDatabase } from '../state/index.ts';

/** Services of one network, at most: bounds memory and the first event of a watch. */
const servicesMax = 20_000;

export interface ServiceChange {
  readonly networkUid: string;
  /** The whole table: what is not in it goes away. */
  readonly full: boolean;
  readonly upserts: readonly Service[];
  readonly removals: readonly ServiceKey[];
}

interface Table {
  generation: number;
  readonly services: Map<string, Service>;
  readonly changes: Broadcast<ServiceTableEvent>;
}

function keyOf(key: ServiceKey | undefined): string {
  return `${key?.namespace ?? ''}/${key?.name ?? ''}`;
}

function sameService(a: Service | undefined, b: Service): boolean {
  return a !== undefined && JSON.stringify(a) === JSON.stringify(b);
}

/** What really changes in a table: upserts that differ from what is there, removals of what is there. */
export function planServiceChange(
  present: ReadonlyMap<string, Service>,
  change: Omit<ServiceChange, 'networkUid'>,
): { readonly upserts: readonly Service[]; readonly removals: readonly ServiceKey[] } {
  const wanted = new Map(change.upserts.map((service) => [keyOf(service.key), service]));
  const gone = change.full
    ? [...present.values()].flatMap((service) => (service.key === undefined ? [] : [service.key]))
    : change.removals;
  const removals = new Map(gone.map((key) => [keyOf(key), key]));
  return {
    upserts: [...wanted]
      .filter(([key, service]) => !sameService(present.get(key), service))
      .map(([, service]) => service),
    removals: [...removals].filter(([key]) => present.has(key) && !wanted.has(key)).map(([, key]) => key),
  };
}

/** The service table of each network: durable before a change is answered, watched by hyperd and read by the name server. */
export class ServiceTables implements Disposable {
  readonly #database: StateDatabase;
  readonly #tables = new Map<string, Table>();

  constructor(database: StateDatabase) {
    this.#database = database;
  }

  /** The generation the table has with the change; a change that changes nothing makes no new one. Exhausted: too many. */
  apply(change: ServiceChange): number {
    const table = this.#table(change.networkUid);
    const { upserts, removals } = planServiceChange(table.services, change);
    if (upserts.length === 0 && removals.length === 0) return table.generation;
    if (table.services.size + upserts.length - removals.length > servicesMax) {
      throw new PlatformError(
        'Exhausted',
        `service table of network ${change.networkUid}: more than ${servicesMax} services`,
      );
    }
    const base = table.generation;
    this.#write(change.networkUid, base + 1, upserts, removals);
    for (const key of removals) table.services.delete(keyOf(key));
    for (const service of upserts) table.services.set(keyOf(service.key), service);
    table.generation = base + 1;
    table.changes.send({
      generation: BigInt(base + 1),
      baseGeneration: BigInt(base),
      full: false,
      upserts: [...upserts],
      removals: [...removals],
    });
    return table.generation;
  }

  /** The whole table, then each change; the whole again for a reader that fell behind. */
  watch(networkUid: string, signal: AbortSignal): AsyncIterable<ServiceTableEvent> {
    const table = this.#table(networkUid);
    return table.changes.subscribe(signal, () => [
      {
        generation: BigInt(table.generation),
        baseGeneration: 0n,
        full: true,
        upserts: [...table.services.values()],
        removals: [],
      },
    ]);
  }

  /** The present table; `generation` tells whether something made from it is still right. */
  read(networkUid: string): { readonly generation: number; readonly services: ReadonlyMap<string, Service> } {
    return this.#table(networkUid);
  }

  /** Forgets the table of a network that is gone, and ends its watches. */
  forget(networkUid: string): void {
    this.#tables.get(networkUid)?.changes.close();
    this.#tables.delete(networkUid);
    this.#database.transaction(() => {
      this.#database.run('DELETE FROM services WHERE network_uid = ?', networkUid);
      this.#database.run('DELETE FROM service_generations WHERE network_uid = ?', networkUid);
    });
  }

  /** Ends every watch. */
  [Symbol.dispose](): void {
    for (const table of this.#tables.values()) table.changes.close();
  }

  #table(networkUid: string): Table {
    let table = this.#tables.get(networkUid);
    if (table === undefined) {
      const services = this.#database.documents<Service>(
        'SELECT document FROM services WHERE network_uid = ?',
        networkUid,
      );
      const row = this.#database.get(
        'SELECT generation FROM service_generations WHERE network_uid = ?',
        networkUid,
      );
      table = {
        generation: Number(row?.['generation'] ?? 0),
        services: new Map(services.map((service) => [keyOf(service.key), service])),
        changes: new Broadcast(),
      };
      this.#tables.set(networkUid, table);
    }
    return table;
  }

  #write(
    networkUid: string,
    generation: number,
    upserts: readonly Service[],
    removals: readonly ServiceKey[],
  ): void {
    this.#database.transaction(() => {
      for (const { namespace, name } of removals) {
        this.#database.run(
          'DELETE FROM services WHERE network_uid = ? AND namespace = ? AND name = ?',
          networkUid,
          namespace,
          name,
        );
      }
      for (const service of upserts) {
        this.#database.run(
          'INSERT INTO services VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET document = excluded.document',
          networkUid,
          service.key?.namespace ?? '',
          service.key?.name ?? '',
          JSON.stringify(service),
        );
      }
      this.#database.run(
        'INSERT INTO service_generations VALUES (?, ?) ON CONFLICT DO UPDATE SET generation = excluded.generation',
        networkUid,
        generation,
      );
    });
  }
}
