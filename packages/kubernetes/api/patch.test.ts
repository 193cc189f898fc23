import { describe, expect, test } from 'vitest';
import { isPlatformError } from '@hypernetes/foundation/errors';
import { statusOf } from './errors.ts';
import { applyPatch, type PatchType } from './patch.ts';
import { schemasForTests } from './schemas.fixture.ts';

const schemas = schemasForTests();
const pod = { definition: 'io.k8s.api.core.v1.Pod' };
const deployment = { definition: 'io.k8s.api.apps.v1.Deployment' };
const service = { definition: 'io.k8s.api.core.v1.Service' };
const network = { definition: 'io.k8s.api.core.v1.Network' };

type Fields = Record<string, unknown>;
const strategic = (kind: { definition: string }, current: Fields, patch: unknown): Fields =>
  applyPatch(schemas, kind, current, 'strategic', patch);

function codeOf(type: PatchType, patch: unknown, current: Fields = {}): number {
  try {
    applyPatch(schemas, pod, current, type, patch);
  } catch (error) {
    if (isPlatformError(error)) return statusOf(error).code;
    throw error;
  }
  return 200;
}

describe('merge patch', () => {
  // The examples of RFC 7386, appendix A, whose documents are objects.
  test.each([
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [{ a: 'foo' }, { a: { b: { c: null } } }, { a: { b: {} } }],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
  ])('%j patched with %j', (current, patch, expected) => {
    const before = JSON.stringify(current);
    expect(applyPatch(schemas, pod, current, 'merge', patch)).toEqual(expected);
    expect(JSON.stringify(current)).toBe(before);
  });

  test('the prototype is out of reach', () => {
    const patch: unknown = JSON.parse('{"__proto__":{"polluted":1},"a":{"__proto__":{"polluted":1}}}');
    const result = applyPatch(schemas, pod, { a: {} }, 'merge', patch);
    expect(({} as Fields)['polluted']).toBeUndefined();
    expect((result['a'] as Fields)['polluted']).toBeUndefined();
  });

  test('only objects are patches', () => {
    for (const patch of [[], 'x', null, 5]) expect(codeOf('merge', patch)).toBe(400);
  });
});

describe('JSON patch', () => {
  const current = { metadata: { labels: { a: '1', 'x/y': '2' } }, spec: { list: ['a', 'b'] } };
  const patched = (...operations: unknown[]): Fields => applyPatch(schemas, pod, current, 'json', operations);

  test('operations', () => {
    expect(patched({ op: 'add', path: '/metadata/labels/b', value: '3' })).toMatchObject({
      metadata: { labels: { a: '1', b: '3' } },
    });
    expect(patched({ op: 'remove', path: '/metadata/labels/x~1y' })['metadata']).toEqual({
      labels: { a: '1' },
    });
    expect(patched({ op: 'add', path: '/spec/list/-', value: 'c' })['spec']).toEqual({
      list: ['a', 'b', 'c'],
    });
    expect(patched({ op: 'add', path: '/spec/list/0', value: 'z' })['spec']).toEqual({
      list: ['z', 'a', 'b'],
    });
    expect(patched({ op: 'move', from: '/spec/list/0', path: '/spec/first' })['spec']).toEqual({
      list: ['b'],
      first: 'a',
    });
    expect(patched({ op: 'copy', from: '/spec', path: '/status' })).toMatchObject({ status: current.spec });
    expect(
      patched(
        { op: 'test', path: '/metadata/labels/a', value: '1' },
        { op: 'replace', path: '/metadata', value: {} },
      )['metadata'],
    ).toEqual({});
    expect(patched({ op: 'replace', path: '', value: { a: 1 } })).toEqual({ a: 1 });
    expect(current.spec.list).toEqual(['a', 'b']);
  });

  test.each([
    [[{ op: 'test', path: '/metadata/labels/a', value: '2' }], 422],
    [[{ op: 'remove', path: '/nothing' }], 422],
    [[{ op: 'replace', path: '/nothing', value: 1 }], 422],
    [[{ op: 'add', path: '/no/parent', value: 1 }], 422],
    [[{ op: 'add', path: '/spec/list/7', value: 1 }], 422],
    [[{ op: 'move', from: '/nothing', path: '/a' }], 422],
    [[{ op: 'replace', path: '', value: [] }], 422],
    [[{ op: 'remove', path: '' }], 422],
    [{}, 400],
    [['x'], 400],
    [[{ op: 'jump', path: '/a' }], 400],
    [[{ op: 'add', path: 'a', value: 1 }], 400],
    [[{ op: 'add', path: '/a~2', value: 1 }], 400],
    [[{ op: 'add', path: '/a' }], 400],
    [[{ op: 'copy', path: '/a' }], 400],
  ])('%j is refused with %d', (patch, code) => {
    expect(codeOf('json', patch, current)).toBe(code);
  });

  test('too many operations', () => {
    const many = Array.from({ length: 10_001 }, () => ({ op: 'test', path: '', value: current }));
    expect(codeOf('json', many, current)).toBe(413);
  });

  test('the prototype is out of reach', () => {
    expect(codeOf('json', [{ op: 'add', path: '/__proto__/polluted', value: 1 }], current)).toBe(422);
    expect(codeOf('json', [{ op: 'add', path: '/constructor/prototype/polluted', value: 1 }], current)).toBe(
      422,
    );
    expect(({} as Fields)['polluted']).toBeUndefined();
  });
});

