import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { LoadBalancerProvider, LoadBalancerSpec } from '../index.ts';
import type { ProviderFixture } from './network-provider-conformance.ts';

/** Two networks of the tenant, `n1` and `n2`, with subnet 192.168.0.0/24, and addresses load balancers may have. */
export interface LoadBalancerFixture extends ProviderFixture<LoadBalancerProvider> {
  readonly externalAddresses: readonly [string, string];
}

/** Registers the tests every LoadBalancerProvider passes. `factory` is called before each test. */
export function loadBalancerProviderConformance(factory: () => Promise<LoadBalancerFixture>): void {
  describe('LoadBalancerProvider', () => {
    let fixture: LoadBalancerFixture;
    let provider: LoadBalancerProvider;

    beforeEach(async () => {
      fixture = await factory();
      provider = fixture.provider;
    });
    afterEach(async () => {
      await fixture[Symbol.asyncDispose]();
    });

    const balancer = (uid: string, change: Partial<LoadBalancerSpec> = {}): LoadBalancerSpec => ({
      uid,
      name: `ns1/${uid}`,
      tenantId: fixture.tenantId,
      networkUid: 'n1',
      addresses: [fixture.externalAddresses[0]],
      listeners: [
        { name: 'web', protocol: 'TCP', port: 80, members: [{ address: '192.168.0.9', port: 8_080 }] },
      ],
      affinityTimeoutS: 0,
      sourceRanges: [],
      ...change,
    });

    it('makes a load balancer, and answers the same when asked again', async () => {
      const made = await provider.ensureLoadBalancer(balancer('l1'));
      expect(made).toMatchObject({
        uid: 'l1',
        networkUid: 'n1',
        addresses: [fixture.externalAddresses[0]],
        state: 'Active',
      });
      expect(await provider.ensureLoadBalancer(balancer('l1'))).toEqual(made);
      expect(await provider.getLoadBalancer('l1')).toEqual(made);
      expect(await provider.listLoadBalancers()).toEqual([made]);
    });

    it('changes members, listeners, affinity and addresses', async () => {
      await provider.ensureLoadBalancer(balancer('l1'));
      const listeners = [
        { name: 'web', protocol: 'TCP' as const, port: 80, members: [] },
        {
          name: 'tls',
          protocol: 'TCP' as const,
          port: 443,
          members: [{ address: '192.168.0.10', port: 443 }],
        },
      ];
      const changed = await provider.ensureLoadBalancer(
        balancer('l1', { listeners, affinityTimeoutS: 600, addresses: [...fixture.externalAddresses] }),
      );
      expect(changed).toMatchObject({
        listeners,
        addresses: [...fixture.externalAddresses],
        state: 'Active',
      });
    });

    it('gives an address of its own where none is asked for, and keeps it', async () => {
      if (!provider.capabilities.has('load-balancer-address-pool')) return;
      const made = await provider.ensureLoadBalancer(balancer('l1', { addresses: [] }));
      expect(made.addresses).toHaveLength(1);
      expect(
        (await provider.ensureLoadBalancer(balancer('l1', { addresses: [], listeners: [] }))).addresses,
      ).toEqual(made.addresses);
      expect((await provider.ensureLoadBalancer(balancer('l2', { addresses: [] }))).addresses).not.toEqual(
        made.addresses,
      );
    });

    it('gives no address twice, naming who has it, and gives it once it is free', async () => {
      await provider.ensureLoadBalancer(balancer('l1'));
      const other = balancer('l2', { networkUid: 'n2' });
      await expect(provider.ensureLoadBalancer(other)).rejects.toMatchObject({
        reason: 'AlreadyExists',
        message: expect.stringContaining('ns1/l1') as string,
      });
      await expect(provider.getLoadBalancer('l2')).rejects.toMatchObject({ reason: 'NotFound' });
      await provider.deleteLoadBalancer('l1');
      expect((await provider.ensureLoadBalancer(other)).addresses).toEqual(other.addresses);
    });

    it('refuses what it cannot do', async () => {
      const refused = async (change: Partial<LoadBalancerSpec>, reason: string) => {
        await expect(provider.ensureLoadBalancer(balancer('l1', change))).rejects.toMatchObject({ reason });
      };
      await refused({ networkUid: 'none' }, 'NotFound');
      await refused({ tenantId: 'other' }, 'Forbidden');
      await refused({ addresses: ['127.0.0.1'] }, 'Forbidden');
      await refused({ addresses: ['nonsense'] }, 'Invalid');
      const member = { address: '203.0.113.1', port: 80 };
      await refused(
        { listeners: [{ name: 'web', protocol: 'TCP', port: 80, members: [member] }] },
        'Invalid',
      );
      expect(await provider.listLoadBalancers()).toEqual([]);
    });

    it('deletes, once or twice', async () => {
      await provider.ensureLoadBalancer(balancer('l1'));
      await provider.deleteLoadBalancer('l1');
      await provider.deleteLoadBalancer('l1');
      await expect(provider.getLoadBalancer('l1')).rejects.toMatchObject({ reason: 'NotFound' });
    });

    it('has everything again after its process was killed', async () => {
      const made = await provider.ensureLoadBalancer(balancer('l1'));
      const after = await fixture.restart();
      expect(await after.getLoadBalancer('l1')).toEqual(made);
      expect(await after.ensureLoadBalancer(balancer('l1'))).toEqual(made);
    });
  });
}
