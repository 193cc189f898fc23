import { isPlatformError, toPlatformError } from '@hypernetes/foundation/errors';
import {
  discoverResources,
  resources,
  updateStatusWithRetry,
  type DiscoveredResource,
  type KubeClient,
  type KubeObject,
  type Namespace,
} from '../../client/index.ts';
import { createQueue, type Controller, type ControllerContext } from '../machinery/controller.ts';
import { namespaceConditions, type ContentState, type Remainder } from './namespace-plan.ts';

const finalizer = 'kubernetes';
const pollMs = 500;
const pollMsMax = 5_000;
const pageSize = 500;
const deletionsAtOnce = 8;

/** Empties namespaces that are being deleted, whatever kinds the server has, and then lets them go. */
export function startNamespaceController(context: ControllerContext): Controller {
  const { client, clock } = context;
  const namespaces = context.informers.of<Namespace>(resources.namespaces);
  const queue = createQueue(context, 'namespace', async (key) => {
    const namespace = namespaces.get(key);
    if (namespace?.metadata.deletionTimestamp === undefined) return undefined;
    if (namespace.spec?.finalizers?.includes(finalizer) !== true) return undefined;
    const content = await emptyNamespace(client, key);
    const left = content.remainders.some(({ objects }) => objects.length > 0);
    const failed = content.discoveryFailure !== undefined || content.deletionFailures.length > 0;
    try {
      await writeConditions(client, key, content, clock.now());
      if (!left && !failed) {
        await finalize(client, key);
        return undefined;
      }
    } catch (error) {
      if (isPlatformError(error, 'NotFound')) return undefined;
      throw error;
    }
    const ageMs = clock.now() - Date.parse(namespace.metadata.deletionTimestamp);
    return { requeueAfterMs: Math.min(pollMsMax, Math.max(pollMs, ageMs / 4)) };
  });
  namespaces.onChange(({ key, current }) => {
    if (current?.metadata.deletionTimestamp !== undefined) queue.add(key);
  });
  return queue;
}

/** Deletes what is there, each with its own grace, and tells what is left after that. */
async function emptyNamespace(client: KubeClient, namespace: string): Promise<ContentState> {
  let discovered: DiscoveredResource[];
  try {
    discovered = await discoverResources(client);
  } catch (error) {
    return { remainders: [], deletionFailures: [], discoveryFailure: toPlatformError(error).message };
  }
  const deletable = discovered.filter(
    ({ namespaced, verbs }) => namespaced && verbs.includes('list') && verbs.includes('delete'),
  );
  const deletionFailures: string[] = [];
  const remainders: Remainder[] = [];
  for (const resource of deletable) {
    const name = `${resource.plural}.${resource.group}`;
    try {
      const objects = await listAll(client, resource, namespace);
      for (let i = 0; i < objects.length; i += deletionsAtOnce) {
        const some = objects.slice(i, i + deletionsAtOnce);
        await Promise.all(
          some.map((object) => deleteObject(client, resource, namespace, object, deletionFailures)),
        );
      }
      const left = objects.length === 0 ? [] : await listAll(client, resource, namespace);
      remainders.push({ resource: name, objects: left });
    } catch (error) {
      if (!isPlatformError(error, 'NotFound'))
        deletionFailures.push(`${name}: ${toPlatformError(error).message}`);
    }
  }
  return { remainders, deletionFailures };
}

async function listAll(
  client: KubeClient,
  resource: DiscoveredResource,
  namespace: string,
): Promise<KubeObject[]> {
  const found: KubeObject[] = [];
  let next: string | undefined;
  do {
    const page = await client.list<KubeObject>(resource, {
      namespace,
      metadataOnly: true,
      limit: pageSize,
      ...(next === undefined ? {} : { continue: next }),
    });
    found.push(...page.items);
    next = page.continue;
  } while (next !== undefined);
  return found;
}

async function deleteObject(
  client: KubeClient,
  resource: DiscoveredResource,
  namespace: string,
  { metadata }: KubeObject,
  failures: string[],
): Promise<void> {
  if (metadata.deletionTimestamp !== undefined) return;
  try {
    await client.delete(
      resource,
      { namespace, name: metadata.name },
      { propagationPolicy: 'Background', ...(metadata.uid === undefined ? {} : { uid: metadata.uid }) },
    );
  } catch (error) {
    const { reason, message } = toPlatformError(error);
    if (reason !== 'NotFound' && reason !== 'Conflict') failures.push(message);
  }
}

async function writeConditions(
  client: KubeClient,
  name: string,
  content: ContentState,
  nowMs: number,
): Promise<void> {
  await updateStatusWithRetry<Namespace>(client, resources.namespaces, { name }, (namespace) => ({
    ...namespace,
    status: {
      ...namespace.status,
      conditions: namespaceConditions(
        namespace.status?.conditions as Parameters<typeof namespaceConditions>[0],
        content,
        nowMs,
      ),
    },
  }));
}

async function finalize(client: KubeClient, name: string): Promise<void> {
  const namespace = await client.get<Namespace>(resources.namespaces, { name });
  const finalizers = (namespace.spec?.finalizers ?? []).filter((each) => each !== finalizer);
  await client.update(
    resources.namespaces,
    { ...namespace, spec: { ...namespace.spec, finalizers } },
    'finalize',
  );
}
