import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import { handleUnary, startGrpcServer } from '@hypernetes/foundation/grpc';
import { createLogger } from '@hypernetes/foundation/logging';
import {
  IdentityService,
  InformationService,
  LoadBalancersService,
  NetworksService,
  PortsService,
  ServiceTablesService,
  VolumesService,
  type InformationServer,
} from '@hypernetes/proto/kubestack';
import {
  instanceNames,
  LocalIdentityProvider,
  LocalLoadBalancerProvider,
  LocalNetworkProvider,
  LocalVolumeProvider,
} from '../local/index.ts';
import { makeClusterView, NameServer, type ClusterView } from '../name-server/index.ts';
import { ServiceTables } from '../service-tables/index.ts';
import { StateDatabase } from '../state/index.ts';
import { identityService } from './identity-service.ts';
import { loadBalancersService } from './load-balancers-service.ts';
import { networksService, portsService } from './network-services.ts';
import { serviceTablesService } from './service-tables-service.ts';
import { volumesService } from './volumes-service.ts';

const log = createLogger('kubestack:server');
const version = '0.1.0';

export interface KubestackdOptions {
  /** State is kept in `<dataDir>/kubestack`. */
  readonly dataDir: string;
  /** Sockets and process records. */
  readonly runDir: string;
  /** Starts the name of every kernel object: 1 to 6 lower-case letters and digits. */
  readonly instancePrefix: string;
  readonly socketPath: string;
  /** Addresses of Services; no subnet may overlap them. Default 10.96.0.0/12. */
  readonly serviceCidr?: string;
  /** Default cluster.local. */
  readonly clusterDomain?: string;
  /** Bytes; default 1500. */
  readonly mtu?: number;
  /** TCP ports of the host that pods of the default network may reach. Default 6443, the API server. */
  readonly hostServicePorts?: readonly number[];
  /** CIDRs in which load balancers may be given addresses. Default: private, shared, benchmark and documentation ranges. */
  readonly externalAddressRanges?: readonly string[];
  /** CIDR addresses come from when a load balancer asks for none. Default 198.19.0.0/16. */
  readonly externalAddressPool?: string;
}

const externalAddressRangesDefault = [
  '10.0.0.0/8',
  '172.16.0.0/12',
  '192.168.0.0/16',
  '100.64.0.0/10',
  '198.18.0.0/15',
  '192.0.2.0/24',
  '198.51.100.0/24',
  '203.0.113.0/24',
];
const externalAddressPoolDefault = '198.19.0.0/16';

/** Disposes what was added, last first. (Node 20 has no AsyncDisposableStack.) */
class OwnedResources implements AsyncDisposable {
  readonly #resources: (Disposable | AsyncDisposable)[] = [];

  add<T extends Disposable | AsyncDisposable>(resource: T): T {
    this.#resources.push(resource);
    return resource;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (let resource = this.#resources.pop(); resource !== undefined; resource = this.#resources.pop()) {
      if (Symbol.asyncDispose in resource) await resource[Symbol.asyncDispose]();
      else resource[Symbol.dispose]();
    }
  }
}

/** Keeps the index of each network's names until its table changes. */
function clusterViews(
  tables: ServiceTables,
  zone: string,
  isOwnAddress: (networkUid: string, address: string) => boolean,
): (networkUid: string) => ClusterView {
  const views = new Map<string, ClusterView>();
  return (networkUid) => {
    const table = tables.read(networkUid);
    let view = views.get(networkUid);
    if (view?.generation !== table.generation) {
      view = makeClusterView(zone, table, (address) => isOwnAddress(networkUid, address));
      views.set(networkUid, view);
    }
    return view;
  };
}

/**
 * Serves kubestack.v1 with the local provider. Everything on record is made to exist before the socket answers. Disposing stops serving and
 * leaves networks, ports, load balancers and volumes as they are: virtual machines go on using them.
 */
export async function startKubestackd(options: KubestackdOptions): Promise<AsyncDisposable> {
  const names = instanceNames(options.instancePrefix);
  const owned = new OwnedResources();
  try {
    const database = owned.add(new StateDatabase(options.dataDir));
    const tables = owned.add(new ServiceTables(database));
    const serviceCidr = options.serviceCidr ?? '10.96.0.0/12';
    const nameServer = owned.add(
      new NameServer({
        view: clusterViews(tables, options.clusterDomain ?? 'cluster.local', (uid, address) =>
          networks.hasAddress(uid, address),
        ),
      }),
    );
    const networks: LocalNetworkProvider = owned.add(
      new LocalNetworkProvider({
        database,
        names,
        nameServer,
        serviceCidr,
        mtu: options.mtu ?? 1_500,
        hostServicePorts: options.hostServicePorts ?? [6_443],
      }),
    );
    const balancers = owned.add(
      new LocalLoadBalancerProvider({
        database,
        names,
        networks,
        dataDir: options.dataDir,
        runDir: options.runDir,
        serviceCidr,
        externalAddressRanges: options.externalAddressRanges ?? externalAddressRangesDefault,
        externalAddressPool: options.externalAddressPool ?? externalAddressPoolDefault,
      }),
    );
    const identity = owned.add(new LocalIdentityProvider({ database }));
    const volumes = owned.add(new LocalVolumeProvider({ database, dataDir: options.dataDir }));
    await networks.reconcile();
    await balancers.reconcile();
    await volumes.reconcile();
    const information: InformationServer = {
      getInformation: handleUnary(log, 'GetInformation', async () =>
        Promise.resolve({
          version,
          networkProvider: networks.name,
          loadBalancerProvider: balancers.name,
          volumeProvider: volumes.name,
          identityProvider: identity.name,
          capabilities: [
            ...networks.capabilities,
            ...balancers.capabilities,
            ...volumes.capabilities,
            ...identity.capabilities,
          ].sort(),
        }),
      ),
    };
    await mkdir(dirname(options.socketPath), { recursive: true });
    owned.add(
      await startGrpcServer(options.socketPath, (server) => {
        const add = (definition: ServiceDefinition, implementation: UntypedServiceImplementation): void =>
          server.addService(definition, implementation);
        add(InformationService, information);
        add(IdentityService, identityService(identity, networks, volumes));
        add(
          NetworksService,
          networksService(networks, identity, (uid) => tables.forget(uid)),
        );
        add(PortsService, portsService(networks));
        add(LoadBalancersService, loadBalancersService(balancers));
        add(ServiceTablesService, serviceTablesService(tables, networks));
        add(VolumesService, volumesService(volumes, identity));
      }),
    );
    log.info({ socketPath: options.socketPath, dataDir: options.dataDir }, 'kubestackd serves');
  } catch (error) {
    await owned[Symbol.asyncDispose]();
    throw error;
  }
  return owned;
}
