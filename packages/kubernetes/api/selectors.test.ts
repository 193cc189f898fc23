import { describe, expect, test } from 'vitest';
import { findKind } from './kinds.ts';
import type { ApiObject } from './object.ts';
import {
  formatLabelSelector,
  matchesLabels,
  matchesLabelSelector,
  parseFieldSelector,
  parseLabelSelector,
} from './selectors.ts';

describe('label selectors', () => {
  const labels = { app: 'web', tier: 'front', size: '5', 'example.com/name': 'x', empty: '', in: 'yes' };

  test.each([
    ['', true],
    ['  ', true],
    ['app', true],
    ['!app', false],
    ['other', false],
    ['!other', true],
    ['! other', true],
    ['app=web', true],
    ['app==web', true],
    [' app = web , tier!=back ', true],
    ['app=web,tier=back', false],
    ['app!=web', false],
    ['other!=web', true],
    ['app in (web, api)', true],
    ['app in (api)', false],
    ['app notin (api,db)', true],
    ['app notin (web)', false],
    ['other notin (web)', true],
    ['other in (web)', false],
    ['size>4', true],
    ['size > 5', false],
    ['size<10', true],
    ['app>1', false],
    ['example.com/name=x', true],
    ['empty=', true],
    ['empty=,app=web', true],
    ['empty in ()', true],
    ['empty in (,a)', true],
    ['in=yes', true],
    ['in in (yes)', true],
    ['toString', false],
  ])('%j: %s', (text, selected) => {
    expect(parseLabelSelector(text)(labels)).toBe(selected);
  });

  test('no labels at all', () => {
    expect(parseLabelSelector('!a')(undefined)).toBe(true);
    expect(parseLabelSelector('a')(undefined)).toBe(false);
  });

  test.each([
    ',',
    'a,',
    ',a',
    'a=b c',
    'a in b',
    'a in (b',
    'a in (b c)',
    '=b',
    'a=(b)',
    '!',
    '!a=b',
    'a>b',
    'a>',
    '-a=b',
    'a=-b',
    'a/b/c=d',
    `${'a'.repeat(64)}=b`,
    'a ~ b',
    'a\u0000',
  ])('%j is refused', (text) => {
    expect(() => parseLabelSelector(text)).toThrow(/unable to parse requirement/);
  });

  test('objects', () => {
    expect(matchesLabelSelector(undefined, labels)).toBe(false);
    expect(matchesLabelSelector({}, labels)).toBe(true);
    expect(matchesLabelSelector({}, undefined)).toBe(true);
    expect(matchesLabelSelector({ matchLabels: { app: 'web' } }, labels)).toBe(true);
    expect(matchesLabelSelector({ matchLabels: { app: 'web', tier: 'x' } }, labels)).toBe(false);
    const expression = (key: string, operator: string, values?: string[]): boolean =>
      matchesLabelSelector(
        { matchExpressions: [{ key, operator, ...(values === undefined ? {} : { values }) }] },
        labels,
      );
    expect(expression('app', 'In', ['web', 'x'])).toBe(true);
    expect(expression('app', 'NotIn', ['web'])).toBe(false);
    expect(expression('other', 'NotIn', ['web'])).toBe(true);
    expect(expression('app', 'Exists')).toBe(true);
    expect(expression('app', 'DoesNotExist')).toBe(false);
    expect(expression('app', 'Nonsense')).toBe(false);
  });

  test('the text of an object selects the same', () => {
    const selector = {
      matchLabels: { tier: 'front', app: 'web' },
      matchExpressions: [
        { key: 'x', operator: 'NotIn', values: ['b', 'a'] },
        { key: 'size', operator: 'Exists' },
        { key: 'y', operator: 'DoesNotExist' },
        { key: 'app', operator: 'In', values: ['web'] },
      ],
    };
    const text = formatLabelSelector(selector);
    expect(text).toBe('app=web,app in (web),size,tier=front,x notin (a,b),!y');
    for (const each of [labels, { ...labels, y: '' }, { ...labels, x: 'a' }, {}]) {
      expect(parseLabelSelector(text)(each)).toBe(matchesLabelSelector(selector, each));
    }
  });

  test('plain selectors', () => {
    expect(matchesLabels({ app: 'web' }, labels)).toBe(true);
    expect(matchesLabels({ app: 'web', no: 'x' }, labels)).toBe(false);
    expect(matchesLabels({}, labels)).toBe(false);
    expect(matchesLabels(undefined, labels)).toBe(false);
  });
});

describe('field selectors', () => {
  const pod: ApiObject = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'a', namespace: 'n' },
    spec: { nodeName: 'node1' },
    status: { phase: 'Running' },
  };
  const podKind = findKind('v1', 'Pod')!;

  test.each([
    ['', true],
    ['metadata.name=a', true],
    ['metadata.name==b', false],
    ['metadata.namespace=n,spec.nodeName=node1', true],
    ['status.phase!=Running', false],
    ['status.phase!=Failed,status.phase!=Succeeded', true],
    ['spec.hostNetwork=false', true],
    ['status.podIP=', true],
    ['spec.nodeName=', false],
  ])('%j: %s', (text, selected) => {
    expect(parseFieldSelector(podKind, text).matches(pod)).toBe(selected);
  });

  test('what can be looked up is told', () => {
    const selector = parseFieldSelector(podKind, 'metadata.name=a,metadata.namespace=n');
    expect(selector).toMatchObject({ name: 'a', namespace: 'n' });
    expect(parseFieldSelector(podKind, 'metadata.name!=a').name).toBeUndefined();
  });

  test('kinds have fields of their own', () => {
    const event: ApiObject = {
      apiVersion: 'v1',
      kind: 'Event',
      metadata: {},
      involvedObject: { kind: 'Pod', name: 'x', uid: 'u' },
      reason: 'Started',
      source: { component: 'kubelet' },
    };
    const eventKind = findKind('v1', 'Event')!;
    const text = 'involvedObject.name=x,involvedObject.kind=Pod,reason=Started,source=kubelet';
    expect(parseFieldSelector(eventKind, text).matches(event)).toBe(true);
    const job: ApiObject = { apiVersion: 'batch/v1', kind: 'Job', metadata: {} };
    expect(parseFieldSelector(findKind('batch/v1', 'Job')!, 'status.successful=0').matches(job)).toBe(true);
    const secret: ApiObject = { apiVersion: 'v1', kind: 'Secret', metadata: {}, type: 'a,b=c' };
    expect(parseFieldSelector(findKind('v1', 'Secret')!, 'type=a\\,b\\=c').matches(secret)).toBe(true);
  });

  test('what is not supported is refused', () => {
    expect(() => parseFieldSelector(podKind, 'spec.foo=a')).toThrow(/field label not supported: spec.foo/);
    expect(() => parseFieldSelector(podKind, 'metadata.name')).toThrow(/can't understand 'metadata.name'/);
    expect(() => parseFieldSelector(findKind('v1', 'Node')!, 'metadata.namespace=x')).toThrow(
      /not supported/,
    );
  });
});
