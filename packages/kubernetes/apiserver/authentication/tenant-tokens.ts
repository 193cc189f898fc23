import { createHash } from 'node:crypto';
import { credentials } from '@grpc/grpc-js';
import { isPlatformError } from '@hypernetes/foundation/errors';
import { callUnary, clientOptions, unixAddress } from '@hypernetes/foundation/grpc';
import type { Clock } from '@hypernetes/foundation/lifecycle';
import { IdentityClient } from '@hypernetes/proto/kubestack';
import { groupNames, tenantExtraKey, type UserInfo } from './user.ts';

/** What the identity service says of a token. */
export interface TokenIdentity {
  readonly userId: string;
  readonly userName: string;
  readonly tenantId: string;
  readonly roles: readonly string[];
  /** Seconds since the epoch; 0: never. */
  readonly expiresAtS: number;
}

/** Asks the identity service; Unauthenticated for a token it does not know. */
export interface IdentityService extends Disposable {
  authenticate(token: string): Promise<TokenIdentity>;
}

const callTimeoutMs = 3_000;

/** kubestack.v1 Identity over its unix socket. */
export function connectIdentityService(socketPath: string): IdentityService {
  const client = new IdentityClient(unixAddress(socketPath), credentials.createInsecure(), clientOptions);
  return {
    authenticate: async (token) => {
      const answer = await callUnary(client.authenticateToken.bind(client), { token }, callTimeoutMs);
      return { ...answer, expiresAtS: Number(answer.expiresAtS) };
    },
    [Symbol.dispose]: () => client.close(),
  };
}

interface Known {
  /** Undefined: the service said no. */
  readonly identity: TokenIdentity | undefined;
  readonly learnedAtMs: number;
}

const goodForMs = 10_000;
const badForMs = 2_000;
/** While the identity service does not answer, what it said last counts this long. */
const staleForMs = 600_000;
const maxKnown = 4_096;

/** Users of tenants by their bearer tokens, with a small cache: a revoked token works for ten seconds at most. */
export class TenantTokens {
  readonly #service: IdentityService;
  readonly #clock: Clock;
  readonly #known = new Map<string, Known>();
  readonly #asking = new Map<string, Promise<TokenIdentity | undefined>>();

  constructor(service: IdentityService, clock: Clock) {
    this.#service = service;
    this.#clock = clock;
  }

  /** The user of a token, undefined when it is not good. Unavailable when that cannot be known. */
  async verify(token: string): Promise<UserInfo | undefined> {
    const identity = await this.#identityOf(token);
    if (identity === undefined || this.#isExpired(identity)) return undefined;
    return userOf(identity);
  }

  // Tokens themselves are not kept: their hash is enough to know them again.
  async #identityOf(token: string): Promise<TokenIdentity | undefined> {
    const hash = createHash('sha256').update(token).digest('base64');
    const known = this.#known.get(hash);
    if (known !== undefined && this.#isFresh(known)) return known.identity;
    const asking = this.#asking.get(hash) ?? this.#ask(hash, token);
    this.#asking.set(hash, asking);
    try {
      return await asking;
    } catch (error) {
      const age = known === undefined ? Infinity : this.#clock.now() - known.learnedAtMs;
      if (known?.identity !== undefined && age < staleForMs && isUnreachable(error)) return known.identity;
      throw error;
    } finally {
      this.#asking.delete(hash);
    }
  }

  async #ask(hash: string, token: string): Promise<TokenIdentity | undefined> {
    let identity: TokenIdentity | undefined;
    try {
      identity = await this.#service.authenticate(token);
    } catch (error) {
      if (!isPlatformError(error, 'Unauthenticated') && !isPlatformError(error, 'NotFound')) throw error;
    }
    this.#known.delete(hash);
    this.#known.set(hash, { identity, learnedAtMs: this.#clock.now() });
    const oldest = this.#known.keys().next();
    if (this.#known.size > maxKnown && oldest.done !== true) this.#known.delete(oldest.value);
    return identity;
  }

  #isFresh(known: Known): boolean {
    const age = this.#clock.now() - known.learnedAtMs;
    return age < (known.identity === undefined ? badForMs : goodForMs);
  }

  #isExpired(identity: TokenIdentity): boolean {
    return identity.expiresAtS > 0 && identity.expiresAtS * 1000 <= this.#clock.now();
  }
}

function isUnreachable(error: unknown): boolean {
  return isPlatformError(error, 'Unavailable') || isPlatformError(error, 'DeadlineExceeded');
}

const writingRoles: ReadonlySet<string> = new Set(['admin', 'member']);

function userOf(identity: TokenIdentity): UserInfo {
  const writes = identity.roles.some((role) => writingRoles.has(role));
  return {
    // Tenants choose their names themselves: two have a user of the same name, or one is called like a part of the system.
    name: `tenant:${identity.tenantId}:${identity.userName}`,
    uid: identity.userId,
    groups: [
      groupNames.authenticated,
      groupNames.tenants,
      // Bindings to tenant:<id> make administrators: who may only read is not in that group.
      ...(writes ? [`tenant:${identity.tenantId}`, groupNames.tenantWriters] : []),
    ],
    extra: {
      [tenantExtraKey]: [identity.tenantId],
      'hypernetes.io/roles': identity.roles,
    },
  };
}
