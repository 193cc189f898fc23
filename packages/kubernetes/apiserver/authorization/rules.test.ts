import { describe, expect, test } from 'vitest';
import { ruleAllows, uncoveredParts, type AccessAttributes, type PolicyRule } from './rules.ts';

function resource(verb: string, name: string, more: Partial<Record<string, string>> = {}): AccessAttributes {
  return {
    kind: 'resource',
    verb,
    group: '',
    resource: name,
    subresource: '',
    namespace: 'n',
    name: '',
    ...more,
  };
}

const pods: PolicyRule = { verbs: ['get', 'list'], apiGroups: [''], resources: ['pods'] };

describe('ruleAllows', () => {
  test.each<[string, PolicyRule, AccessAttributes, boolean]>([
    ['the verb', pods, resource('get', 'pods'), true],
    ['another verb', pods, resource('delete', 'pods'), false],
    ['another group', pods, resource('get', 'pods', { group: 'apps' }), false],
    ['a subresource', pods, resource('get', 'pods', { subresource: 'log' }), false],
    [
      'the subresource by name',
      { ...pods, resources: ['pods/log'] },
      resource('get', 'pods', { subresource: 'log' }),
      true,
    ],
    [
      'the subresource of all',
      { ...pods, resources: ['*/log'] },
      resource('get', 'pods', { subresource: 'log' }),
      true,
    ],
    [
      'everything',
      { verbs: ['*'], apiGroups: ['*'], resources: ['*'] },
      resource('x', 'y', { subresource: 'z' }),
      true,
    ],
    ['a name', { ...pods, resourceNames: ['a'] }, resource('get', 'pods', { name: 'a' }), true],
    ['another name', { ...pods, resourceNames: ['a'] }, resource('get', 'pods', { name: 'b' }), false],
    ['a list where names are given', { ...pods, resourceNames: ['a'] }, resource('list', 'pods'), false],
    [
      'a path',
      { verbs: ['get'], nonResourceURLs: ['/healthz'] },
      { kind: 'path', verb: 'get', path: '/healthz' },
      true,
    ],
    [
      'a path below',
      { verbs: ['get'], nonResourceURLs: ['/api/*'] },
      { kind: 'path', verb: 'get', path: '/api/v1' },
      true,
    ],
    [
      'a path beside',
      { verbs: ['get'], nonResourceURLs: ['/api/*'] },
      { kind: 'path', verb: 'get', path: '/apis' },
      false,
    ],
  ])('%s', (_what, rule, wanted, allowed) => {
    expect(ruleAllows(rule, wanted)).toBe(allowed);
  });
});

describe('uncoveredParts', () => {
  test.each<[string, PolicyRule[], PolicyRule[], number]>([
    ['the same', [pods], [pods], 0],
    ['less', [pods], [{ ...pods, verbs: ['get'] }], 0],
    ['more verbs', [pods], [{ ...pods, verbs: ['get', 'delete'] }], 1],
    ['a star', [pods], [{ ...pods, verbs: ['*'] }], 1],
    ['one name of all', [pods], [{ ...pods, resourceNames: ['a'] }], 0],
    ['all of one name', [{ ...pods, resourceNames: ['a'] }], [pods], 2],
    ['all resources', [pods], [{ ...pods, resources: ['*'] }], 2],
    ['a subresource of nothing', [pods], [{ ...pods, resources: ['pods/exec'] }], 2],
    [
      'a path',
      [{ verbs: ['get'], nonResourceURLs: ['/a/*'] }],
      [{ verbs: ['get'], nonResourceURLs: ['/a/b'] }],
      0,
    ],
  ])('%s', (_what, held, wanted, missing) => {
    expect(uncoveredParts(held, wanted)).toHaveLength(missing);
  });
});
