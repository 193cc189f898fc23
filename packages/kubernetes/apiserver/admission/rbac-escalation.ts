import type { Authorizer } from '../authorization/authorizer.ts';
import { uncoveredParts, type PolicyRule } from '../authorization/rules.ts';
import type { AdmissionPlugin, AdmissionRequest } from './admission.ts';
import { refuse } from './refusals.ts';

const rbacGroup = 'rbac.authorization.k8s.io';
const maxNamed = 5;

function describe(rule: PolicyRule): string {
  const parts = [
    ['APIGroups', rule.apiGroups],
    ['Resources', rule.resources],
    ['ResourceNames', rule.resourceNames],
    ['NonResourceURLs', rule.nonResourceURLs],
    ['Verbs', rule.verbs],
  ] as const;
  const said = parts
    .filter(([, values]) => values !== undefined)
    .map(([name, values]) => `${name}:${JSON.stringify(values)}`);
  return `{${said.join(', ')}}`;
}

function requireCovered(
  request: AdmissionRequest,
  authorizer: Authorizer,
  rules: readonly PolicyRule[],
): void {
  const missing = uncoveredParts(authorizer.rulesOf(request.user, request.namespace), rules);
  if (missing.length === 0) return;
  const named = missing.slice(0, maxNamed).map(describe).join('\n');
  const more = missing.length > maxNamed ? `\nand ${missing.length - maxNamed} more` : '';
  throw refuse(
    request,
    `user ${JSON.stringify(request.user.name)} (groups=${JSON.stringify(request.user.groups)}) is attempting to grant RBAC permissions not currently held:\n${named}${more}`,
  );
}

function may(
  request: AdmissionRequest,
  authorizer: Authorizer,
  verb: string,
  resource: string,
  name: string,
): boolean {
  const place = { namespace: request.namespace, name };
  return authorizer.authorize(request.user, {
    kind: 'resource',
    verb,
    group: rbacGroup,
    resource,
    subresource: '',
    ...place,
  }).allowed;
}

function checkRole(request: AdmissionRequest, authorizer: Authorizer): void {
  if (may(request, authorizer, 'escalate', request.kind.plural, request.name)) return;
  const rules = (request.object?.['rules'] ?? []) as readonly PolicyRule[];
  requireCovered(request, authorizer, rules);
}

function checkBinding(request: AdmissionRequest, authorizer: Authorizer): void {
  const reference = request.object?.['roleRef'] as { kind: string; name: string } | undefined;
  if (reference === undefined) return; // validation says so
  const resource = reference.kind === 'ClusterRole' ? 'clusterroles' : 'roles';
  if (may(request, authorizer, 'bind', resource, reference.name)) return;
  const rules = authorizer.rulesOfRole(reference, request.namespace);
  if (rules === undefined) {
    throw refuse(
      request,
      `${reference.kind} "${reference.name}" not found: a role must exist before it is bound`,
    );
  }
  requireCovered(request, authorizer, rules);
}

/** Nobody makes or binds a role with more rights than they have, unless they have the verb escalate or bind. */
export function rbacEscalation(authorizer: Authorizer): AdmissionPlugin {
  return {
    name: 'RbacEscalation',
    validate: async (request) => {
      if (request.kind.group !== rbacGroup || request.object === undefined) return;
      await authorizer.load();
      if (request.kind.kind.endsWith('Binding')) checkBinding(request, authorizer);
      else checkRole(request, authorizer);
    },
  };
}
