import type { Clock } from '@hypernetes/foundation/lifecycle';

/** After this long a change that never came through the watch is given up on. */
const patienceMs = 60_000;

/**
 * Objects a controller made or deleted for an owner and has not seen in its own copy yet. While there are any, the copy must not be counted by: that
 * would make or delete them twice.
 */
export class UnseenChanges {
  readonly #clock: Clock;
  // owner key -> uid -> deadline
  readonly #created = new Map<string, Map<string, number>>();
  readonly #deleted = new Map<string, Map<string, number>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  created(owner: string, uid: string | undefined): void {
    this.#note(this.#created, owner, uid);
  }

  deleted(owner: string, uid: string | undefined): void {
    this.#note(this.#deleted, owner, uid);
  }

  /** Whether the copy shows everything that was done; `alive` are the uids in it that are not being deleted, `known` all. */
  settled(owner: string, known: ReadonlySet<string>, alive: ReadonlySet<string>): boolean {
    const open =
      this.#forget(this.#created, owner, (uid) => known.has(uid)) +
      this.#forget(this.#deleted, owner, (uid) => !alive.has(uid));
    return open === 0;
  }

  /** An object went away: one that was made and deleted again between two looks is settled too. */
  gone(uid: string | undefined): void {
    if (uid === undefined) return;
    for (const uids of this.#created.values()) uids.delete(uid);
  }

  forgetOwner(owner: string): void {
    this.#created.delete(owner);
    this.#deleted.delete(owner);
  }

  #note(map: Map<string, Map<string, number>>, owner: string, uid: string | undefined): void {
    if (uid === undefined) return;
    const uids = map.get(owner) ?? new Map<string, number>();
    uids.set(uid, this.#clock.now() + patienceMs);
    map.set(owner, uids);
  }

  #forget(map: Map<string, Map<string, number>>, owner: string, seen: (uid: string) => boolean): number {
    const uids = map.get(owner);
    if (uids === undefined) return 0;
    for (const [uid, deadline] of uids) if (seen(uid) || deadline < this.#clock.now()) uids.delete(uid);
    if (uids.size === 0) map.delete(owner);
    return uids.size;
  }
}
