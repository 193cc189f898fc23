import {
  IdentityService,
  LoadBalancer_State,
  LoadBalancersService,
  Network_State,
  NetworksService,
  ServiceTablesService,
  TenantEvent_Type,
  type ApplyServicesRequest,
  type ApplyServicesResponse,
  type EnsureLoadBalancerRequest,
  type EnsureNetworkRequest,
  type LoadBalancer,
  type Network,
  type Service,
  type TenantEvent,
} from '@hypernetes/proto/kubestack';
import { PlatformError } from '@hypernetes/foundation/errors';
import {
  handleServerStream,
  handleUnary,
  startGrpcServer,
  type RunningGrpcServer,
} from '@hypernetes/foundation/grpc';
import { createLogger } from '@hypernetes/foundation/logging';

const log = createLogger('test:kubestackd');

/** kubestack.v1 in memory, over its real wire, with the refusals its contract names. */
export class KubestackdFixture implements AsyncDisposable {
  readonly tenants = new Set<string>();
  readonly networks = new Map<string, EnsureNetworkRequest>();
  readonly ports = new Map<string, string>();
  readonly loadBalancers = new Map<string, EnsureLoadBalancerRequest>();
  readonly tables = new Map<string, Map<string, Service>>();
  readonly applied: ApplyServicesRequest[] = [];
  readonly #socket: string;
  readonly #watchers = new Set<(event: TenantEvent) => void>();
  #server: RunningGrpcServer | undefined;
  #stopping = new AbortController();

  constructor(socket: string) {
    this.#socket = socket;
  }

  addTenant(id: string): void {
    this.tenants.add(id);
    const tenant = { id, name: id, enabled: true };
    for (const send of this.#watchers) send({ type: TenantEvent_Type.UPSERTED, tenant });
  }

  async start(): Promise<void> {
    this.#server = await startGrpcServer(this.#socket, (server) => {
      server.addService(IdentityService, {
        createTenant: unary('CreateTenant', unimplemented),
        getTenant: unary('GetTenant', unimplemented),
        listTenants: unary('ListTenants', unimplemented),
        deleteTenant: unary('DeleteTenant', unimplemented),
        issueToken: unary('IssueToken', unimplemented),
        authenticateToken: unary('AuthenticateToken', unimplemented),
        watchTenants: handleServerStream(log, 'WatchTenants', (_request, signal) =>
          this.#watchTenants(signal),
        ),
      });
      server.addService(NetworksService, {
        ensureNetwork: unary('EnsureNetwork', (request: EnsureNetworkRequest) =>
          this.#ensureNetwork(request),
        ),
        getNetwork: unary('GetNetwork', unimplemented),
        listNetworks: unary('ListNetworks', () => ({ networks: [...this.networks.values()].map(answerOf) })),
        deleteNetwork: unary('DeleteNetwork', ({ uid }: { uid: string }) => {
          const pods = [...this.ports].filter(([, network]) => network === uid).map(([pod]) => pod);
          if (pods.length > 0)
            throw new PlatformError('Precondition', `network ${uid} is used by ${pods.join()}`);
          this.networks.delete(uid);
          return {};
        }),
      });
      server.addService(ServiceTablesService, {
        applyServices: unary('ApplyServices', (request: ApplyServicesRequest) =>
          this.#applyServices(request),
        ),
        watchServices: handleServerStream(log, 'WatchServices', unimplemented),
      });
      server.addService(LoadBalancersService, {
        ensureLoadBalancer: unary('EnsureLoadBalancer', (request: EnsureLoadBalancerRequest) =>
          this.#ensureLoadBalancer(request),
        ),
        getLoadBalancer: unary('GetLoadBalancer', unimplemented),
        listLoadBalancers: unary('ListLoadBalancers', () => ({
          loadBalancers: [...this.loadBalancers.values()].map(loadBalancerOf),
        })),
        deleteLoadBalancer: unary('DeleteLoadBalancer', ({ uid }: { uid: string }) => {
          this.loadBalancers.delete(uid);
          return {};
        }),
      });
    });
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#stopping = new AbortController();
    await this.#server?.[Symbol.asyncDispose]();
    this.#server = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async *#watchTenants(signal: AbortSignal): AsyncGenerator<TenantEvent> {
    const pending: TenantEvent[] = [];
    let wake: () => void = () => undefined;
    const send = (event: TenantEvent): void => {
      pending.push(event);
      wake();
    };
    this.#watchers.add(send);
    signal.addEventListener('abort', () => wake());
    for (const id of this.tenants)
      yield { type: TenantEvent_Type.UPSERTED, tenant: { id, name: id, enabled: true } };
    yield { type: TenantEvent_Type.SYNCED, tenant: undefined };
    while (!signal.aborted) {
      for (let next = pending.shift(); next !== undefined; next = pending.shift()) yield next;
      await new Promise<void>((resolve) => {
        wake = resolve;
        if (pending.length > 0) resolve();
      });
    }
    this.#watchers.delete(send);
  }

  #ensureNetwork(request: EnsureNetworkRequest): Network {
    if (request.uid !== 'default' && !this.tenants.has(request.tenantId)) {
      throw new PlatformError('NotFound', `tenant ${request.tenantId} does not exist`);
    }
    this.networks.set(request.uid, request);
    return answerOf(request);
  }

  #applyServices({ networkUid, full, upserts, removals }: ApplyServicesRequest): ApplyServicesResponse {
    if (!this.networks.has(networkUid))
      throw new PlatformError('NotFound', `network ${networkUid} does not exist`);
    this.applied.push({ networkUid, full, upserts, removals });
    const table = full
      ? new Map<string, Service>()
      : (this.tables.get(networkUid) ?? new Map<string, Service>());
    for (const service of upserts)
      table.set(`${service.key?.namespace ?? ''}/${service.key?.name ?? ''}`, service);
    for (const { namespace, name } of removals) table.delete(`${namespace}/${name}`);
    this.tables.set(networkUid, table);
    return { generation: BigInt(this.applied.length) };
  }

  #ensureLoadBalancer(request: EnsureLoadBalancerRequest): LoadBalancer {
    for (const other of this.loadBalancers.values()) {
      const taken =
        other.uid === request.uid ? undefined : request.addresses.find((ip) => other.addresses.includes(ip));
      if (taken !== undefined)
        throw new PlatformError('AlreadyExists', `address ${taken} is taken by ${other.name}`);
    }
    this.loadBalancers.set(request.uid, request);
    return loadBalancerOf(request);
  }
}

function unary<Request, Response>(method: string, work: (request: Request) => Response) {
  return handleUnary(log, method, (request: Request) => Promise.resolve().then(() => work(request)));
}

function unimplemented(): never {
  throw new PlatformError('Unimplemented', 'not needed by controllers');
}

function answerOf({ uid, name, tenantId, subnets }: EnsureNetworkRequest): Network {
  return {
    uid,
    name,
    tenantId,
    subnets: subnets.map((subnet) => ({
      subnet,
      providerId: `subnet-${uid}`,
      addressesUsed: 0,
      addressesFree: 0,
    })),
    providerId: `provider-${uid}`,
    state: Network_State.ACTIVE,
    message: '',
    hostReachable: uid === 'default',
    mtu: 1_500,
  };
}

function loadBalancerOf({
  uid,
  name,
  networkUid,
  addresses,
  listeners,
}: EnsureLoadBalancerRequest): LoadBalancer {
  return {
    uid,
    name,
    networkUid,
    addresses,
    listeners,
    providerId: uid,
    state: LoadBalancer_State.ACTIVE,
    message: '',
  };
}
