import { mkdir, readFile } from 'node:fs/promises';
import { DisposalStack, WorkQueue } from '@hypernetes/foundation/lifecycle';
import { createLogger } from '@hypernetes/foundation/logging';
import { createEventRecorder, createInformer, resources, type Service } from '../client/index.ts';
import { parseResolvConf, type DnsSettings } from './containers/dns.ts';
import { ImagePuller } from './images/image-puller.ts';
import { resolveKubeletConfig, type KubeletConfig, type KubeletOptions } from './kubelet-options.ts';
import { NodeAgent } from './node/node-agent.ts';
import { ContainerKiller } from './pods/container-killer.ts';
import { ContainerStarter } from './pods/container-starter.ts';
import { PodEvents } from './pods/pod-events.ts';
import { PodRemover } from './pods/pod-remover.ts';
import { PodStore } from './pods/pod-store.ts';
import { PodSync } from './pods/pod-sync.ts';
import { portForwardConnections } from './probes/pod-connections.ts';
import { ProbeManager } from './probes/probe-manager.ts';
import type { ProbeTools } from './probes/run-probe.ts';
import { ReferencedObjects } from './references/referenced-objects.ts';
import { CriClient } from './runtime/cri-client.ts';
import { RuntimeWatcher } from './runtime/runtime-watcher.ts';
import { KubeletServer } from './serving/kubelet-server.ts';
import { rotateLogsForever } from './serving/log-rotation.ts';
import { PodFolders } from './volumes/pod-folders.ts';
import { PodVolumes } from './volumes/pod-volumes.ts';
import { ServiceAccountTokens } from './volumes/service-account-tokens.ts';

const log = createLogger('kubelet');
/** Pods worked on at the same time: most of the time they wait for the runtime. */
const concurrentPods = 32;
const retryMs = 500;
const retryMsMax = 30_000;
const orphanCheckMs = 30_000;

/** A kubelet that runs; disposing stops it and leaves every pod as it is. */
export interface Kubelet extends AsyncDisposable {
  /** Where its HTTPS server listens. */
  readonly port: number;
}

/**
 * Starts a kubelet: registers the node and runs the pods bound to it. It keeps no state of its own; all it needs it finds in the API and
 * in the labels and annotations of the runtime, so that ending it at any moment loses nothing.
 */
export async function startKubelet(options: KubeletOptions): Promise<Kubelet> {
  const config = resolveKubeletConfig(options);
  await mkdir(config.podLogsDir, { recursive: true, mode: 0o755 });
  await mkdir(config.dataDir, { recursive: true });
  const stack = new DisposalStack();
  try {
    return await start(config, stack);
  } catch (error) {
    await stack[Symbol.asyncDispose]();
    throw error;
  }
}

async function readHostDns(): Promise<DnsSettings> {
  return parseResolvConf(await readFile('/etc/resolv.conf', 'utf8').catch(() => ''));
}

