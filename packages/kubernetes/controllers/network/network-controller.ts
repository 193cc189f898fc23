import { isDeepStrictEqual } from 'node:util';
import { isPlatformError, toPlatformError, type PlatformError } from '@hypernetes/foundation/errors';
import {
  resources,
  updateStatusWithRetry,
  type EventRecorder,
  type Informer,
  type Namespace,
  type Network,
  type Pod,
} from '../../client/index.ts';
import { createQueue, type Controller, type ControllerContext } from '../machinery/controller.ts';
import { addFinalizer, hasFinalizer, removeFinalizer } from '../machinery/finalizers.ts';
import { isOn } from '../service-tables/pod-networks.ts';
import {
  defaultNetworkRequest,
  deletionBlockers,
  networkRequest,
  verdictOfAnswer,
  verdictOfError,
  withVerdict,
  type NetworkVerdict,
} from './network-plan.ts';

export const networkFinalizer = 'hypernetes.io/network';
const networkUidAnnotation = 'hypernetes.io/network-uid';
const resyncMs = 5 * 60_000;
const blockedRetryMs = 2_000;
// No name of an object: those have no parentheses.
const defaultKey = '(default)';
const sweepKey = '(sweep)';

/** Brings Networks to the provider and the provider's word back into their status. */
export function startNetworkController(context: ControllerContext): Controller {
  return new NetworkController(context);
}

class NetworkController implements AsyncDisposable {
  readonly #context: ControllerContext;
  readonly #events: EventRecorder;
  readonly #networks: Informer<Network>;
  readonly #namespaces: Informer<Namespace>;
  readonly #pods: Informer<Pod>;
  readonly #queue: ReturnType<typeof createQueue>;

