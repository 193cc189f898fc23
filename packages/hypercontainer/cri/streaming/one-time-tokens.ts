import { randomBytes } from 'node:crypto';
import { PlatformError } from '@hypernetes/foundation/errors';
import { systemClock, type Clock } from '@hypernetes/foundation/lifecycle';

const tokensMax = 1_000;
const lifetimeMs = 60_000;

/** Requests waiting to be fetched by who knows their token: 256 random bits, good once, for a minute. */
export class OneTimeTokens<Request> {
  readonly #waiting = new Map<string, { readonly request: Request; readonly expiresAt: number }>();
  readonly #clock: Clock;

  constructor(clock: Clock = systemClock) {
    this.#clock = clock;
  }

  add(request: Request): string {
    this.#dropExpired();
    if (this.#waiting.size >= tokensMax) {
      throw new PlatformError(
        'Exhausted',
        `streaming: ${tokensMax} requests wait for their connection; try again`,
      );
    }
    const token = randomBytes(32).toString('base64url');
    this.#waiting.set(token, { request, expiresAt: this.#clock.now() + lifetimeMs });
    return token;
  }

  /** The request, once; undefined for a token that is unknown, used or too old. */
  take(token: string): Request | undefined {
    this.#dropExpired();
    const found = this.#waiting.get(token);
    this.#waiting.delete(token);
    return found?.request;
  }

  #dropExpired(): void {
    // In order of age, as they were added.
    for (const [token, { expiresAt }] of this.#waiting) {
      if (expiresAt > this.#clock.now()) return;
      this.#waiting.delete(token);
    }
  }
}
