import {
  applyPatch,
  badRequest,
  decodeObject,
  patchTypes,
  type ApiObject,
  type LabelSelector,
} from '../../../api/index.ts';
import { contentTypeOf } from '../../http/negotiation.ts';
import { headerOf } from '../../http/responder.ts';
import { readBody } from '../../http/responder.ts';
import { unsupportedMediaType } from '../../http/status-error.ts';
import { formatSelector, none } from '../../columns/column-set.ts';
import { fieldValidationOf, parseJson, readObject } from '../request-body.ts';
import { subresourceOf, writeContext, type ResourceCall, type SpecialHandler } from '../resource-handler.ts';
import { answer, requireVerb } from './answers.ts';
import type { SpecialDependencies } from './dependencies.ts';

interface Scalable {
  readonly spec?: { readonly replicas?: number; readonly selector?: unknown };
  readonly status?: { readonly replicas?: number };
}

function selectorText(selector: unknown): string {
  if (typeof selector !== 'object' || selector === null) return '';
  // ReplicationControllers have a plain map of labels where the others have a LabelSelector.
  const isPlain = !('matchLabels' in selector) && !('matchExpressions' in selector);
  const text = formatSelector(
    isPlain ? { matchLabels: selector as Record<string, string> } : (selector as LabelSelector),
  );
  return text === none ? '' : text;
}

/** autoscaling/v1 Scale of an object that has replicas. */
export function scaleOf(object: ApiObject): ApiObject {
  const { spec, status } = object as Scalable;
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  return {
    apiVersion: 'autoscaling/v1',
    kind: 'Scale',
    metadata: JSON.parse(
      JSON.stringify({ name, namespace, uid, resourceVersion, creationTimestamp }),
    ) as ApiObject['metadata'],
    spec: { replicas: spec?.replicas ?? 1 },
    status: { replicas: status?.replicas ?? 0, selector: selectorText(spec?.selector) },
  };
}

function replicasOf(scale: ApiObject): number {
  const replicas = (scale['spec'] as { replicas?: unknown } | undefined)?.replicas ?? 0;
  if (typeof replicas !== 'number' || !Number.isSafeInteger(replicas) || replicas < 0) {
    throw badRequest('spec.replicas: must be a whole number that is not negative');
  }
  return replicas;
}

/** The scale subresource: get, update and patch of nothing but the number of replicas. */
export function scaleHandler({ schemas }: SpecialDependencies): SpecialHandler {
  const patched = (call: ResourceCall, body: unknown, type: string, old: ApiObject): ApiObject => {
    const kind = subresourceOf(call);
    const patchType = patchTypes[type];
    if (patchType === undefined) throw unsupportedMediaType(type, Object.keys(patchTypes));
    const changed = applyPatch(schemas, kind, scaleOf(old), patchType, body);
    const fieldValidation = fieldValidationOf(call.context.query);
    return decodeObject(schemas, kind, changed, { fieldValidation }).object;
  };
  return async (call) => {
    requireVerb(call, 'get', 'update', 'patch');
    const { context, info, storage } = call;
    if (info.verb === 'get') {
      await answer(context, scaleOf(await storage.get(info)), 200);
      return;
    }
    const type = contentTypeOf(headerOf(context.request, 'content-type'));
    const body =
      info.verb === 'patch'
        ? parseJson((await readBody(context.request)).toString('utf8'))
        : await readObject(context, schemas, subresourceOf(call));
    const updated = await storage.update(
      info,
      (old) => {
        const scale = info.verb === 'patch' ? patched(call, body, type, old) : (body as ApiObject);
        const { resourceVersion } = scale.metadata;
        const version = resourceVersion === undefined ? {} : { resourceVersion };
        const spec = { ...(old['spec'] as object | undefined), replicas: replicasOf(scale) };
        return { ...old, metadata: { ...old.metadata, ...version }, spec };
      },
      writeContext(call),
    );
    await answer(context, scaleOf(updated), 200);
  };
}
