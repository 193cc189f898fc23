import { credentials } from '@grpc/grpc-js';
import { callStream, callUnary, clientOptions, unixAddress } from '@hypernetes/foundation/grpc';
import { backoffDelayMs, sleep } from '@hypernetes/foundation/lifecycle';
import { createLogger } from '@hypernetes/foundation/logging';
import { toPlatformError } from '@hypernetes/foundation/errors';
import {
  IdentityClient,
  LoadBalancersClient,
  NetworksClient,
  ServiceTablesClient,
  TenantEvent_Type,
  type ApplyServicesRequest,
  type ApplyServicesResponse,
  type EnsureLoadBalancerRequest,
  type EnsureNetworkRequest,
  type LoadBalancer,
  type Network,
  type Tenant,
} from '@hypernetes/proto/kubestack';

const log = createLogger('kubernetes:kubestack-client');
const callTimeoutMs = 30_000;
const reconnectBaseMs = 100;
const reconnectMaxMs = 3_000;

/** Contract 3 as the controllers use it. Errors are PlatformErrors; Unavailable while kubestackd is down. */
export interface Kubestack extends AsyncDisposable {
  ensureNetwork(request: EnsureNetworkRequest): Promise<Network>;
  listNetworks(): Promise<Network[]>;
  deleteNetwork(uid: string): Promise<void>;
  applyServices(request: ApplyServicesRequest): Promise<ApplyServicesResponse>;
  ensureLoadBalancer(request: EnsureLoadBalancerRequest): Promise<LoadBalancer>;
  listLoadBalancers(): Promise<LoadBalancer[]>;
  deleteLoadBalancer(uid: string): Promise<void>;
  /** Whether the tenant is known to exist; undefined while the list of tenants has not come yet. */
  tenantExists(id: string): boolean | undefined;
  /** Called with the id of each tenant that came, changed or went. */
  onTenant(handler: (id: string) => void): void;
  /** Called when kubestackd is there, at first and after each time it was lost: it may have forgotten what is not on its disk. */
  onConnected(handler: () => void): void;
}

/** A client of kubestackd on its unix socket; keeps trying while there is nobody. */
export function connectKubestack(socketPath: string): Kubestack {
  return new GrpcKubestack(socketPath);
}

class GrpcKubestack implements Kubestack {
  readonly #identity: InstanceType<typeof IdentityClient>;
  readonly #networks: InstanceType<typeof NetworksClient>;
  readonly #tables: InstanceType<typeof ServiceTablesClient>;
  readonly #loadBalancers: InstanceType<typeof LoadBalancersClient>;
  readonly #abort = new AbortController();
  readonly #tenantHandlers: ((id: string) => void)[] = [];
  readonly #connectedHandlers: (() => void)[] = [];
  readonly #following: Promise<void>;
  #tenants: ReadonlyMap<string, Tenant> | undefined;

  constructor(socketPath: string) {
    const address = unixAddress(socketPath);
    const insecure = credentials.createInsecure();
    this.#identity = new IdentityClient(address, insecure, clientOptions);
    this.#networks = new NetworksClient(address, insecure, clientOptions);
    this.#tables = new ServiceTablesClient(address, insecure, clientOptions);
    this.#loadBalancers = new LoadBalancersClient(address, insecure, clientOptions);
    this.#following = this.#follow();
  }

  async ensureNetwork(request: EnsureNetworkRequest): Promise<Network> {
    return await callUnary(this.#networks.ensureNetwork.bind(this.#networks), request, callTimeoutMs);
  }

  async listNetworks(): Promise<Network[]> {
    return (await callUnary(this.#networks.listNetworks.bind(this.#networks), {}, callTimeoutMs)).networks;
  }

  async deleteNetwork(uid: string): Promise<void> {
    await callUnary(this.#networks.deleteNetwork.bind(this.#networks), { uid }, callTimeoutMs);
  }

  async applyServices(request: ApplyServicesRequest): Promise<ApplyServicesResponse> {
    return await callUnary(this.#tables.applyServices.bind(this.#tables), request, callTimeoutMs);
  }

  async ensureLoadBalancer(request: EnsureLoadBalancerRequest): Promise<LoadBalancer> {
    return await callUnary(
      this.#loadBalancers.ensureLoadBalancer.bind(this.#loadBalancers),
      request,
      callTimeoutMs,
    );
  }

  async listLoadBalancers(): Promise<LoadBalancer[]> {
    const list = this.#loadBalancers.listLoadBalancers.bind(this.#loadBalancers);
    return (await callUnary(list, {}, callTimeoutMs)).loadBalancers;
  }

  async deleteLoadBalancer(uid: string): Promise<void> {
    await callUnary(this.#loadBalancers.deleteLoadBalancer.bind(this.#loadBalancers), { uid }, callTimeoutMs);
  }

  tenantExists(id: string): boolean | undefined {
    return this.#tenants?.has(id);
  }

  onTenant(handler: (id: string) => void): void {
    this.#tenantHandlers.push(handler);
  }

  onConnected(handler: () => void): void {
    this.#connectedHandlers.push(handler);
    if (this.#tenants !== undefined) handler();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    await this.#following;
    for (const client of [this.#identity, this.#networks, this.#tables, this.#loadBalancers]) client.close();
  }

  /** The watch of tenants is also how a restart of kubestackd is noticed: a stream ends with its server. */
  async #follow(): Promise<void> {
    const { signal } = this.#abort;
    for (let attempt = 0; !signal.aborted; attempt++) {
      const found = new Map<string, Tenant>();
      let synced = false;
      try {
        for await (const { type, tenant } of callStream(this.#identity.watchTenants({}), signal)) {
          if (type === TenantEvent_Type.SYNCED) {
            synced = true;
            attempt = 0;
            this.#tenants = found;
            for (const handler of this.#connectedHandlers) handler();
          } else if (tenant !== undefined) {
            if (type === TenantEvent_Type.DELETED) found.delete(tenant.id);
            else found.set(tenant.id, tenant);
            if (synced) for (const handler of this.#tenantHandlers) handler(tenant.id);
          }
        }
      } catch (error) {
        log.debug({ message: toPlatformError(error).message }, 'watch of tenants lost');
      }
      await sleep(backoffDelayMs(attempt, reconnectBaseMs, reconnectMaxMs), signal).catch(() => undefined);
    }
  }
}
