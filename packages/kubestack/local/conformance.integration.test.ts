import { describe } from 'vitest';
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
