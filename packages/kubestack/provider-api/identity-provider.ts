export interface Tenant {
  /** Network.spec.tenantID; a Keystone project id. */
  readonly id: string;
  readonly name: string;
  readonly enabled: boolean;
}

export type TenantEvent =
  | { readonly kind: 'upserted'; readonly tenant: Tenant }
  | { readonly kind: 'deleted'; readonly tenant: Tenant }
  /** The present state has been sent. */
  | { readonly kind: 'synced' };

export const tenantRoles = ['admin', 'member', 'reader'] as const;
export type TenantRole = (typeof tenantRoles)[number];

export interface TokenSpec {
  readonly tenantId: string;
  readonly userName: string;
  /** None: member. */
  readonly roles: readonly TenantRole[];
  /** Seconds; 0: one year. */
  readonly lifetimeS: number;
}

export interface IssuedToken {
  /** The secret; shown once, only its hash is kept. */
  readonly token: string;
  readonly expiresAtS: number;
}

export interface AuthenticatedUser {
  readonly userId: string;
  readonly userName: string;
  readonly tenantId: string;
  readonly tenantName: string;
  readonly roles: readonly TenantRole[];
  readonly expiresAtS: number;
}

export type IdentityCapability = 'tenant-management' | 'token-issue';

/**
 * Tenants and who speaks for them. Errors: Invalid, NotFound, AlreadyExists (id or name), Unauthenticated, Unimplemented (a provider
 * whose tenants are managed elsewhere).
 */
export interface IdentityProvider extends AsyncDisposable {
  readonly name: string;
  readonly capabilities: ReadonlySet<IdentityCapability>;
  /** The same id and name again: the same tenant. Empty id: made, 32 hex digits. */
  createTenant(spec: { readonly id: string; readonly name: string }): Promise<Tenant>;
  /** NotFound. */
  getTenant(id: string): Promise<Tenant>;
  listTenants(): Promise<readonly Tenant[]>;
  /** Ends its tokens too. Unknown: success. Whether anything still belongs to the tenant is the caller's to check. */
  deleteTenant(id: string): Promise<void>;
  /** Present state, `synced`, then changes until the signal fires. */
  watchTenants(signal: AbortSignal): AsyncIterable<TenantEvent>;
  issueToken(spec: TokenSpec): Promise<IssuedToken>;
  /** Unauthenticated for an unknown or expired token, or one of a tenant that is gone or disabled. */
  authenticateToken(token: string): Promise<AuthenticatedUser>;
}
