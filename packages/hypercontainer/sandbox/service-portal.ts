import { isPlatformError, toPlatformError } from '@hypernetes/foundation/errors';
import { backoffDelayMs, sleep } from '@hypernetes/foundation/lifecycle';
import type { Logger } from '@hypernetes/foundation/logging';
import {
  VirtualServiceKey_Protocol,
  type UpdateServices,
  type VirtualService,
  type VirtualServiceKey,
} from '@hypernetes/proto/hyperstart';
import type { Service, ServiceTableEvent } from '@hypernetes/proto/kubestack';
import type { GuestAgent } from '../guest-agent/index.ts';
import type { PodInfrastructure } from './infrastructure.ts';

const updateTimeoutMs = 20_000;
const retryMaxMs = 5_000;
/** Virtual services plus real servers in one message: far below the frame limit. */
const messageItemsMax = 8_000;

type Table = Map<string, VirtualService>;

/** One change of a table: the new state, or the key of what is gone. */
type Change = { readonly upsert: VirtualService } | { readonly removal: VirtualServiceKey };

const protocolNumbers: Readonly<Record<string, VirtualServiceKey_Protocol>> = {
  TCP: VirtualServiceKey_Protocol.TCP,
  UDP: VirtualServiceKey_Protocol.UDP,
  SCTP: VirtualServiceKey_Protocol.SCTP,
};

/** What one Service means to a guest: a virtual service per cluster address and port. Pure. */
export function virtualServicesOf(service: Service): VirtualService[] {
  return service.clusterIps.flatMap((address) =>
    service.ports.flatMap((port) => {
      const protocol = protocolNumbers[port.protocol];
      if (protocol === undefined) return [];
      return [
        {
          key: { address, port: port.port, protocol },
          servers: port.targets.map((target) => ({ ...target, weight: 1 })),
          affinityTimeoutS: service.affinityTimeoutS,
        },
      ];
    }),
  );
}

/** Pure. What must change so that `before` becomes `after`; equal entries are left alone. */
export function planChanges(
  before: ReadonlyMap<string, VirtualService>,
  after: ReadonlyMap<string, VirtualService>,
): Map<string, Change> {
  const changes = new Map<string, Change>();
  for (const [name, service] of after) {
    const present = before.get(name);
    if (present === undefined || JSON.stringify(present) !== JSON.stringify(service))
      changes.set(name, { upsert: service });
  }
  for (const [name, { key }] of before)
    if (key !== undefined && !after.has(name)) changes.set(name, { removal: key });
  return changes;
}

/** Pure. Changes as messages no frame is too small for; the first of a full table says so. */
export function updateMessages(
  changes: Iterable<Change>,
  base: bigint | undefined,
  nextGeneration: () => bigint,
): UpdateServices[] {
  const batches: Change[][] = [[]];
  let items = 0;
  for (const change of changes) {
    items += 1 + ('upsert' in change ? change.upsert.servers.length : 0);
    if (items > messageItemsMax) {
      batches.push([]);
      items = 0;
    }
    batches.at(-1)?.push(change);
  }
  let previous = base ?? 0n;
  return batches.map((batch, index) => {
    const message: UpdateServices = {
      baseGeneration: previous,
      generation: nextGeneration(),
      full: base === undefined && index === 0,
      upserts: batch.flatMap((change) => ('upsert' in change ? [change.upsert] : [])),
      removals: batch.flatMap((change) => ('removal' in change ? [change.removal] : [])),
    };
    previous = message.generation;
    return message;
  });
}

function nameOf(key: VirtualServiceKey | undefined): string {
  return key === undefined ? '' : `${key.protocol}/${key.address}/${key.port}`;
}

/** Programs the service tables of networks into the guests on them: each guest hears what changed, once. */
export class ServicePortals implements AsyncDisposable {
  readonly #infrastructure: PodInfrastructure;
  readonly #log: Logger;
  readonly #networks = new Map<string, NetworkPortal>();

  constructor(infrastructure: PodInfrastructure, log: Logger) {
    this.#infrastructure = infrastructure;
    this.#log = log;
  }

