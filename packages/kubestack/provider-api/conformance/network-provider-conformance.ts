import { beforeEach, describe, expect, it, afterEach } from 'vitest';
import type { NetworkProvider, NetworkSpec, PortSpec, SubnetSpec } from '../index.ts';

/** A provider to test, with what it needs around it; disposing it removes everything it made. */
export interface ProviderFixture<Provider> extends AsyncDisposable {
  readonly provider: Provider;
  /** A tenant that exists. */
  readonly tenantId: string;
  /** The provider as it is after its process was killed and started again. */
  restart(): Promise<Provider>;
}

function subnet(change: Partial<SubnetSpec> = {}): SubnetSpec {
  return {
    name: 'subnet1',
    cidr: '192.168.0.0/24',
    gateway: '192.168.0.1',
    dnsServers: [],
    hostRoutes: [],
    ...change,
  };
}

/** Registers the tests every NetworkProvider passes. `factory` is called before each test. */
export function networkProviderConformance(factory: () => Promise<ProviderFixture<NetworkProvider>>): void {
  describe('NetworkProvider', () => {
    let fixture: ProviderFixture<NetworkProvider>;
    let provider: NetworkProvider;

    beforeEach(async () => {
      fixture = await factory();
      provider = fixture.provider;
    });
    afterEach(async () => {
      await fixture[Symbol.asyncDispose]();
    });

    const network = (uid: string, change: Partial<NetworkSpec> = {}): NetworkSpec => ({
      uid,
      name: `name-${uid}`,
      tenantId: fixture.tenantId,
      subnets: [subnet()],
      providerNetworkId: '',
      ...change,
    });
    const port = (sandboxId: string, change: Partial<PortSpec> = {}): PortSpec => ({
      sandboxId,
      networkUid: 'n1',
      pod: { namespace: 'ns1', name: `pod-${sandboxId}`, uid: `uid-${sandboxId}` },
      tapOwnerUid: 20_000,
      fixedAddress: '',
      nodeName: 'node1',
      ...change,
    });

    it('makes a network Active, and answers the same when asked again', async () => {
      const made = await provider.ensureNetwork(network('n1'));
      expect(made).toMatchObject({
        uid: 'n1',
        name: 'name-n1',
        tenantId: fixture.tenantId,
        state: 'Active',
        message: '',
      });
      expect(made.subnets[0]).toMatchObject({ subnet: subnet(), addressesUsed: 0 });
      expect(made.mtu).toBeGreaterThanOrEqual(1_280);
      expect(await provider.ensureNetwork(network('n1'))).toEqual(made);
      expect(await provider.getNetwork('n1')).toEqual(made);
      expect(await provider.listNetworks()).toEqual([made]);
    });

    it('fills in a gateway', async () => {
      const made = await provider.ensureNetwork(network('n1', { subnets: [subnet({ gateway: '' })] }));
      expect(made.subnets[0]?.subnet.gateway).toBe('192.168.0.1');
    });

    it.each<[string, readonly SubnetSpec[]]>([
      ['no subnet', []],
      ['a CIDR that is none', [subnet({ cidr: '192.168.0.0' })]],
      ['host bits in the CIDR', [subnet({ cidr: '192.168.0.7/24' })]],
      ['a gateway outside', [subnet({ gateway: '192.168.1.1' })]],
      ['a gateway that is the network address', [subnet({ gateway: '192.168.0.0' })]],
      ['a gateway that is the broadcast address', [subnet({ gateway: '192.168.0.255' })]],
      ['subnets that overlap', [subnet(), subnet({ name: 'b', cidr: '192.168.0.128/25', gateway: '' })]],
      ['two subnets of one name', [subnet(), subnet({ cidr: '192.168.1.0/24', gateway: '' })]],
      ['the loopback range', [subnet({ cidr: '127.0.0.0/16', gateway: '' })]],
      ['multicast', [subnet({ cidr: '239.0.0.0/24', gateway: '' })]],
    ])('refuses %s and leaves nothing', async (_what, subnets) => {
      await expect(provider.ensureNetwork(network('n1', { subnets }))).rejects.toMatchObject({
        reason: 'Invalid',
      });
      await expect(provider.getNetwork('n1')).rejects.toMatchObject({ reason: 'NotFound' });
    });

    it('has networks with equal CIDRs side by side', async () => {
      await provider.ensureNetwork(network('n1'));
      await provider.ensureNetwork(network('n2'));
      const one = await provider.setupPort(port('s1'));
      const two = await provider.setupPort(port('s2', { networkUid: 'n2' }));
      expect(one.addresses).toEqual(two.addresses);
    });

    it('adds a subnet to a network in use, and keeps one that is used', async () => {
      await provider.ensureNetwork(network('n1'));
      await provider.setupPort(port('s1'));
      const second = subnet({ name: 'subnet2', cidr: '192.168.9.0/24', gateway: '192.168.9.254' });
      const grown = await provider.ensureNetwork(network('n1', { subnets: [subnet(), second] }));
      expect(grown.subnets.map((status) => status.addressesUsed)).toEqual([1, 0]);
      const inSecond = await provider.setupPort(port('s2', { fixedAddress: '192.168.9.7' }));
      expect(inSecond).toMatchObject({ addresses: ['192.168.9.7/24'], gateway: '192.168.9.254' });
      await expect(provider.ensureNetwork(network('n1', { subnets: [second] }))).rejects.toMatchObject({
        reason: 'Precondition',
        message: expect.stringContaining('ns1/pod-s1') as string,
      });
    });

    it('never changes whose a network is', async () => {
      await provider.ensureNetwork(network('n1'));
      await expect(provider.ensureNetwork(network('n1', { tenantId: 'other' }))).rejects.toMatchObject({
        reason: 'Precondition',
      });
    });

    it('gives a port an address, a MAC and a tap, and the same when asked again', async () => {
      await provider.ensureNetwork(network('n1'));
      const made = await provider.setupPort(port('s1'));
      expect(made).toMatchObject({
        sandboxId: 's1',
        networkUid: 'n1',
        tenantId: fixture.tenantId,
        gateway: '192.168.0.1',
      });
      expect(made.mac).toMatch(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/);
      expect(parseInt(made.mac.slice(0, 2), 16) & 1).toBe(0);
      expect(made.addresses[0]).toMatch(/^192\.168\.0\.\d+\/24$/);
      expect(made.tap.name).not.toBe('');
      expect(made.dnsServers.length).toBeGreaterThan(0);
      expect(await provider.setupPort(port('s1'))).toEqual(made);
      expect(await provider.getPort('s1')).toEqual(made);
      expect(await provider.listPorts('n1')).toEqual([made]);
      expect((await provider.getNetwork('n1')).subnets[0]?.addressesUsed).toBe(1);
    });

    it('gives different ports different addresses, at the same time', async () => {
      await provider.ensureNetwork(network('n1'));
      const ports = await Promise.all(Array.from({ length: 8 }, (_, i) => provider.setupPort(port(`s${i}`))));
      expect(new Set(ports.map((made) => made.addresses[0])).size).toBe(8);
      expect(new Set(ports.map((made) => made.mac)).size).toBe(8);
      expect(new Set(ports.map((made) => made.tap.name)).size).toBe(8);
    });

    it('honours a fixed address, once', async () => {
      await provider.ensureNetwork(network('n1'));
      expect((await provider.setupPort(port('s1', { fixedAddress: '192.168.0.50' }))).addresses).toEqual([
        '192.168.0.50/24',
      ]);
      await expect(provider.setupPort(port('s2', { fixedAddress: '192.168.0.50' }))).rejects.toMatchObject({
        reason: 'AlreadyExists',
        message: expect.stringContaining('ns1/pod-s1') as string,
      });
      for (const fixedAddress of ['192.168.0.1', '192.168.0.0', '192.168.0.255', '10.0.0.1', 'x']) {
        await expect(provider.setupPort(port('s2', { fixedAddress }))).rejects.toMatchObject({
          reason: 'Invalid',
        });
      }
      expect(await provider.listPorts()).toHaveLength(1);
    });

    it('says when a subnet is full, and gives freed addresses out again', async () => {
      await provider.ensureNetwork(network('n1', { subnets: [subnet({ cidr: '192.168.0.0/29' })] }));
      const addresses: string[] = [];
      for (let i = 0; i < 5; i++)
        addresses.push((await provider.setupPort(port(`s${i}`))).addresses[0] ?? '');
      expect(new Set(addresses).size).toBe(5);
      await expect(provider.setupPort(port('s5'))).rejects.toMatchObject({ reason: 'Exhausted' });
      await provider.teardownPort('s2');
      expect((await provider.setupPort(port('s5'))).addresses[0]).toBe(addresses[2]);
    });

    it('lets a freed address rest while others are free', async () => {
      await provider.ensureNetwork(network('n1'));
      const first = await provider.setupPort(port('s1'));
      await provider.teardownPort('s1');
      const second = await provider.setupPort(port('s2'));
      expect(second.addresses).not.toEqual(first.addresses);
    });

    it('tears ports and networks down, once or twice, but no network in use', async () => {
      await provider.ensureNetwork(network('n1'));
      await provider.setupPort(port('s1'));
      await expect(provider.deleteNetwork('n1')).rejects.toMatchObject({
        reason: 'Precondition',
        message: expect.stringContaining('ns1/pod-s1') as string,
      });
      await provider.teardownPort('s1');
      await provider.teardownPort('s1');
      await expect(provider.getPort('s1')).rejects.toMatchObject({ reason: 'NotFound' });
      await provider.deleteNetwork('n1');
      await provider.deleteNetwork('n1');
      expect(await provider.listNetworks()).toEqual([]);
      await expect(provider.setupPort(port('s1'))).rejects.toMatchObject({ reason: 'NotFound' });
    });

    it('has everything again after its process was killed', async () => {
      const made = await provider.ensureNetwork(network('n1'));
      const plugged = await provider.setupPort(port('s1'));
      const after = await fixture.restart();
      expect(await after.getPort('s1')).toEqual(plugged);
      expect((await after.getNetwork('n1')).state).toBe(made.state);
      expect((await after.setupPort(port('s2'))).addresses).not.toEqual(plugged.addresses);
    });
  });
}
