import {
  createKubeClient,
  loadKubeconfig,
  resources,
  type KubeClient,
  type Node,
} from '@hypernetes/kubernetes/client';
import { waitFor } from '@hypernetes/foundation/lifecycle';
import { nodeName, type Installation, type Settings } from '../config/installation.ts';

/** A client with the administrator's credentials. */
export async function connectKubernetes(installation: Installation): Promise<KubeClient> {
  return createKubeClient({
    ...(await loadKubeconfig(installation.kubeconfigPath)),
    userAgent: 'hypernetes-cli',
  });
}

/** Resolves when the node reports Ready; while waiting, says what it reports instead. */
export async function waitUntilNodeReady(
  installation: Installation,
  _settings: Settings,
  timeoutMs: number,
  note: (text: string) => void = () => undefined,
): Promise<void> {
  await using client = await connectKubernetes(installation);
  const name = nodeName();
  let reported = 'nothing yet';
  await waitFor(
    `node ${name} to be Ready`,
    { timeoutMs, intervalMs: 100 },
    async () => {
      const node = await client.get<Node>(resources.nodes, { name });
      const ready = node.status?.conditions?.find((condition) => condition.type === 'Ready');
      reported =
        ready === undefined ? 'no Ready condition' : `Ready=${ready.status} ${ready.reason ?? ''}`.trim();
      note(ready?.status === 'True' ? name : reported);
      return ready?.status === 'True';
    },
    () => reported,
  );
}
