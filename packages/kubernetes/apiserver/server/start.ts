import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { DisposalStack, systemClock, type Clock } from '@hypernetes/foundation/lifecycle';
import { createLogger } from '@hypernetes/foundation/logging';
import { loadSchemas, type ApiObject, type Schemas } from '../../api/index.ts';
import { openSqliteStore, type Store } from '../../store/index.ts';
import { AdmissionChain } from '../admission/admission.ts';
import { makeAdmissionPlugins } from '../admission/plugins.ts';
import { Authenticator } from '../authentication/authenticator.ts';
import { ServiceAccountTokens } from '../authentication/service-account-tokens.ts';
import {
  connectIdentityService,
  TenantTokens,
  type IdentityService,
} from '../authentication/tenant-tokens.ts';
import { Authorizer } from '../authorization/authorizer.ts';
import { storePrefix } from '../cache/resource-cache.ts';
import { StoreDispatcher } from '../cache/store-dispatcher.ts';
import type { Pki } from '../pki/pki.ts';
import { HttpProxy } from '../proxy/http-proxy.ts';
import { KubeletLocator } from '../proxy/kubelet-locator.ts';
import { UpgradeProxy } from '../proxy/upgrade-proxy.ts';
import { Catalogue, makeRegistrations, storedResources } from '../registry/catalogue.ts';
import { makeStrategies } from '../registry/strategies.ts';
import { ResourceHandler } from '../rest/resource-handler.ts';
import { makeSpecialHandlers } from '../rest/special/index.ts';
import { ensureBootstrapObjects } from './bootstrap.ts';
import { startHttpServer } from './http-server.ts';
import { PathHandler } from './path-handler.ts';
import { RequestMetrics } from './request-metrics.ts';
import { RequestPipeline } from './request-pipeline.ts';
import { makeVisibility } from './visibility.ts';

export interface ApiServerOptions {
  /** Folder of the store; made when absent (0700). */
  readonly dataDir: string;
  readonly pki: Pki;
  readonly bindAddress: string;
  /** 0: any free one. */
  readonly port: number;
  /** The address pods and other machines reach this server at. */
  readonly advertiseAddress: string;
  /** Service addresses are given out of it; its first one is the Service default/kubernetes. */
  readonly serviceCidr: string;
  /** build/schemas.json, made from the schema package. */
  readonly schemasPath: string;
  /** Socket of kubestack.v1, which knows the tenants' tokens; absent: no tenants. */
  readonly kubestackSocket?: string;
  readonly clock?: Clock;
}

/** A running API server. */
export interface ApiServer extends AsyncDisposable {
  /** https://127.0.0.1:<port> */
  readonly url: string;
  readonly port: number;
}

const log = createLogger('kubernetes:apiserver');

/**
 * Opens the store, makes what exists from the first start on (namespaces default and kube-*, roles, Service default/kubernetes), and
 * serves. Everything acknowledged is on disk: the process may be killed at any time. Unavailable: the port or the store is taken.
 */
export async function startApiServer(options: ApiServerOptions): Promise<ApiServer> {
  const stack = new DisposalStack();
  try {
    return await start(options, stack);
  } catch (error) {
    await stack[Symbol.asyncDispose]();
    throw error;
  }
}

async function start(options: ApiServerOptions, stack: DisposalStack): Promise<ApiServer> {
  const clock = options.clock ?? systemClock;
  const schemas = loadSchemas(options.schemasPath);
  await mkdir(options.dataDir, { recursive: true, mode: 0o700 });
  const store = stack.use(await openSqliteStore({ path: join(options.dataDir, 'store.sqlite') }));
  const core = await makeCore(options, { store, schemas, clock, stack });
  const pipeline = makePipeline(options, { ...core, store, schemas, clock, stack });
  await ensureBootstrapObjects(core.catalogue);
  const server = stack.use(
    await startHttpServer({
      bindAddress: options.bindAddress,
      port: options.port,
      serving: options.pki.apiServer,
      clientCaPem: options.pki.caPem,
      onRequest: (request, response, socket) => void pipeline.handle(request, response, socket),
      onUpgrade: (request, socket, head) => void pipeline.handleUpgrade(request, socket, head),
    }),
  );
  stack.use(pipeline);
  log.info({ port: server.port }, 'API server serves');
  return {
    url: `https://127.0.0.1:${server.port}`,
    port: server.port,
    [Symbol.asyncDispose]: async () => stack[Symbol.asyncDispose](),
  };
}

