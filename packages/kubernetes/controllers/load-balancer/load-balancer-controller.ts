import { isPlatformError, toPlatformError } from '@hypernetes/foundation/errors';
import {
  keyOf,
  parseKey,
  resources,
  updateStatusWithRetry,
  type EndpointSlice,
  type EventRecorder,
  type Informer,
  type Namespace,
  type Network,
  type Service,
} from '../../client/index.ts';
import { serviceNameLabel } from '../endpointslice/endpointslice-plan.ts';
import { createQueue, type Controller, type ControllerContext } from '../machinery/controller.ts';
import { addFinalizer, hasFinalizer, removeFinalizer } from '../machinery/finalizers.ts';
import { PodNetworks } from '../service-tables/pod-networks.ts';
import {
  loadBalancerRequest,
  verdictOfLoadBalancer,
  verdictOfLoadBalancerError,
  wantsAddresses,
  withLoadBalancerStatus,
  withoutLoadBalancerStatus,
  type LoadBalancerVerdict,
} from './load-balancer-plan.ts';

export const loadBalancerFinalizer = 'service.kubernetes.io/load-balancer-cleanup';
const sweepKey = '(sweep)';
const retryMs = 5_000;
const unavailableRetryMs = 2_000;

/** Gives Services on tenant networks their load balancers, with the ready pods as members. */
export function startLoadBalancerController(context: ControllerContext): Controller {
  return new LoadBalancerController(context);
}

class LoadBalancerController implements AsyncDisposable {
  readonly #context: ControllerContext;
  readonly #events: EventRecorder;
  readonly #services: Informer<Service>;
  readonly #slices: Informer<EndpointSlice>;
  readonly #podNetworks: PodNetworks;
  readonly #queue: ReturnType<typeof createQueue>;
  /** The last request that succeeded, by uid, in JSON: an equal one is not sent again. */
  readonly #sent = new Map<string, string>();

