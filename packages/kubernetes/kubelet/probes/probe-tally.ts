/** Counts equal results in a row against a probe's thresholds. */
export class ProbeTally {
  readonly #successThreshold: number;
  readonly #failureThreshold: number;
  #last: boolean | undefined;
  #inARow = 0;

  constructor(thresholds: { readonly successThreshold?: number; readonly failureThreshold?: number }) {
    this.#successThreshold = thresholds.successThreshold ?? 1;
    this.#failureThreshold = thresholds.failureThreshold ?? 3;
  }

  /** The verdict this result brings: true or false once enough agree, undefined as long as the former verdict holds. */
  record(ok: boolean): boolean | undefined {
    this.#inARow = ok === this.#last ? this.#inARow + 1 : 1;
    this.#last = ok;
    const enough = ok ? this.#successThreshold : this.#failureThreshold;
    return this.#inARow >= enough ? ok : undefined;
  }
}
