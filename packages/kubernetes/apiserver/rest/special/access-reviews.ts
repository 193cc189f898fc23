import { badRequest, type ApiObject } from '../../../api/index.ts';
import type { UserInfo } from '../../authentication/user.ts';
import type { AccessAttributes, PolicyRule } from '../../authorization/rules.ts';
import { readObject } from '../request-body.ts';
import type { ResourceCall, SpecialHandler } from '../resource-handler.ts';
import { answer, requireVerb, specOf } from './answers.ts';
import type { SpecialDependencies } from './dependencies.ts';

const group = 'authorization.k8s.io';

/** authorization.k8s.io: whether somebody may do something, and what the caller may do. */
export function accessReviewHandlers(dependencies: SpecialDependencies): [string, SpecialHandler][] {
  return [
    [
      `${group}/selfsubjectaccessreviews/`,
      async (call) => review(dependencies, call, () => call.context.user),
    ],
    [`${group}/subjectaccessreviews/`, async (call) => review(dependencies, call, subjectOf)],
    [`${group}/localsubjectaccessreviews/`, async (call) => review(dependencies, call, subjectOf)],
    [`${group}/selfsubjectrulesreviews/`, async (call) => rulesReview(dependencies, call)],
  ];
}

async function review(
  { schemas, authorizer }: SpecialDependencies,
  call: ResourceCall,
  userOf: (spec: Record<string, unknown>) => UserInfo,
): Promise<void> {
  requireVerb(call, 'create');
  const object = await readObject(call.context, schemas, call.storage.registration.kind);
  const spec = specOf(object);
  const wanted = attributesOf(spec);
  const { namespace } = call.info;
  if (namespace !== '' && (wanted.kind !== 'resource' || wanted.namespace !== namespace)) {
    throw badRequest(`spec.resourceAttributes.namespace: must be ${namespace}, the namespace of the review`);
  }
  await authorizer.load();
  const { allowed, reason } = authorizer.authorize(userOf(spec), wanted);
  await answer(call.context, { ...object, status: { allowed, ...(reason === '' ? {} : { reason }) } }, 201);
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function attributesOf(spec: Record<string, unknown>): AccessAttributes {
  const resource = spec['resourceAttributes'] as Record<string, unknown> | undefined;
  const path = spec['nonResourceAttributes'] as Record<string, unknown> | undefined;
  if ((resource === undefined) === (path === undefined)) {
    throw badRequest('spec: exactly one of resourceAttributes and nonResourceAttributes is required');
  }
  if (resource === undefined) return { kind: 'path', verb: text(path?.['verb']), path: text(path?.['path']) };
  return {
    kind: 'resource',
    verb: text(resource['verb']),
    group: text(resource['group']),
    resource: text(resource['resource']),
    subresource: text(resource['subresource']),
    namespace: text(resource['namespace']),
    name: text(resource['name']),
  };
}

function subjectOf(spec: Record<string, unknown>): UserInfo {
  const groups = Array.isArray(spec['groups']) ? spec['groups'].map(text) : [];
  const name = text(spec['user']);
  if (name === '' && groups.length === 0)
    throw badRequest('spec: at least one of user and groups is required');
  return { name, groups, extra: (spec['extra'] ?? {}) as UserInfo['extra'] };
}

async function rulesReview({ schemas, authorizer }: SpecialDependencies, call: ResourceCall): Promise<void> {
  requireVerb(call, 'create');
  const object: ApiObject = await readObject(call.context, schemas, call.storage.registration.kind);
  const namespace = text(specOf(object)['namespace']);
  if (namespace === '') throw badRequest('no namespace on request');
  await authorizer.load();
  const rules = authorizer.rulesOf(call.context.user, namespace);
  await answer(call.context, { ...object, status: { ...partition(rules), incomplete: false } }, 201);
}

function partition(rules: readonly PolicyRule[]): Record<string, unknown> {
  return {
    resourceRules: rules.filter((rule) => rule.nonResourceURLs === undefined),
    nonResourceRules: rules
      .filter((rule) => rule.nonResourceURLs !== undefined)
      .map(({ verbs, nonResourceURLs }) => ({ verbs, nonResourceURLs })),
  };
}
