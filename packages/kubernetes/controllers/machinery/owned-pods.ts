import { matchesLabelSelector, type LabelSelector } from '../../api/index.ts';
import { keyOf, resources, type Informer, type KubeObject, type Pod } from '../../client/index.ts';
import type { ControllerContext } from './controller.ts';
import { controllerOf } from './pod-ownership.ts';
import type { UnseenChanges } from './unseen-changes.ts';

interface Selecting extends KubeObject {
  spec?: { selector?: LabelSelector };
}

/** Calls `wake` with the key of every owner a change of a pod concerns: its controller, before and after, and for orphans those that select it. */
export function wakeOwnersOfPods(
  context: ControllerContext,
  owners: Informer<KubeObject>,
  kind: string,
  unseen: UnseenChanges,
  wake: (ownerKey: string) => void,
): void {
  context.informers.of<Pod>(resources.pods).onChange(({ old, current }) => {
    if (current === undefined) unseen.gone(old?.metadata.uid);
    for (const pod of [old, current]) {
      if (pod === undefined) continue;
      const controller = controllerOf(pod);
      const namespace = pod.metadata.namespace ?? '';
      if (controller !== undefined) {
        if (controller.kind === kind) wake(`${namespace}/${controller.name}`);
        continue;
      }
      for (const owner of owners.byIndex('namespace', namespace)) {
        const { selector } = (owner as Selecting).spec ?? {};
        if (selector !== undefined && matchesLabelSelector(selector, pod.metadata.labels)) wake(keyOf(owner));
      }
    }
  });
}
