import { describe, expect, it } from 'vitest';
import {
  loadBalancerProviderConformance,
  networkProviderConformance,
  volumeProviderConformance,
} from '../provider-api/conformance/index.ts';
import { LocalInstallation } from './conformance-fixtures.ts';

const tenantId = '065f210a2ca9442aad898ab129426350';

describe('local', () => {
  networkProviderConformance(async () => {
    const installation = await LocalInstallation.create();
    const start = async () => {
      const { networks } = await installation.start();
      await networks.reconcile();
      return networks;
    };
    return {
      provider: await start(),
      tenantId,
      restart: start,
      [Symbol.asyncDispose]: async () => installation.purge(),
    };
  });

  volumeProviderConformance(async () => {
    const installation = await LocalInstallation.create();
    const start = async () => {
      const { volumes } = await installation.start();
      await volumes.reconcile();
      return volumes;
    };
    return {
      provider: await start(),
      tenantId,
      restart: start,
      [Symbol.asyncDispose]: async () => installation.purge(),
    };
  });

  loadBalancerProviderConformance(async () => {
    const installation = await LocalInstallation.create();
    const start = async () => {
      const { networks, balancers } = await installation.start();
      await networks.reconcile();
      for (const uid of ['n1', 'n2']) {
        await networks.ensureNetwork({
          uid,
          name: uid,
          tenantId,
          subnets: [{ name: 'subnet1', cidr: '192.168.0.0/24', gateway: '', dnsServers: [], hostRoutes: [] }],
          providerNetworkId: '',
        });
      }
      await balancers.reconcile();
      return balancers;
    };
    return {
      provider: await start(),
      tenantId,
      externalAddresses: ['172.30.88.10', '172.30.88.11'],
      restart: start,
      [Symbol.asyncDispose]: async () => installation.purge(),
    };
  });
});

describe('two installations', () => {
  it('have default networks of one CIDR; the host reaches the first, and the second when the first is gone', async () => {
    const spec = {
      uid: 'default',
      name: 'default',
      tenantId: '',
      subnets: [{ name: 'default', cidr: '10.232.0.0/24', gateway: '', dnsServers: [], hostRoutes: [] }],
      providerNetworkId: '',
    };
    const first = await LocalInstallation.create();
    const second = await LocalInstallation.create();
    try {
      const one = (await first.start()).networks;
      const two = (await second.start()).networks;
      expect(await one.ensureNetwork(spec)).toMatchObject({
        state: 'Active',
        hostReachable: true,
        message: '',
      });
      expect(await two.ensureNetwork(spec)).toMatchObject({
        state: 'Active',
        hostReachable: false,
        message: expect.stringContaining(`${first.prefix}u`) as string,
      });
      await one.reconcile();
      expect(await one.getNetwork('default')).toMatchObject({ hostReachable: true });
      await first.purge();
      expect(await two.ensureNetwork(spec)).toMatchObject({
        state: 'Active',
        hostReachable: true,
        message: '',
      });
    } finally {
      await first.purge();
      await second.purge();
    }
  });
});
