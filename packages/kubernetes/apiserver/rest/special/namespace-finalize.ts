import type { Namespace } from 'kubernetes-types/core/v1';
import { readObject } from '../request-body.ts';
import { writeContext, type SpecialHandler } from '../resource-handler.ts';
import { answer, requireVerb } from './answers.ts';
import type { SpecialDependencies } from './dependencies.ts';

/** PUT namespaces/<name>/finalize: the namespace controller says that nothing is left in it. */
export function namespaceHandlers({ schemas }: SpecialDependencies): [string, SpecialHandler][] {
  const finalize: SpecialHandler = async (call) => {
    requireVerb(call, 'update');
    const { context, info, storage } = call;
    const wanted = await readObject(context, schemas, storage.registration.kind);
    const finalizers = (wanted as unknown as Namespace).spec?.finalizers ?? [];
    const updated = await storage.update(
      info,
      (old) => {
        const { resourceVersion, uid } = wanted.metadata;
        const metadata = {
          ...old.metadata,
          ...(uid === undefined ? {} : { uid }),
          ...(resourceVersion === undefined ? {} : { resourceVersion }),
        };
        return { ...old, metadata, spec: { ...(old['spec'] as object | undefined), finalizers } };
      },
      writeContext(call),
    );
    await answer(context, updated, 200);
  };
  return [['/namespaces/finalize', finalize]];
}
