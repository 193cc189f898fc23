/** rbac.authorization.k8s.io PolicyRule. */
export interface PolicyRule {
  readonly verbs: readonly string[];
  readonly apiGroups?: readonly string[];
  readonly resources?: readonly string[];
  readonly resourceNames?: readonly string[];
  readonly nonResourceURLs?: readonly string[];
}

/** What somebody wants to do: the attributes of a SubjectAccessReview. */
export type AccessAttributes =
  | {
      readonly kind: 'resource';
      readonly verb: string;
      readonly group: string;
      readonly resource: string;
      readonly subresource: string;
      readonly namespace: string;
      readonly name: string;
    }
  | { readonly kind: 'path'; readonly verb: string; readonly path: string };

function includes(list: readonly string[] | undefined, value: string): boolean {
  return list !== undefined && (list.includes('*') || list.includes(value));
}

/** Whether one rule allows it (RBAC, "Referring to resources"). */
export function ruleAllows(rule: PolicyRule, wanted: AccessAttributes): boolean {
  if (!includes(rule.verbs, wanted.verb)) return false;
  if (wanted.kind === 'path') return urlMatches(rule.nonResourceURLs ?? [], wanted.path);
  return (
    includes(rule.apiGroups, wanted.group) &&
    resourceMatches(rule.resources ?? [], wanted.resource, wanted.subresource) &&
    nameMatches(rule.resourceNames, wanted.name)
  );
}

function urlMatches(patterns: readonly string[], path: string): boolean {
  return patterns.some((pattern) =>
    pattern.endsWith('*') ? path.startsWith(pattern.slice(0, -1)) : pattern === path,
  );
}

function resourceMatches(patterns: readonly string[], resource: string, subresource: string): boolean {
  if (patterns.includes('*')) return true;
  if (subresource === '') return patterns.includes(resource);
  return patterns.includes(`${resource}/${subresource}`) || patterns.includes(`*/${subresource}`);
}

function nameMatches(names: readonly string[] | undefined, name: string): boolean {
  return names === undefined || names.length === 0 || names.includes(name);
}

/**
 * The parts of the wanted rules that the held ones do not cover, each as one verb on one resource; empty: covered. Nobody may
 * give away what they do not have (RBAC, "Privilege escalation prevention").
 */
export function uncoveredParts(held: readonly PolicyRule[], wanted: readonly PolicyRule[]): PolicyRule[] {
  return wanted.flatMap(partsOf).filter((part) => !held.some((rule) => covers(rule, part)));
}

function partsOf(rule: PolicyRule): PolicyRule[] {
  const urls = (rule.nonResourceURLs ?? []).flatMap((url) =>
    rule.verbs.map((verb) => ({ verbs: [verb], nonResourceURLs: [url] })),
  );
  const names = rule.resourceNames ?? [];
  const resources = (rule.apiGroups ?? []).flatMap((group) =>
    (rule.resources ?? []).flatMap((resource) =>
      rule.verbs.flatMap((verb) => {
        const part = { verbs: [verb], apiGroups: [group], resources: [resource] };
        return names.length === 0 ? [part] : names.map((name) => ({ ...part, resourceNames: [name] }));
      }),
    ),
  );
  return [...urls, ...resources];
}

function covers(rule: PolicyRule, part: PolicyRule): boolean {
  const verb = part.verbs[0] ?? '';
  if (!includes(rule.verbs, verb)) return false;
  const url = part.nonResourceURLs?.[0];
  if (url !== undefined) {
    return (rule.nonResourceURLs ?? []).some(
      (held) => held === url || (held.endsWith('*') && url.startsWith(held.slice(0, -1))),
    );
  }
  const resource = part.resources?.[0] ?? '';
  const [main = '', subresource = ''] = resource.split('/');
  const heldNames = rule.resourceNames ?? [];
  const names = part.resourceNames ?? [];
  return (
    includes(rule.apiGroups, part.apiGroups?.[0] ?? '') &&
    (rule.resources?.includes(resource) === true ||
      resourceMatches(rule.resources ?? [], main, subresource)) &&
    (heldNames.length === 0 || (names.length > 0 && names.every((name) => heldNames.includes(name))))
  );
}
