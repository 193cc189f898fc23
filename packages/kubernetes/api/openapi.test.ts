import { BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import { describe, expect, test } from 'vitest';
import { kinds } from './kinds.ts';
import { encodeSwagger } from './openapi-protobuf.ts';
import { openApiV2, openApiV2Protobuf, openApiV3, openApiV3Index } from './openapi.ts';
import { schemasForTests } from './schemas.fixture.ts';

const schemas = schemasForTests();

type Fields = Record<string, never>;
const at = (value: unknown, ...path: string[]): unknown =>
  path.reduce<unknown>((each, name) => (each as Fields | undefined)?.[name], value);

/** The length-delimited fields of a message: number and bytes. */
function messagesIn(bytes: Uint8Array): [number, Uint8Array][] {
  const reader = new BinaryReader(bytes);
  const found: [number, Uint8Array][] = [];
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag();
    if (type === WireType.LengthDelimited) found.push([number, reader.bytes()]);
    else reader.skip(type);
  }
  return found;
}

const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

describe('OpenAPI v2', () => {
  const document = openApiV2(schemas);

  test('definitions say which kind they are and how lists merge', () => {
    const pod = at(document, 'definitions', 'io.k8s.api.core.v1.Pod');
    expect(at(pod, 'x-kubernetes-group-version-kind')).toEqual([{ group: '', kind: 'Pod', version: 'v1' }]);
    const spec = at(document, 'definitions', 'io.k8s.api.core.v1.PodSpec', 'properties', 'containers');
    expect(spec).toMatchObject({
      'x-kubernetes-patch-strategy': 'merge',
      'x-kubernetes-patch-merge-key': 'name',
    });
  });

  test('every reference of the documents is in them', () => {
    const names = new Set(Object.keys(at(document, 'definitions') as object));
    for (const [, used] of JSON.stringify(document).matchAll(/#\/definitions\/([^"]+)/g)) {
      expect(names).toContain(used);
    }
    for (const path of Object.keys(at(openApiV3Index(schemas), 'paths') as object)) {
      const v3 = openApiV3(schemas, path);
      const components = new Set(Object.keys(at(v3, 'components', 'schemas') as object));
      const text = JSON.stringify(v3);
      expect(text).not.toContain('#/definitions/');
      for (const [, used] of text.matchAll(/#\/components\/schemas\/([^"]+)/g))
        expect(components).toContain(used);
    }
  });

  test('paths have the actions of the verbs', () => {
    const pods = at(document, 'paths', '/api/v1/namespaces/{namespace}/pods');
    expect(at(pods, 'get', 'x-kubernetes-action')).toBe('list');
    expect(at(pods, 'post', 'x-kubernetes-action')).toBe('post');
    const scale = '/apis/apps/v1/namespaces/{namespace}/deployments/{name}/scale';
    expect(at(document, 'paths', scale, 'patch', 'x-kubernetes-group-version-kind')).toEqual({
      group: 'autoscaling',
      kind: 'Scale',
      version: 'v1',
    });
    expect(at(document, 'paths', '/api/v1/networks/{name}/status', 'put')).toBeDefined();
    expect(at(document, 'paths', '/api/v1/namespaces', 'delete')).toBeUndefined();
    const ids = JSON.stringify(document).match(/"operationId":"[^"]+"/g) ?? [];
    expect(new Set(ids).size).toBe(ids.length);
  });
});

describe('OpenAPI v3', () => {
  test('every group version has a document, found through the index', () => {
    const index = openApiV3Index(schemas);
    expect(Object.keys(at(index, 'paths') as object)).toContain('apis/apps/v1');
    expect(at(index, 'paths', 'api/v1', 'serverRelativeURL')).toMatch(
      /^\/openapi\/v3\/api\/v1\?hash=[0-9A-F]{32}$/,
    );
    expect(openApiV3(schemas, 'apis/none/v1')).toBeUndefined();
    for (const kind of kinds) {
      const path = kind.group === '' ? 'api/v1' : `apis/${kind.group}/${kind.version}`;
      expect(at(openApiV3(schemas, path), 'components', 'schemas', kind.definition)).toBeDefined();
    }
  });

  test('PATCH tells about dry run and field validation', () => {
    const patch = at(openApiV3(schemas, 'api/v1'), 'paths', '/api/v1/networks/{name}', 'patch');
    const names = (at(patch, 'parameters') as { name: string }[]).map((each) => each.name);
    expect(names).toEqual(expect.arrayContaining(['dryRun', 'fieldValidation']));
  });
});

describe('OpenAPI v2 as protobuf', () => {
  test('definitions, paths and extensions are where gnostic looks for them', () => {
    const document = messagesIn(openApiV2Protobuf(schemas));
    const first = (number: number): Uint8Array =>
      document.find(([each]) => each === number)?.[1] ?? new Uint8Array();
    expect(textOf(first(1))).toBe('2.0');
    const definitions = new Map(
      messagesIn(first(9)).map(([, pair]) => {
        const [[, name] = [0, new Uint8Array()], [, schema] = [0, new Uint8Array()]] = messagesIn(pair);
        return [textOf(name), schema];
      }),
    );
    expect([...definitions.keys()]).toEqual(Object.keys(at(openApiV2(schemas), 'definitions') as object));
    const container = messagesIn(definitions.get('io.k8s.api.core.v1.Container') ?? new Uint8Array());
    expect(container.filter(([number]) => number === 19).map(([, bytes]) => textOf(bytes))).toEqual(['name']);
    const pod = messagesIn(definitions.get('io.k8s.api.core.v1.Pod') ?? new Uint8Array());
    const [extension] = pod.filter(([number]) => number === 31).map(([, bytes]) => textOf(bytes));
    expect(extension).toContain('x-kubernetes-group-version-kind');
    expect(extension).toContain('[{"group":"","kind":"Pod","version":"v1"}]');
    const paths = messagesIn(first(8)).map(([number, pair]) => [number, textOf(messagesIn(pair)[0]![1])]);
    expect(paths).toContainEqual([2, '/api/v1/pods']);
  });

  test('a field without an encoder is an error, not a loss', () => {
    expect(() => encodeSwagger({ swagger: '2.0', host: 'x' })).toThrow(/no encoder for host/);
  });
});
