import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { StateDatabase } from '../state/index.ts';
import { LocalIdentityProvider } from './identity-provider.ts';
import { LocalLoadBalancerProvider } from './load-balancer-provider.ts';
import { instanceNames } from './names.ts';
import { LocalNetworkProvider } from './network-provider.ts';
import { purgeLocalState } from './removal.ts';
import { LocalVolumeProvider } from './volume-provider.ts';

/** For tests: all local providers over a data directory of their own. Dispose ends them; `purge` removes everything. */
export class LocalInstallation {
  readonly prefix = `k${randomBytes(2).toString('hex')}`;
  readonly folder: string;
  #providers: ReturnType<typeof openProviders> | undefined;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async create(): Promise<LocalInstallation> {
    return new LocalInstallation(await mkdtemp(join(tmpdir(), 'kubestack-local-')));
  }

  /** The providers, opened anew from what is on disk. */
  async start() {
    await this.stop();
    this.#providers = openProviders(this.folder, this.prefix);
    return await Promise.resolve(this.#providers);
  }

  async stop(): Promise<void> {
    const providers = this.#providers;
    this.#providers = undefined;
    await providers?.balancers[Symbol.asyncDispose]();
    providers?.database[Symbol.dispose]();
  }

  async purge(): Promise<void> {
    await this.stop();
    await purgeLocalState({ dataDir: this.folder, instancePrefix: this.prefix });
    await rm(this.folder, { recursive: true, force: true });
  }
}

function openProviders(folder: string, prefix: string) {
  const database = new StateDatabase(folder);
  const names = instanceNames(prefix);
  const serviceCidr = '10.96.0.0/12';
  const networks = new LocalNetworkProvider({
    database,
    names,
    serviceCidr,
    mtu: 1_500,
    hostServicePorts: [],
    // Names have tests of their own; here nobody asks.
    nameServer: { listen: async () => Promise.resolve(), close: async () => Promise.resolve() },
  });
  return {
    database,
    networks,
    balancers: new LocalLoadBalancerProvider({
      database,
      names,
      networks,
      serviceCidr,
      dataDir: folder,
      runDir: join(folder, 'run'),
      externalAddressRanges: ['172.16.0.0/12', '203.0.113.0/24'],
      externalAddressPool: '198.19.0.0/16',
    }),
    volumes: new LocalVolumeProvider({ database, dataDir: folder }),
    identity: new LocalIdentityProvider({ database }),
  };
}