async function start(config: KubeletConfig, stack: DisposalStack): Promise<Kubelet> {
  const { client } = config;
  const cri = stack.use(new CriClient(config.criSocket));
  const recorder = stack.use(createEventRecorder({ client, component: 'kubelet', host: config.nodeName }));
  const events = new PodEvents(recorder);
  const folders = new PodFolders(config.dataDir, config.runDir);
  const node = stack.use(await NodeAgent.create(client, cri, config));
  const services = stack.use(createInformer<Service>(client, resources.services));

  // Declared before what it works on: the parts below call it when something changes.
  let enqueue = (_podUid: string): void => undefined;
  const changed = (podUid: string): void => enqueue(podUid);

  const tools: ProbeTools = {
    connections: portForwardConnections(cri),
    execSync: (...args) => cri.execSync(...args),
  };
  const references = stack.use(new ReferencedObjects(client, (podUid) => objectsChanged(podUid)));
  const puller = stack.use(new ImagePuller(cri, events, changed));
  const probes = stack.use(new ProbeManager(tools, events, changed));
  const killer = stack.use(new ContainerKiller(cri, tools, events, changed));
  const store = stack.use(new PodStore(client, config.nodeName, (podUid) => podChanged(podUid)));
  const hostDns = await readHostDns();
  const sync = new PodSync({
    client,
    cri,
    store,
    events,
    puller,
    probes,
    killer,
    references,
    folders,
    starter: new ContainerStarter({
      cri,
      puller,
      references,
      folders,
      events,
      tools,
      services: () => services.list(),
      podLogsDir: config.podLogsDir,
      clusterDomain: config.clusterDomain,
    }),
    remover: new PodRemover({ cri, client, folders, killer, podLogsDir: config.podLogsDir }),
    volumes: new PodVolumes(client, folders),
    tokens: new ServiceAccountTokens(client),
    nodeName: config.nodeName,
    nodeAddress: config.nodeAddress,
    runtimeHandler: '',
    allocatable: () => node.allocatable,
    sandboxSettings: () => ({
      clusterDns: config.clusterDns,
      clusterDomain: config.clusterDomain,
      hostDns,
      podLogsDir: config.podLogsDir,
    }),
  });
  const objectsChanged = (podUid: string): void => {
    sync.objectsChanged(podUid);
    changed(podUid);
  };
  const queue = stack.use(
    new WorkQueue((podUid, signal) => sync.reconcile(podUid, signal), {
      concurrency: concurrentPods,
      baseDelayMs: retryMs,
      maxDelayMs: retryMsMax,
      onError: (podUid, error, attempt) => {
        const fields = { podUid, reason: error.reason, error: error.message, attempt };
        if (error.reason === 'Internal') log.error({ ...fields, err: error }, 'pod sync failed');
        else log.info(fields, 'pod sync to be tried again');
      },
    }),
  );
  const podChanged = (podUid: string): void => {
    const pod = store.get(podUid);
    if (pod?.metadata.deletionTimestamp !== undefined || pod === undefined) sync.interrupt(podUid);
    enqueue(podUid);
  };

  const server = stack.use(new KubeletServer(config, cri, store));
  const port = await server.listen();
  node.start(port);
  await Promise.all([store.start(), services.start()]);
  // From here on a pod that the API does not name is one to remove: not before the first list is in.
  enqueue = (podUid) => queue.add(podUid);
  for (const { metadata } of store.list()) queue.add(metadata.uid);
  const watcher = stack.use(new RuntimeWatcher(cri, changed));
  watcher.start();
  stack.use(startOrphanCheck(watcher, folders, store, (podUid) => queue.add(podUid)));
  stack.use(startLogRotation(config, cri));
  log.info({ node: config.nodeName, port, pods: store.list().length }, 'kubelet started');
  return {
    port,
    [Symbol.asyncDispose]: async () => await stack[Symbol.asyncDispose](),
  };
}

/** Pods that left something in the runtime or on the disk and that the API does not know. */
function startOrphanCheck(
  watcher: RuntimeWatcher,
  folders: PodFolders,
  store: PodStore,
  enqueue: (podUid: string) => void,
): Disposable {
  const check = async (): Promise<void> => {
    const uids = new Set([...watcher.podUids, ...(await folders.listPodUids())]);
    for (const uid of uids) if (uid !== '' && store.get(uid) === undefined) enqueue(uid);
  };
  const run = (): void =>
    void check().catch((error: unknown) => log.warn({ err: error }, 'orphans not looked for'));
  const timer = setInterval(run, orphanCheckMs);
  run();
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

function startLogRotation(config: KubeletConfig, cri: CriClient): AsyncDisposable {
  const abort = new AbortController();
  const limits = { bytesMax: config.logMaxBytes, filesMax: config.logMaxFiles };
  const loop = rotateLogsForever(cri, config.podLogsDir, limits, abort.signal);
  return {
    async [Symbol.asyncDispose]() {
      abort.abort();
      await loop;
    },
  };
}
