import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { IdentityProvider, TenantEvent } from '../index.ts';
import type { ProviderFixture } from './network-provider-conformance.ts';

const tenantId = '065f210a2ca9442aad898ab129426350';

/** Registers the tests every IdentityProvider with `tenant-management` and `token-issue` passes. `factory` is called before each test. */
export function identityProviderConformance(
  factory: () => Promise<Omit<ProviderFixture<IdentityProvider>, 'tenantId'>>,
): void {
  describe('IdentityProvider', () => {
    let fixture: Omit<ProviderFixture<IdentityProvider>, 'tenantId'>;
    let provider: IdentityProvider;

    beforeEach(async () => {
      fixture = await factory();
      provider = fixture.provider;
    });
    afterEach(async () => {
      await fixture[Symbol.asyncDispose]();
    });

    it('creates a tenant with the id given, or makes one', async () => {
      const given = await provider.createTenant({ id: tenantId, name: 'acme' });
      expect(given).toEqual({ id: tenantId, name: 'acme', enabled: true });
      expect(await provider.createTenant({ id: tenantId, name: 'acme' })).toEqual(given);
      const made = await provider.createTenant({ id: '', name: 'beta' });
      expect(made.id).toMatch(/^[0-9a-f]{32}$/);
      expect(await provider.getTenant(made.id)).toEqual(made);
      expect(await provider.listTenants()).toEqual([given, made]);
    });

    it('has each id and each name once', async () => {
      await provider.createTenant({ id: tenantId, name: 'acme' });
      await expect(provider.createTenant({ id: tenantId, name: 'other' })).rejects.toMatchObject({
        reason: 'AlreadyExists',
      });
      await expect(provider.createTenant({ id: '', name: 'acme' })).rejects.toMatchObject({
        reason: 'AlreadyExists',
      });
    });

    it('knows the user of a token', async () => {
      await provider.createTenant({ id: tenantId, name: 'acme' });
      const issued = await provider.issueToken({
        tenantId,
        userName: 'ada',
        roles: ['reader'],
        lifetimeS: 60,
      });
      const user = await provider.authenticateToken(issued.token);
      expect(user).toMatchObject({
        userName: 'ada',
        tenantId,
        tenantName: 'acme',
        roles: ['reader'],
        expiresAtS: issued.expiresAtS,
      });
      expect(Math.abs(issued.expiresAtS - Date.now() / 1_000 - 60)).toBeLessThan(30);
      const second = await provider.issueToken({ tenantId, userName: 'ada', roles: [], lifetimeS: 0 });
      expect(second.token).not.toBe(issued.token);
      expect((await provider.authenticateToken(second.token)).roles).toEqual(['member']);
    });

    it('refuses tokens that are unknown, or whose tenant is gone', async () => {
      await provider.createTenant({ id: tenantId, name: 'acme' });
      const { token } = await provider.issueToken({ tenantId, userName: 'ada', roles: [], lifetimeS: 60 });
      const refused = { reason: 'Unauthenticated' };
      for (const wrong of ['', 'x', `${token}x`, token.slice(0, -1), token.toUpperCase()]) {
        await expect(provider.authenticateToken(wrong)).rejects.toMatchObject(refused);
      }
      await provider.deleteTenant(tenantId);
      await provider.deleteTenant(tenantId);
      await expect(provider.authenticateToken(token)).rejects.toMatchObject(refused);
      await provider.createTenant({ id: tenantId, name: 'acme' });
      await expect(provider.authenticateToken(token)).rejects.toMatchObject(refused);
      await expect(
        provider.issueToken({ tenantId: 'none', userName: 'a', roles: [], lifetimeS: 0 }),
      ).rejects.toMatchObject({ reason: 'NotFound' });
    });

    it('tells watchers what is and what changes', async () => {
      await provider.createTenant({ id: tenantId, name: 'acme' });
      const abort = new AbortController();
      const events = provider.watchTenants(abort.signal)[Symbol.asyncIterator]();
      const next = async (): Promise<TenantEvent> => (await events.next()).value as TenantEvent;
      expect(await next()).toMatchObject({ kind: 'upserted', tenant: { id: tenantId } });
      expect(await next()).toEqual({ kind: 'synced' });
      const made = await provider.createTenant({ id: '', name: 'beta' });
      expect(await next()).toEqual({ kind: 'upserted', tenant: made });
      await provider.deleteTenant(made.id);
      expect(await next()).toEqual({ kind: 'deleted', tenant: made });
      abort.abort();
      expect((await events.next()).done).toBe(true);
    });

    it('has tenants and tokens after its process was killed', async () => {
      await provider.createTenant({ id: tenantId, name: 'acme' });
      const { token } = await provider.issueToken({ tenantId, userName: 'ada', roles: [], lifetimeS: 60 });
      const after = await fixture.restart();
      expect((await after.authenticateToken(token)).userName).toBe('ada');
    });
  });
}