  join(networkUid: string, sandboxId: string, agent: GuestAgent): void {
    let network = this.#networks.get(networkUid);
    if (network === undefined) {
      network = new NetworkPortal(networkUid, this.#infrastructure, this.#log);
      this.#networks.set(networkUid, network);
    }
    network.join(sandboxId, agent);
  }

  leave(networkUid: string, sandboxId: string): void {
    const network = this.#networks.get(networkUid);
    if (network?.leave(sandboxId) !== 0) return;
    this.#networks.delete(networkUid);
    network.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const network of this.#networks.values()) network.stop();
    this.#networks.clear();
    await Promise.resolve();
  }
}

interface Member {
  readonly agent: GuestAgent;
  /** What the guest's table is at; undefined: not known, the whole table is sent. */
  generation: bigint | undefined;
  pending: Map<string, Change>;
  busy: boolean;
}

class NetworkPortal {
  readonly #uid: string;
  readonly #infrastructure: PodInfrastructure;
  readonly #log: Logger;
  readonly #abort = new AbortController();
  readonly #members = new Map<string, Member>();
  readonly #services = new Map<string, VirtualService[]>();
  /** undefined until the first whole table has come. */
  #table: Table | undefined;
  // Rising over restarts of this process too: a guest never takes an old table for a new one.
  #generation = BigInt(Date.now()) * 1000n;

  constructor(uid: string, infrastructure: PodInfrastructure, log: Logger) {
    this.#uid = uid;
    this.#infrastructure = infrastructure;
    this.#log = log;
    void this.#watch();
  }

  join(sandboxId: string, agent: GuestAgent): void {
    const member: Member = { agent, generation: undefined, pending: new Map(), busy: false };
    this.#members.set(sandboxId, member);
    void this.#pump(sandboxId, member);
  }

  /** Answers how many are left. */
  leave(sandboxId: string): number {
    this.#members.delete(sandboxId);
    return this.#members.size;
  }

  stop(): void {
    this.#abort.abort();
    this.#members.clear();
  }

  async #watch(): Promise<void> {
    const signal = this.#abort.signal;
    for (let failures = 0; !signal.aborted; failures++) {
      try {
        for await (const event of this.#infrastructure.watchServices(this.#uid, signal)) {
          failures = 0;
          this.#apply(event);
        }
      } catch (error) {
        const { message } = toPlatformError(error);
        if (failures === 0) this.#log.warn({ networkUid: this.#uid, message }, 'service table watch ended');
      }
      await sleep(backoffDelayMs(failures, 100, retryMaxMs), signal).catch(() => undefined);
    }
  }

  #apply(event: ServiceTableEvent): void {
    const before = this.#table ?? new Map<string, VirtualService>();
    if (event.full) this.#services.clear();
    for (const { namespace, name } of event.removals) this.#services.delete(`${namespace}/${name}`);
    for (const service of event.upserts)
      this.#services.set(
        `${service.key?.namespace ?? ''}/${service.key?.name ?? ''}`,
        virtualServicesOf(service),
      );
    this.#table = new Map([...this.#services.values()].flat().map((entry) => [nameOf(entry.key), entry]));
    const changes = planChanges(before, this.#table);
    for (const [sandboxId, member] of this.#members) {
      for (const [name, change] of changes) member.pending.set(name, change);
      void this.#pump(sandboxId, member);
    }
  }

  async #pump(sandboxId: string, member: Member): Promise<void> {
    if (member.busy) return;
    member.busy = true;
    for (let failures = 0; this.#isDue(sandboxId, member);) {
      try {
        await this.#send(member);
        failures = 0;
      } catch (error) {
        // Whatever the guest has now: the next message carries the whole table.
        member.generation = undefined;
        failures += 1;
        if (!isPlatformError(error, 'Precondition'))
          this.#log.warn(
            { sandboxId, message: toPlatformError(error).message },
            'service table was not taken',
          );
        await sleep(backoffDelayMs(failures, 50, retryMaxMs), this.#abort.signal).catch(() => undefined);
      }
    }
    member.busy = false;
  }

  #isDue(sandboxId: string, member: Member): boolean {
    const known = this.#table !== undefined && this.#members.get(sandboxId) === member;
    return (
      known && !this.#abort.signal.aborted && (member.generation === undefined || member.pending.size > 0)
    );
  }

  async #send(member: Member): Promise<void> {
    const whole = [...(this.#table ?? [])].map(([, upsert]) => ({ upsert }));
    const changes = member.generation === undefined ? whole : [...member.pending.values()];
    member.pending = new Map();
    for (const message of updateMessages(changes, member.generation, () => ++this.#generation)) {
      await member.agent.request(
        { $case: 'updateServices', value: message },
        { timeoutMs: updateTimeoutMs, signal: this.#abort.signal },
      );
      member.generation = message.generation;
    }
  }
}