  constructor(context: ControllerContext) {
    const { informers, kubestack } = context;
    this.#context = context;
    this.#events = context.recorder('network-controller');
    this.#networks = informers.of<Network>(resources.networks);
    this.#namespaces = informers.of<Namespace>(resources.namespaces);
    this.#pods = informers.of<Pod>(resources.pods);
    this.#queue = createQueue(context, 'network', (key) => this.#reconcile(key), { maxDelayMs: 10_000 });
    this.#networks.onChange(({ key, old, current }) => {
      if (current === undefined) this.#queue.add(sweepKey);
      else if (old === undefined || !isDeepStrictEqual(wishOf(old), wishOf(current))) this.#queue.add(key);
    });
    this.#namespaces.onChange(({ old, current }) => {
      if (current === undefined) this.#wakeDeleting(old?.spec?.network);
    });
    this.#pods.onChange(({ old, current }) => {
      if (current !== undefined && !isFinished(current)) return;
      const uid = old?.metadata.annotations?.[networkUidAnnotation];
      if (uid !== undefined)
        for (const network of this.#networks.byIndex('uid', uid)) this.#wakeDeleting(network.metadata.name);
    });
    kubestack.onTenant((id) => {
      for (const network of this.#networks.list())
        if (network.spec.tenantID === id) this.#queue.add(network.metadata.name);
    });
    kubestack.onConnected(() => {
      this.#queue.add(defaultKey);
      this.#queue.add(sweepKey);
      for (const network of this.#networks.list()) this.#queue.add(network.metadata.name);
    });
    this.#queue.add(defaultKey);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#queue[Symbol.asyncDispose]();
  }

  #wakeDeleting(name: string | undefined): void {
    if (name !== undefined && this.#networks.get(name)?.metadata.deletionTimestamp !== undefined)
      this.#queue.add(name);
  }

  async #reconcile(key: string): Promise<{ requeueAfterMs: number } | undefined> {
    if (key === defaultKey) {
      await this.#context.kubestack.ensureNetwork(defaultNetworkRequest);
      return { requeueAfterMs: resyncMs };
    }
    if (key === sweepKey) {
      await this.#sweep();
      return undefined;
    }
    const network = this.#networks.get(key);
    if (network === undefined) return undefined;
    return network.metadata.deletionTimestamp === undefined
      ? await this.#ensure(network)
      : await this.#remove(network);
  }

  async #ensure(network: Network): Promise<{ requeueAfterMs: number } | undefined> {
    const { client, kubestack } = this.#context;
    if (!hasFinalizer(network, networkFinalizer)) {
      // Its change comes back through the informer and continues here.
      await addFinalizer(client, resources.networks, network, networkFinalizer);
      return undefined;
    }
    let verdict: NetworkVerdict;
    try {
      verdict = verdictOfAnswer(await kubestack.ensureNetwork(networkRequest(network)));
    } catch (error) {
      verdict = verdictOfError(toPlatformError(error), network);
    }
    await this.#say(network, verdict);
    return { requeueAfterMs: verdict.retryAfterMs ?? resyncMs };
  }

  async #remove(network: Network): Promise<{ requeueAfterMs: number } | undefined> {
    const { client, kubestack } = this.#context;
    if (!hasFinalizer(network, networkFinalizer)) return undefined;
    const blockers = this.#blockersOf(network);
    if (blockers !== '') {
      await this.#say(network, { phase: 'Terminating', reason: 'InUse', message: `used by ${blockers}` });
      return { requeueAfterMs: blockedRetryMs };
    }
    try {
      await kubestack.deleteNetwork(network.metadata.uid ?? '');
    } catch (thrown) {
      const error: PlatformError = toPlatformError(thrown);
      const reason = error.reason === 'Precondition' ? 'InUse' : 'ProviderUnavailable';
      await this.#say(network, { phase: 'Terminating', reason, message: error.message });
      return { requeueAfterMs: blockedRetryMs };
    }
    await removeFinalizer(client, resources.networks, network, networkFinalizer);
    this.#events.event(aboutNetwork(network), 'Normal', 'Deleted', 'network deleted at the provider');
    return undefined;
  }

  #blockersOf(network: Network): string {
    const { metadata } = network;
    const namespaces = this.#namespaces.list().filter((namespace) => isOn(namespace, network));
    const pods = this.#pods
      .list()
      .filter((pod) => pod.metadata.annotations?.[networkUidAnnotation] === metadata.uid && !isFinished(pod));
    return deletionBlockers(
      namespaces.map((namespace) => namespace.metadata.name),
      pods.map((pod) => `${pod.metadata.namespace ?? ''}/${pod.metadata.name}`),
    );
  }

  /** Writes the verdict, and an event when it is another one than before. */
  async #say(network: Network, verdict: NetworkVerdict): Promise<void> {
    const { client, clock } = this.#context;
    const before = network.status?.conditions?.find(({ type }) => type === 'Ready')?.reason;
    try {
      await updateStatusWithRetry<Network>(
        client,
        resources.networks,
        { name: network.metadata.name },
        (current) =>
          current.metadata.uid === network.metadata.uid
            ? withVerdict(current, verdict, clock.now())
            : undefined,
      );
    } catch (error) {
      if (isPlatformError(error, 'NotFound')) return;
      throw error;
    }
    if (before === verdict.reason) return;
    const type = verdict.phase === 'Active' ? 'Normal' : 'Warning';
    this.#events.event(aboutNetwork(network), type, verdict.reason, verdict.message);
  }

  /** Networks at the provider whose object is gone (its finalizer was removed by hand, or the API's data was lost). */
  async #sweep(): Promise<void> {
    const { client, kubestack } = this.#context;
    const found = await kubestack.listNetworks();
    const orphans = found.filter(
      ({ uid }) => uid !== defaultNetworkRequest.uid && this.#networks.byIndex('uid', uid).length === 0,
    );
    if (orphans.length === 0) return;
    // Our copy may be old: the API itself decides.
    const alive = new Set(
      (await client.list<Network>(resources.networks)).items.map(({ metadata }) => metadata.uid),
    );
    for (const { uid } of orphans) if (!alive.has(uid)) await kubestack.deleteNetwork(uid);
  }
}

/** What people and other controllers change; our own writing of the status is no news. */
function wishOf({ metadata, spec }: Network): unknown {
  return [spec, metadata.finalizers, metadata.deletionTimestamp];
}

function aboutNetwork({ metadata }: Network) {
  return { apiVersion: 'v1', kind: 'Network', metadata };
}

function isFinished({ status }: Pod): boolean {
  return status?.phase === 'Succeeded' || status?.phase === 'Failed';
}