describe('strategic merge patch', () => {
  const web = { name: 'web', image: 'nginx', env: [{ name: 'A', value: '1' }], args: ['x', 'y'] };
  const side = { name: 'side', image: 'busybox' };
  const current = { metadata: { name: 'p', labels: { a: '1' } }, spec: { containers: [web, side] } };

  test('maps merge, null deletes, plain lists are replaced', () => {
    const patch = {
      metadata: { labels: { a: null, b: '2' } },
      spec: { containers: [{ name: 'web', args: ['z'] }] },
    };
    expect(strategic(pod, current, patch)).toEqual({
      metadata: { name: 'p', labels: { b: '2' } },
      spec: { containers: [{ ...web, args: ['z'] }, side] },
    });
    expect(current.spec.containers[0]).toEqual(web);
  });

  test('list elements merge by key, new ones are appended, $patch: delete removes', () => {
    const patch = {
      spec: {
        containers: [
          { name: 'new', image: 'x' },
          {
            name: 'web',
            env: [
              { name: 'A', value: '2' },
              { name: 'B', value: '3' },
            ],
          },
          { name: 'side', $patch: 'delete' },
        ],
      },
    };
    expect(strategic(pod, current, patch)['spec']).toEqual({
      containers: [
        {
          ...web,
          env: [
            { name: 'A', value: '2' },
            { name: 'B', value: '3' },
          ],
        },
        { name: 'new', image: 'x' },
      ],
    });
  });

  test('$patch: replace replaces a list or an object', () => {
    expect(
      strategic(pod, current, { spec: { containers: [{ name: 'only' }, { $patch: 'replace' }] } })['spec'],
    ).toEqual({ containers: [{ name: 'only' }] });
    expect(strategic(pod, current, { metadata: { $patch: 'replace', name: 'q' } })['metadata']).toEqual({
      name: 'q',
    });
    expect(strategic(pod, current, { metadata: { labels: { $patch: 'delete' } } })['metadata']).toEqual({
      name: 'p',
    });
  });

  test('$setElementOrder: what kubectl apply sends', () => {
    const patch = {
      spec: {
        '$setElementOrder/containers': [{ name: 'side' }, { name: 'new' }, { name: 'web' }],
        containers: [{ name: 'new', image: 'x' }],
      },
    };
    const names = (result: Fields): unknown[] =>
      (result['spec'] as { containers: { name: string }[] }).containers.map((each) => each.name);
    expect(names(strategic(pod, current, patch))).toEqual(['side', 'new', 'web']);
    expect(
      names(
        strategic(pod, current, {
          spec: { '$setElementOrder/containers': [{ name: 'side' }, { name: 'web' }] },
        }),
      ),
    ).toEqual(['side', 'web']);
    // 'side' is the server's own. An element that is new to the server is placed behind those, as Kubernetes does.
    const added = {
      spec: {
        '$setElementOrder/containers': [{ name: 'new' }, { name: 'web' }],
        containers: [{ name: 'new', image: 'x' }],
      },
    };
    expect(names(strategic(pod, current, added))).toEqual(['side', 'new', 'web']);
    // Elements that were there keep their order relative to the server's own.
    const ordered = { spec: { '$setElementOrder/containers': [{ name: 'web' }] } };
    expect(names(strategic(pod, current, ordered))).toEqual(['web', 'side']);
  });

  test('primitive lists: union, deletion, order', () => {
    const finalized = { metadata: { finalizers: ['a', 'b', 'c'] } };
    const finalizers = (patch: unknown): unknown =>
      (strategic(pod, finalized, { metadata: patch })['metadata'] as Fields)['finalizers'];
    expect(finalizers({ finalizers: ['b', 'd'] })).toEqual(['a', 'b', 'c', 'd']);
    expect(finalizers({ '$deleteFromPrimitiveList/finalizers': ['b'] })).toEqual(['a', 'c']);
    expect(
      finalizers({
        '$deleteFromPrimitiveList/finalizers': ['a'],
        '$setElementOrder/finalizers': ['c', 'x', 'b'],
        finalizers: ['x'],
      }),
    ).toEqual(['c', 'x', 'b']);
    expect(finalizers({ finalizers: null })).toBeUndefined();
  });

  test('$retainKeys drops what the other choice of a union needs', () => {
    const before = {
      spec: { strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1 } } },
    };
    const patch = { spec: { strategy: { $retainKeys: ['type'], type: 'Recreate' } } };
    expect(strategic(deployment, before, patch)).toEqual({ spec: { strategy: { type: 'Recreate' } } });
    const volumes = {
      spec: {
        volumes: [
          { name: 'v', emptyDir: {} },
          { name: 'w', emptyDir: {} },
        ],
      },
    };
    const moved = {
      spec: { volumes: [{ name: 'v', $retainKeys: ['name', 'configMap'], configMap: { name: 'c' } }] },
    };
    expect(strategic(pod, volumes, moved)).toEqual({
      spec: {
        volumes: [
          { name: 'v', configMap: { name: 'c' } },
          { name: 'w', emptyDir: {} },
        ],
      },
    });
  });

  test('service ports merge by port; selectors are maps', () => {
    const before = { spec: { selector: { app: 'a' }, ports: [{ port: 80, nodePort: 30000 }] } };
    expect(
      strategic(service, before, { spec: { selector: { tier: 'x' }, ports: [{ port: 80, name: 'http' }] } }),
    ).toEqual({
      spec: { selector: { app: 'a', tier: 'x' }, ports: [{ port: 80, nodePort: 30000, name: 'http' }] },
    });
  });

  test('templates inside of others merge the same way, also in our own kinds', () => {
    const before = { spec: { template: { spec: { containers: [web, side] } } } };
    const patch = { spec: { template: { spec: { containers: [{ name: 'side', image: 'y' }] } } } };
    expect(strategic(deployment, before, patch)).toEqual({
      spec: { template: { spec: { containers: [web, { ...side, image: 'y' }] } } },
    });
    expect(
      strategic(
        network,
        { spec: { subnets: { a: { cidr: 'x' } } } },
        { spec: { subnets: { b: { cidr: 'y' } } } },
      ),
    ).toEqual({ spec: { subnets: { a: { cidr: 'x' }, b: { cidr: 'y' } } } });
  });

  test('fields the schema does not know merge plainly and keep no directive', () => {
    expect(strategic(pod, { x: { a: 1 } }, { x: { b: 2 }, y: [{ $patch: 'delete' }, { c: 3 }] })).toEqual({
      x: { a: 1, b: 2 },
      y: [{ c: 3 }],
    });
  });

  test.each([
    [{ spec: { containers: [{ image: 'no key' }] } }],
    [{ spec: { containers: ['text'] } }],
    [{ spec: { $patch: 'explode' } }],
    [{ spec: { '$setElementOrder/containers': {} } }],
    [{ spec: { $retainKeys: ['nodeName'], hostname: 'x' } }],
    [[]],
  ])('misuse is a 400: %j', (patch) => {
    expect(codeOf('strategic', patch, { spec: { containers: [web] } })).toBe(400);
  });
});
