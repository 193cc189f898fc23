import { Duplex } from 'node:stream';

class End extends Duplex {
  other: End | undefined;
  #taken: (() => void) | undefined;

  override _read(): void {
    const taken = this.#taken;
    this.#taken = undefined;
    taken?.();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: () => void): void {
    this.other?.deliver(chunk, callback);
  }

  override _final(callback: () => void): void {
    this.other?.deliver(null, callback);
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    const { other } = this;
    this.#taken?.();
    if (other !== undefined) setImmediate(() => other.destroy());
    callback(error);
  }

  deliver(chunk: Buffer | null, taken: () => void): void {
    if (this.destroyed) taken();
    else if (this.push(chunk) || chunk === null) taken();
    else this.#taken = taken;
  }
}

/** Two ends of a connection in memory, with back-pressure and small buffers. */
export function duplexPair(): [Duplex, Duplex] {
  const [a, b] = [new End(), new End()];
  a.other = b;
  b.other = a;
  return [a, b];
}
