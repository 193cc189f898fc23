import { systemClock, type Clock } from '@hypernetes/foundation/lifecycle';
import { createLogger } from '@hypernetes/foundation/logging';
import { toPlatformError } from '@hypernetes/foundation/errors';
import { createEventRecorder, type EventRecorder, type KubeClient } from '../client/index.ts';
import { startBootstrapController } from './bootstrap/bootstrap-controller.ts';
import type { AdvertisedAddress } from './bootstrap/bootstrap-objects.ts';
import { startDeploymentController } from './deployment/deployment-controller.ts';
import { startEndpointsController } from './endpoints/endpoints-controller.ts';
import { startEndpointSliceController } from './endpointslice/endpointslice-controller.ts';
import { startGarbageCollector } from './garbage-collector/garbage-collector.ts';
import { startLoadBalancerController } from './load-balancer/load-balancer-controller.ts';
import { startJobController } from './job/job-controller.ts';
import type { Controller, ControllerContext } from './machinery/controller.ts';
import { InformerSet } from './machinery/informer-set.ts';
import { connectKubestack } from './machinery/kubestack.ts';
import { startNamespaceController } from './namespace/namespace-controller.ts';
import { startNetworkController } from './network/network-controller.ts';
import { startNodeLifecycleController } from './node-lifecycle/node-lifecycle-controller.ts';
import { startPodGcController } from './pod-gc/pod-gc-controller.ts';
import { startReplicaSetController } from './replicaset/replicaset-controller.ts';
import { startRootCaController } from './root-ca/root-ca-controller.ts';
import { startServiceAccountController } from './service-account/service-account-controller.ts';
import {
  startServiceTablesController,
  type ServiceTableTraffic,
} from './service-tables/service-tables-controller.ts';
import { startTenantRbacController } from './tenant-rbac/tenant-rbac-controller.ts';

const log = createLogger('kubernetes:controllers');

export interface ControllersOptions {
  readonly client: KubeClient;
  /** Where kubestackd listens. It may come later and go for a while. */
  readonly kubestackSocket: string;
  /** The authority that signed the API server's certificate, for pods (ConfigMap kube-root-ca.crt); absent: somebody else's task. */
  readonly caPem?: string;
  /** Where pods reach the API server, not loopback; absent: the server itself keeps the endpoints of default/kubernetes. */
  readonly advertised?: AdvertisedAddress;
  /**
   * Bind each tenant's group to the role `admin` in its namespaces: for an API server that knows nothing of tenants. Ours does, and tells
   * writers from readers, which a binding of the whole group cannot. Default false.
   */
  readonly tenantRoleBindings?: boolean;
  readonly clock?: Clock;
}

/** Running controllers. */
export interface Controllers extends AsyncDisposable {
  /** Resolves when the first lists are in and work has begun; rejects when they are stopped before. */
  readonly ready: Promise<void>;
  /** What the service tables have cost so far. */
  readonly serviceTableTraffic: Readonly<ServiceTableTraffic>;
}

/**
 * Starts all controllers. They come to work by themselves when the API server and kubestackd are there, and keep no state that these two
 * do not hold: the process may be killed at any time.
 */
export function startControllers(options: ControllersOptions): Controllers {
  return new ControllerGroup(options);
}

class ControllerGroup implements Controllers {
  readonly ready: Promise<void>;
  readonly serviceTableTraffic: Readonly<ServiceTableTraffic>;
  readonly #recorders = new Map<string, EventRecorder>();
  readonly #informers: InformerSet;
  readonly #context: ControllerContext;
  readonly #controllers: Controller[] = [];
  readonly #collector: Promise<void>;
  #closed = false;

  constructor(options: ControllersOptions) {
    const { client, kubestackSocket, caPem, advertised, clock = systemClock } = options;
    this.#informers = new InformerSet(client);
    let open: (value: Promise<void>) => void = () => undefined;
    this.ready = new Promise<void>((resolve) => {
      open = resolve;
    });
    // Whoever does not wait for it must not end the process by its rejection.
    this.ready.catch(() => undefined);
    const context: ControllerContext = {
      client,
      clock,
      informers: this.#informers,
      kubestack: connectKubestack(kubestackSocket),
      ready: this.ready,
      recorder: (component) => this.#recorder(client, component, clock),
    };
    this.#context = context;
    const serviceTables = startServiceTablesController(context);
    this.serviceTableTraffic = serviceTables.traffic;
    this.#controllers.push(
      serviceTables,
      startBootstrapController(context, advertised),
      startServiceAccountController(context),
      ...(caPem === undefined ? [] : [startRootCaController(context, caPem)]),
      ...(options.tenantRoleBindings === true ? [startTenantRbacController(context)] : []),
      startNamespaceController(context),
      startNetworkController(context),
      startEndpointSliceController(context),
      startEndpointsController(context),
      startLoadBalancerController(context),
      startReplicaSetController(context),
      startDeploymentController(context),
      startJobController(context),
      startNodeLifecycleController(context),
      startPodGcController(context),
    );
    open(this.#informers.start());
    this.#collector = this.#startCollector();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    // Informers first: what waits for them is let go.
    await this.#informers[Symbol.asyncDispose]();
    await this.#collector;
    await Promise.all(this.#controllers.map((controller) => controller[Symbol.asyncDispose]()));
    await this.#context.kubestack[Symbol.asyncDispose]();
    await Promise.all([...this.#recorders.values()].map((recorder) => recorder[Symbol.asyncDispose]()));
  }

  #recorder(client: KubeClient, component: string, clock: Clock): EventRecorder {
    const known = this.#recorders.get(component) ?? createEventRecorder({ client, component, clock });
    this.#recorders.set(component, known);
    return known;
  }

  /** Last, so that it shares the informers the others have. */
  async #startCollector(): Promise<void> {
    try {
      await this.ready;
      if (!this.#closed) this.#controllers.push(await startGarbageCollector(this.#context));
    } catch (error) {
      if (!this.#closed)
        log.error({ message: toPlatformError(error).message }, 'garbage collector not started');
    }
  }
}
