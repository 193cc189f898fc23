import type { Binding, Pod } from 'kubernetes-types/core/v1';
import { badRequest, type ApiObject } from '../../../api/index.ts';
import { sendNothing } from '../../proxy/http-proxy.ts';
import { conflict } from '../../http/status-error.ts';
import { formatTime } from '../../registry/deletion.ts';
import { parseDeleteOptions } from '../delete-options.ts';
import { readObject } from '../request-body.ts';
import { writeContext, type ResourceCall, type SpecialHandler } from '../resource-handler.ts';
import { answer, kindOf, requireVerb, success } from './answers.ts';
import type { SpecialDependencies } from './dependencies.ts';

/** binding, eviction, log, and the refusal of exec, attach and port-forward without an upgrade. */
export function podHandlers(dependencies: SpecialDependencies): [string, SpecialHandler][] {
  const upgradeOnly: SpecialHandler = () =>
    Promise.reject(
      badRequest('Upgrade request required: this works over a SPDY or WebSocket connection only'),
    );
  return [
    ['/pods/binding', async (call) => bind(dependencies, call, call.info.name)],
    ['/bindings/', async (call) => bindByBody(dependencies, call)],
    ['/pods/eviction', async (call) => evict(dependencies, call)],
    ['/pods/log', async (call) => log(dependencies, call)],
    ['/pods/exec', upgradeOnly],
    ['/pods/attach', upgradeOnly],
    ['/pods/portforward', upgradeOnly],
  ];
}

async function log({ locator, proxy }: SpecialDependencies, call: ResourceCall): Promise<void> {
  requireVerb(call, 'get');
  const { context, info } = call;
  const target = await locator.log(info, context.query);
  if (target === undefined) await sendNothing(context);
  else await proxy.stream(context, target, info.name);
}

async function bindByBody(dependencies: SpecialDependencies, call: ResourceCall): Promise<void> {
  requireVerb(call, 'create');
  await bind(dependencies, call, '');
}

async function bind(dependencies: SpecialDependencies, call: ResourceCall, podName: string): Promise<void> {
  requireVerb(call, 'create');
  const { context, info } = call;
  const object = await readObject(context, dependencies.schemas, kindOf('v1', 'Binding'));
  const { target } = object as unknown as Binding;
  const name = podName === '' ? (object.metadata.name ?? '') : podName;
  if ((target.kind ?? '') !== '' && target.kind !== 'Node') throw badRequest('target.kind: must be Node');
  const nodeName = target.name ?? '';
  if (nodeName === '') throw badRequest('target.name: a node is required');
  const pods = dependencies.catalogue.get('', 'v1', 'pods');
  const now = formatTime(dependencies.clock.now());
  await pods.update({ namespace: info.namespace, name }, (old) => bound(old, object, nodeName, now), {
    ...writeContext(call),
    subresource: 'binding',
  });
  await answer(context, success, 201);
}

function bound(old: ApiObject, binding: ApiObject, nodeName: string, now: string): ApiObject {
  const resource = { group: '', plural: 'pods/binding' };
  const name = old.metadata.name ?? '';
  const pod = old as unknown as Pod;
  if (binding.metadata.uid !== undefined && binding.metadata.uid !== old.metadata.uid) {
    throw conflict(
      resource,
      name,
      `Precondition failed: UID in precondition: ${binding.metadata.uid}, UID in object meta: ${old.metadata.uid ?? ''}`,
    );
  }
  if (old.metadata.deletionTimestamp !== undefined) {
    throw conflict(resource, name, `pod ${name} is being deleted, cannot be assigned to a host`);
  }
  const present = pod.spec?.nodeName ?? '';
  if (present !== '') throw conflict(resource, name, `pod ${name} is already assigned to node "${present}"`);
  const conditions = (pod.status?.conditions ?? []).filter((condition) => condition.type !== 'PodScheduled');
  const scheduled = { type: 'PodScheduled', status: 'True', lastProbeTime: null, lastTransitionTime: now };
  return {
    ...old,
    metadata: {
      ...old.metadata,
      ...(binding.metadata.annotations === undefined
        ? {}
        : { annotations: { ...old.metadata.annotations, ...binding.metadata.annotations } }),
    },
    spec: { ...(old['spec'] as object), nodeName },
    status: { ...(old['status'] as object | undefined), conditions: [...conditions, scheduled] },
  };
}

/** policy/v1 Eviction: a delete that disruption budgets may refuse; there is no budget that is watched over yet, so it is a delete. */
async function evict(dependencies: SpecialDependencies, call: ResourceCall): Promise<void> {
  requireVerb(call, 'create');
  const { context, info, storage } = call;
  const eviction = await readObject(context, dependencies.schemas, {
    group: 'policy',
    version: 'v1',
    kind: 'Eviction',
    definition: 'io.k8s.api.policy.v1.Eviction',
  });
  const options = parseDeleteOptions(
    eviction['deleteOptions'] as Record<string, unknown> | undefined,
    context.query,
  );
  const write = { ...writeContext(call), subresource: '', dryRun: options.dryRun };
  await storage.delete(info, options, write);
  await answer(context, success, 201);
}
