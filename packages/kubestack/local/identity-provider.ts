import { createHash, randomBytes } from 'node:crypto';
import { PlatformError } from '@hypernetes/foundation/errors';
import { systemClock, type Clock } from '@hypernetes/foundation/lifecycle';
import type {
  AuthenticatedUser,
  IdentityCapability,
  IdentityProvider,
  IssuedToken,
  Tenant,
  TenantEvent,
  TenantRole,
  TokenSpec,
} from '../provider-api/index.ts';
import { Broadcast, isUniqueViolation, type StateDatabase } from '../state/index.ts';

/** Life of a token when none is asked for: one year. */
const tokenLifetimeDefaultS = 365 * 24 * 3600;
/** Longest life of a token: ten years. */
const tokenLifetimeMaxS = 10 * tokenLifetimeDefaultS;
const tokenBytes = 32;
/** Says what a found string is, to people and to secret scanners. */
const tokenPrefix = 'hnt_';

interface TokenRecord {
  readonly userName: string;
  readonly roles: readonly TenantRole[];
}

function hashOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

/** Tenants and bearer tokens kept in the database; of a token only the hash. */
export class LocalIdentityProvider implements IdentityProvider {
  readonly name = 'local';
  readonly capabilities: ReadonlySet<IdentityCapability> = new Set(['tenant-management', 'token-issue']);
  readonly #database: StateDatabase;
  readonly #clock: Clock;
  readonly #changes = new Broadcast<TenantEvent>();

  constructor(options: { readonly database: StateDatabase; readonly clock?: Clock }) {
    this.#database = options.database;
    this.#clock = options.clock ?? systemClock;
  }

  async createTenant(spec: { readonly id: string; readonly name: string }): Promise<Tenant> {
    const id = spec.id === '' ? randomBytes(16).toString('hex') : spec.id;
    const before = this.#find(id);
    if (before !== undefined) {
      if (before.name === spec.name) return await Promise.resolve(before);
      throw new PlatformError('AlreadyExists', `tenant ${id}: exists with the name "${before.name}"`);
    }
    const tenant: Tenant = { id, name: spec.name, enabled: true };
    try {
      this.#database.run('INSERT INTO tenants VALUES (?, ?, ?)', id, spec.name, JSON.stringify(tenant));
    } catch (error) {
      if (!isUniqueViolation(error)) throw error;
      throw new PlatformError('AlreadyExists', `tenant "${spec.name}": the name is taken by another tenant`, {
        cause: error,
      });
    }
    this.#changes.send({ kind: 'upserted', tenant });
    return tenant;
  }

  async getTenant(id: string): Promise<Tenant> {
    const tenant = this.#find(id);
    if (tenant === undefined) throw new PlatformError('NotFound', `tenant ${id}: does not exist`);
    return await Promise.resolve(tenant);
  }

  async listTenants(): Promise<readonly Tenant[]> {
    return await Promise.resolve(
      this.#database.documents<Tenant>('SELECT document FROM tenants ORDER BY name'),
    );
  }

  async deleteTenant(id: string): Promise<void> {
    const tenant = this.#find(id);
    if (tenant === undefined) return;
    this.#database.transaction(() => {
      this.#database.run('DELETE FROM tokens WHERE tenant_id = ?', id);
      this.#database.run('DELETE FROM tenants WHERE id = ?', id);
    });
    this.#changes.send({ kind: 'deleted', tenant });
    await Promise.resolve();
  }

  watchTenants(signal: AbortSignal): AsyncIterable<TenantEvent> {
    return this.#changes.subscribe(signal, () => [
      ...this.#database
        .documents<Tenant>('SELECT document FROM tenants ORDER BY name')
        .map((tenant): TenantEvent => ({ kind: 'upserted', tenant })),
      { kind: 'synced' },
    ]);
  }

  async issueToken(spec: TokenSpec): Promise<IssuedToken> {
    const tenant = await this.getTenant(spec.tenantId);
    if (spec.lifetimeS > tokenLifetimeMaxS) {
      throw new PlatformError('Invalid', `token lifetime ${spec.lifetimeS} s: more than ten years`);
    }
    const token = tokenPrefix + randomBytes(tokenBytes).toString('base64url');
    const nowS = Math.floor(this.#clock.now() / 1_000);
    const expiresAtS = nowS + (spec.lifetimeS === 0 ? tokenLifetimeDefaultS : spec.lifetimeS);
    const record: TokenRecord = {
      userName: spec.userName,
      roles: spec.roles.length === 0 ? ['member'] : spec.roles,
    };
    this.#database.transaction(() => {
      // Expired tokens go when new ones come, which bounds the table by what is valid.
      this.#database.run('DELETE FROM tokens WHERE expires_at <= ?', nowS);
      this.#database.run(
        'INSERT INTO tokens VALUES (?, ?, ?, ?)',
        hashOf(token),
        tenant.id,
        expiresAtS,
        JSON.stringify(record),
      );
    });
    return { token, expiresAtS };
  }

  async authenticateToken(token: string): Promise<AuthenticatedUser> {
    // The lookup is by hash: how long it takes tells nothing about any token that is valid.
    const row = this.#database.get(
      'SELECT tenant_id, expires_at, document FROM tokens WHERE hash = ?',
      hashOf(token),
    );
    const tenant = row === undefined ? undefined : this.#find(row['tenant_id'] as string);
    const valid = row !== undefined && (row['expires_at'] as number) * 1_000 > this.#clock.now();
    if (!valid || tenant?.enabled !== true) {
      throw new PlatformError('Unauthenticated', 'token: unknown or expired');
    }
    const { userName, roles } = JSON.parse(row['document'] as string) as TokenRecord;
    return await Promise.resolve({
      userId: `${tenant.id}:${userName}`,
      userName,
      tenantId: tenant.id,
      tenantName: tenant.name,
      roles,
      expiresAtS: row['expires_at'] as number,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#changes.close();
    await Promise.resolve();
  }

  #find(id: string): Tenant | undefined {
    return this.#database.document<Tenant>('SELECT document FROM tenants WHERE id = ?', id);
  }
}
