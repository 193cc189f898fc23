import { toPlatformError } from '@hypernetes/foundation/errors';
import { DisposalStack, WorkQueue } from '@hypernetes/foundation/lifecycle';
import { nft, nftDeleteTable } from '@hypernetes/foundation/linux';
import { createLogger } from '@hypernetes/foundation/logging';
import {
  createInformer,
  resources,
  type EndpointSlice,
  type KubeClient,
  type Namespace,
  type Service,
} from '../client/index.ts';
import { planFullRules, planRules, tableName } from './plan-rules.ts';
import { compileState, type ProxyState } from './proxy-state.ts';

const log = createLogger('kubernetes:proxy');
/** Changes that come close together are one transaction. */
const settleMs = 50;
const retryMs = 500;
const retryMsMax = 30_000;

export interface NodeProxyOptions {
  readonly client: KubeClient;
  /** The table is `<prefix>-proxy`, family ip. */
  readonly instancePrefix: string;
  readonly nodeName: string;
  /** A network namespace by its `ip netns` name, in place of the host's own. */
  readonly networkNamespace?: string;
}

/**
 * Serves on the host the Services of namespaces without a Network: cluster addresses, NodePorts, external and load balancer addresses.
 * Disposing leaves the rules as they are, so that a restart interrupts no connection; removeNodeProxy takes them away.
 */
export async function startNodeProxy(options: NodeProxyOptions): Promise<AsyncDisposable> {
  const stack = new DisposalStack();
  const services = stack.use(createInformer<Service>(options.client, resources.services));
  const slices = stack.use(createInformer<EndpointSlice>(options.client, resources.endpointSlices));
  const namespaces = stack.use(createInformer<Namespace>(options.client, resources.namespaces));
  // What is in the kernel; undefined as long as nobody knows.
  let applied: ProxyState | undefined;
  const reconcile = async (): Promise<undefined> => {
    const wanted = compileState(services.list(), slices.list(), namespaces.list());
    const rules =
      applied === undefined
        ? planFullRules(options.instancePrefix, wanted)
        : planRules(options.instancePrefix, applied, wanted);
    if (rules === '') return undefined;
    const before = applied;
    // A failed transaction changes nothing, but it shows that the kernel holds something else than is known here.
    applied = undefined;
    await nft(rules, options.networkNamespace);
    applied = wanted;
    if (before === undefined) log.info({ ports: wanted.ports.size }, 'service rules written');
    return undefined;
  };
  const queue = stack.use(
    new WorkQueue(reconcile, {
      concurrency: 1,
      baseDelayMs: retryMs,
      maxDelayMs: retryMsMax,
      onError: (_key, error) =>
        log.warn({ error: toPlatformError(error).message }, 'service rules not written'),
    }),
  );
  await Promise.all([services.start(), slices.start(), namespaces.start()]);
  queue.add('rules');
  let settling: NodeJS.Timeout | undefined;
  const changed = (): void => {
    settling ??= setTimeout(() => {
      settling = undefined;
      queue.add('rules');
    }, settleMs);
  };
  stack.defer(() => clearTimeout(settling));
  for (const informer of [services, slices, namespaces]) informer.onChange(changed);
  return stack;
}

/** Takes away what node proxies with the prefix have left on the host. Nothing there: success. */
export async function removeNodeProxy(instancePrefix: string, networkNamespace?: string): Promise<void> {
  await nftDeleteTable('ip', tableName(instancePrefix), networkNamespace);
}
