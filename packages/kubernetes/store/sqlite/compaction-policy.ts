import type { Clock } from '@hypernetes/foundation/lifecycle';

interface Mark {
  readonly atMs: number;
  readonly revision: number;
}

/** Decides how far history may be forgotten: what is older than keepMs, and whatever exceeds keepRevisions. */
export class CompactionPolicy {
  readonly #keep: { readonly keepMs: number; readonly keepRevisions: number };
  readonly #clock: Clock;
  /** Which revision was current when; oldest first, at most about a hundred. */
  #marks: Mark[] = [];
  #lastTarget = 0;

  constructor(keep: { readonly keepMs: number; readonly keepRevisions: number }, clock: Clock) {
    this.#keep = keep;
    this.#clock = clock;
  }

  /** Tells the current revision; true when so much history has gathered that `target` should be applied now. */
  observe(revision: number): boolean {
    const atMs = this.#clock.now();
    const last = this.#marks.at(-1);
    if (last === undefined || atMs - last.atMs >= this.#keep.keepMs / 50)
      this.#marks.push({ atMs, revision });
    // An eighth beyond the limit, so that compaction comes in pieces worth a transaction.
    return revision - this.#lastTarget > this.#keep.keepRevisions * 1.125;
  }

  /** The revision to compact to. */
  target(revision: number): number {
    const oldEnough = this.#clock.now() - this.#keep.keepMs;
    const index = this.#marks.findLastIndex((mark) => mark.atMs <= oldEnough);
    const byAge = this.#marks[index]?.revision ?? 0;
    if (index > 0) this.#marks = this.#marks.slice(index);
    this.#lastTarget = Math.max(this.#lastTarget, byAge, revision - this.#keep.keepRevisions);
    return this.#lastTarget;
  }
}