  constructor(context: ControllerContext) {
    const { informers, kubestack } = context;
    this.#context = context;
    this.#events = context.recorder('service-controller');
    this.#services = informers.of<Service>(resources.services);
    this.#slices = informers.of<EndpointSlice>(resources.endpointSlices);
    this.#podNetworks = new PodNetworks(informers);
    this.#queue = createQueue(context, 'load-balancer', (key) => this.#reconcile(key), {
      maxDelayMs: 10_000,
    });
    this.#services.onChange(({ key, current }) => {
      // Deleted although it had our finalizer: only the provider knows now.
      if (current === undefined) this.#queue.add(sweepKey);
      else this.#queue.add(key);
    });
    this.#slices.onChange(({ old, current }) => {
      const slice = current ?? old;
      const name = slice?.metadata.labels?.[serviceNameLabel];
      const service = this.#services.get(`${slice?.metadata.namespace ?? ''}/${name ?? ''}`);
      if (service !== undefined && wantsAddresses(service)) this.#queue.add(keyOf(service));
    });
    informers.of<Namespace>(resources.namespaces).onChange(({ key, old, current }) => {
      if (old?.spec?.network !== current?.spec?.network)
        this.#wake((service) => service.metadata.namespace === key);
    });
    informers.of<Network>(resources.networks).onChange(({ old, current }) => {
      if (old?.status?.phase !== current?.status?.phase) this.#wake(() => true);
    });
    kubestack.onConnected(() => {
      this.#sent.clear();
      this.#queue.add(sweepKey);
      this.#wake(() => true);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#queue[Symbol.asyncDispose]();
  }

  #wake(concerns: (service: Service) => boolean): void {
    for (const service of this.#services.list()) {
      const ours = wantsAddresses(service) || hasFinalizer(service, loadBalancerFinalizer);
      if (ours && concerns(service)) this.#queue.add(keyOf(service));
    }
  }

  async #reconcile(key: string): Promise<{ requeueAfterMs: number } | undefined> {
    if (key === sweepKey) {
      await this.#sweep();
      return undefined;
    }
    const service = this.#services.get(key);
    if (service === undefined) return undefined;
    const network = this.#podNetworks.networkOf(service.metadata.namespace ?? '');
    if (wantsAddresses(service) && network !== undefined) return await this.#ensure(service, network);
    if (hasFinalizer(service, loadBalancerFinalizer)) await this.#remove(service);
    else if (service.spec?.type === 'LoadBalancer' && service.metadata.deletionTimestamp === undefined) {
      await this.#showExternalIps(service);
    }
    return undefined;
  }

  async #ensure(service: Service, network: Network): Promise<{ requeueAfterMs: number } | undefined> {
    const { client, kubestack } = this.#context;
    if (!hasFinalizer(service, loadBalancerFinalizer)) {
      await addFinalizer(client, resources.services, service, loadBalancerFinalizer);
      return undefined;
    }
    const request = loadBalancerRequest(service, network, this.#slices.byIndex('service', keyOf(service)));
    const json = JSON.stringify(request);
    if (this.#sent.get(request.uid) === json && isShownReady(service)) return undefined;
    let verdict: LoadBalancerVerdict;
    try {
      verdict = verdictOfLoadBalancer(await kubestack.ensureLoadBalancer(request));
    } catch (error) {
      verdict = verdictOfLoadBalancerError(toPlatformError(error));
    }
    if (verdict.ready) this.#sent.set(request.uid, json);
    else this.#sent.delete(request.uid);
    await this.#say(service, verdict);
    if (verdict.ready) return undefined;
    return { requeueAfterMs: verdict.reason === 'ProviderUnavailable' ? unavailableRetryMs : retryMs };
  }

  async #remove(service: Service): Promise<void> {
    const { client, kubestack } = this.#context;
    await kubestack.deleteLoadBalancer(service.metadata.uid ?? '');
    this.#sent.delete(service.metadata.uid ?? '');
    // Its addresses are free: somebody may have been waiting for them.
    this.#wake((other) => other.metadata.uid !== service.metadata.uid && !isShownReady(other));
    if (service.metadata.deletionTimestamp === undefined) {
      // Writing the status makes our copy old; the finalizer goes when the change has come back.
      const cleared = await this.#writeStatus(service, withoutLoadBalancerStatus);
      if (cleared !== undefined)
        await removeFinalizer(client, resources.services, cleared, loadBalancerFinalizer);
    } else {
      await removeFinalizer(client, resources.services, service, loadBalancerFinalizer);
    }
    this.#events.event(aboutService(service), 'Normal', 'DeletedLoadBalancer', 'Deleted load balancer');
  }

  /** On the default network the node itself answers at externalIPs; that is told here. */
  async #showExternalIps(service: Service): Promise<void> {
    const addresses = service.spec?.externalIPs ?? [];
    if (addresses.length === 0) return;
    const ingress = addresses.map((ip) => ({ ip, ipMode: 'VIP' }));
    await this.#writeStatus(service, (current) => ({
      ...current,
      status: { ...current.status, loadBalancer: { ingress } },
    }));
  }

  async #say(service: Service, verdict: LoadBalancerVerdict): Promise<void> {
    const { clock } = this.#context;
    const before = service.status?.conditions?.find(({ type }) => type === 'LoadBalancerReady');
    await this.#writeStatus(service, (current) => withLoadBalancerStatus(current, verdict, clock.now()));
    if (before?.reason === verdict.reason && before.message === verdict.message) return;
    if (verdict.ready) {
      this.#events.event(aboutService(service), 'Normal', 'EnsuredLoadBalancer', 'Ensured load balancer');
    } else {
      this.#events.event(
        aboutService(service),
        'Warning',
        'SyncLoadBalancerFailed',
        `${verdict.reason}: ${verdict.message}`,
      );
    }
  }

  async #writeStatus(service: Service, change: (current: Service) => Service): Promise<Service | undefined> {
    try {
      return await updateStatusWithRetry<Service>(
        this.#context.client,
        resources.services,
        parseKey(keyOf(service)),
        (current) => (current.metadata.uid === service.metadata.uid ? change(current) : undefined),
      );
    } catch (error) {
      if (isPlatformError(error, 'NotFound')) return undefined;
      throw error;
    }
  }

  async #sweep(): Promise<void> {
    const { client, kubestack } = this.#context;
    const found = await kubestack.listLoadBalancers();
    const orphans = found.filter(({ uid }) => this.#services.byIndex('uid', uid).length === 0);
    if (orphans.length === 0) return;
    const alive = new Set(
      (await client.list<Service>(resources.services)).items.map(({ metadata }) => metadata.uid),
    );
    for (const { uid } of orphans) if (!alive.has(uid)) await kubestack.deleteLoadBalancer(uid);
  }
}

function isShownReady({ status }: Service): boolean {
  return (
    status?.conditions?.some(({ type, status: said }) => type === 'LoadBalancerReady' && said === 'True') ===
    true
  );
}

function aboutService({ metadata }: Service) {
  return { apiVersion: 'v1', kind: 'Service', metadata };
}
