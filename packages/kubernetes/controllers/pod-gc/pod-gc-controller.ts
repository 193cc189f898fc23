import { isPlatformError } from '@hypernetes/foundation/errors';
import { resources, type Node, type Pod } from '../../client/index.ts';
import { createQueue, type Controller, type ControllerContext } from '../machinery/controller.ts';
import { isFinished } from '../machinery/pods.ts';

const sweepMs = 20_000;
/** A node must have been gone for so long before its pods are: it may be on its way back. */
const quarantineMs = 40_000;
const finishedPodsMax = 12_500;
const sweepKey = 'all';

/** Pods nobody else will remove: on nodes that are gone, deleted before they had a node, and finished ones beyond a number. */
export function planPodSweep(
  pods: readonly Pod[],
  nodeIsGone: (name: string) => boolean,
  finishedMax = finishedPodsMax,
): Pod[] {
  const lost = pods.filter((pod) => {
    const node = pod.spec?.nodeName ?? '';
    return node === '' ? pod.metadata.deletionTimestamp !== undefined : nodeIsGone(node);
  });
  const finished = pods.filter((pod) => isFinished(pod) && !lost.includes(pod));
  const age = ({ metadata }: Pod): string => metadata.creationTimestamp ?? '';
  const surplus = finished
    .toSorted((a, b) => (age(a) < age(b) ? -1 : 1))
    .slice(0, Math.max(0, finished.length - finishedMax));
  return [...lost, ...surplus];
}

/** Removes such pods every 20 seconds. */
export function startPodGcController(context: ControllerContext): Controller {
  const { client, informers, clock } = context;
  const pods = informers.of<Pod>(resources.pods);
  const nodes = informers.of<Node>(resources.nodes);
  const missingSince = new Map<string, number>();
  const queue = createQueue(context, 'pod-gc', async () => {
    const now = clock.now();
    const used = new Set(pods.list().map(({ spec }) => spec?.nodeName ?? ''));
    for (const name of used) {
      if (name !== '' && nodes.get(name) === undefined) {
        if (!missingSince.has(name)) missingSince.set(name, now);
      } else missingSince.delete(name);
    }
    for (const name of missingSince.keys()) if (!used.has(name)) missingSince.delete(name);
    const gone = new Set<string>();
    for (const [name, since] of missingSince) {
      if (now - since >= quarantineMs && (await isAbsent(name))) gone.add(name);
    }
    for (const { metadata } of planPodSweep(pods.list(), (name) => gone.has(name))) {
      await client
        .delete(resources.pods, metadata, {
          gracePeriodSeconds: 0,
          ...(metadata.uid === undefined ? {} : { uid: metadata.uid }),
        })
        .catch((error: unknown) => {
          if (!isPlatformError(error, 'NotFound')) throw error;
        });
    }
    return { requeueAfterMs: sweepMs };
  });
  const isAbsent = async (name: string): Promise<boolean> => {
    try {
      await client.get<Node>(resources.nodes, { name });
      return false;
    } catch (error) {
      if (isPlatformError(error, 'NotFound')) return true;
      throw error;
    }
  };
  queue.add(sweepKey);
  return queue;
}