interface Foundation {
  readonly store: Store;
  readonly schemas: Schemas;
  readonly clock: Clock;
  readonly stack: DisposalStack;
}

interface Core {
  readonly catalogue: Catalogue;
  readonly dispatcher: StoreDispatcher;
  readonly authorizer: Authorizer;
}

async function makeCore(options: ApiServerOptions, { store, clock, stack }: Foundation): Promise<Core> {
  const strategies = makeStrategies({
    serviceCidr: options.serviceCidr,
    list: async (group, plural) =>
      (await catalogue.get(group, 'v1', plural).listNow()).map((item) => item.object),
  });
  const registrations = makeRegistrations(strategies);
  const dispatcher = stack.use(await StoreDispatcher.start(store, storedResources(registrations), log));
  const cacheOf = (group: string, plural: string) => dispatcher.cache(storePrefix({ group, plural }));
  const rbac = 'rbac.authorization.k8s.io';
  const authorizer = new Authorizer({
    roles: cacheOf(rbac, 'roles'),
    clusterRoles: cacheOf(rbac, 'clusterroles'),
    roleBindings: cacheOf(rbac, 'rolebindings'),
    clusterRoleBindings: cacheOf(rbac, 'clusterrolebindings'),
    namespaces: cacheOf('', 'namespaces'),
  });
  const find = async (
    plural: string,
    place: { namespace: string; name: string },
  ): Promise<ApiObject | undefined> => await catalogue.get('', 'v1', plural).find(place);
  const admission = new AdmissionChain(
    makeAdmissionPlugins({
      find,
      listPods: async (namespace) =>
        (await catalogue.get('', 'v1', 'pods').listNow({ namespace })).map((item) => item.object),
      listPriorityClasses: async () =>
        (await catalogue.get('scheduling.k8s.io', 'v1', 'priorityclasses').listNow()).map(
          (item) => item.object,
        ),
      authorizer,
    }),
  );
  const catalogue: Catalogue = new Catalogue(registrations, { store, dispatcher, admission, clock });
  return { catalogue, dispatcher, authorizer };
}

function makePipeline(options: ApiServerOptions, parts: Foundation & Core): RequestPipeline {
  const { catalogue, dispatcher, authorizer, schemas, store, clock, stack } = parts;
  const tokens = new ServiceAccountTokens(
    options.pki.serviceAccountKeyPem,
    async (plural, place) => await catalogue.get('', 'v1', plural).find(place),
    clock,
  );
  const identity =
    options.kubestackSocket === undefined ? undefined : connect(stack, options.kubestackSocket);
  const authenticator = new Authenticator({
    serviceAccountTokens: tokens,
    tenantTokens: identity === undefined ? undefined : new TenantTokens(identity, clock),
  });
  const kubelet = { caPem: options.pki.caPem, client: options.pki.apiServerKubeletClient };
  const locator = new KubeletLocator({
    getPod: async (place) => await catalogue.get('', 'v1', 'pods').get(place),
    findNode: async (name) => await catalogue.get('', 'v1', 'nodes').find({ namespace: '', name }),
  });
  const proxy = stack.use(new HttpProxy(kubelet));
  const special = makeSpecialHandlers({
    schemas,
    catalogue,
    authorizer,
    authenticator,
    tokens,
    locator,
    proxy,
    clock,
  });
  const visibility = makeVisibility(authorizer);
  const metrics = new RequestMetrics({ apiserver_storage_revision: () => dispatcher.revision });
  return new RequestPipeline({
    authenticator,
    authorizer,
    resources: new ResourceHandler({ schemas, store, dispatcher, catalogue, clock, special, visibility }),
    paths: new PathHandler({
      schemas,
      serverAddress: `${options.advertiseAddress}:${options.port}`,
      healthChecks: [
        { name: 'ping', check: () => undefined },
        { name: 'store', check: async () => store.get('/-/health') },
        { name: 'watch-cache', check: async () => dispatcher.catchUp() },
      ],
      metrics: () => metrics.format(),
      log,
    }),
    upgrades: new UpgradeProxy(locator, kubelet),
    metrics,
    log,
  });
}

function connect(stack: DisposalStack, socketPath: string): IdentityService {
  return stack.use(connectIdentityService(socketPath));
}
