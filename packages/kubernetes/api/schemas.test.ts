import { describe, expect, test } from 'vitest';
import { kinds } from './kinds.ts';
import { schemasForTests } from './schemas.fixture.ts';
import { loadSchemas } from './schemas.ts';

const schemas = schemasForTests();

describe('schemas', () => {
  test.each(kinds.map((kind) => [kind.definition, kind] as const))('%s has its schemas', (name, kind) => {
    const properties = schemas.definitions.get(name)?.properties ?? {};
    expect(Object.keys(properties)).toEqual(expect.arrayContaining(['apiVersion', 'kind', 'metadata']));
    if (kind.verbs.includes('list')) {
      const list = name.replace(/[^.]+$/, kind.listKind);
      expect(schemas.definitions.get(list)?.properties?.['items']).toBeDefined();
    }
    for (const sub of kind.subresources) {
      if (sub.kind.endsWith('Options')) continue; // query parameters, not bodies
      expect(schemas.definitions.has(sub.definition), sub.definition).toBe(true);
    }
    if (kind.subresources.some((sub) => sub.name === 'status')) expect(properties['status']).toBeDefined();
  });

  test('every reference leads somewhere', () => {
    const text = JSON.stringify(Object.fromEntries(schemas.definitions));
    const missing = [...new Set(text.match(/#\/definitions\/[^"]+/g))]
      .map((each) => each.slice('#/definitions/'.length))
      .filter((name) => !schemas.definitions.has(name));
    expect(missing).toEqual([]);
  });

  test('types, descriptions and required fields are those of the package', () => {
    const container = schemas.definitions.get('io.k8s.api.core.v1.Container');
    expect(container?.required).toEqual(['name']);
    expect(container?.properties?.['image']).toMatchObject({ type: 'string' });
    expect(container?.properties?.['image']?.description).toMatch(/image name/);
    expect(container?.properties?.['ports']).toMatchObject({
      type: 'array',
      items: { $ref: '#/definitions/io.k8s.api.core.v1.ContainerPort' },
      'x-kubernetes-patch-merge-key': 'containerPort',
      'x-kubernetes-list-map-keys': ['containerPort', 'protocol'],
    });
    const port = schemas.definitions.get('io.k8s.api.core.v1.ContainerPort');
    expect(port?.properties?.['containerPort']).toMatchObject({ type: 'integer', format: 'int32' });
    const secret = schemas.definitions.get('io.k8s.api.core.v1.Secret');
    expect(secret?.properties?.['data']).toMatchObject({ additionalProperties: { format: 'byte' } });
    const lease = schemas.definitions.get('io.k8s.api.coordination.v1.LeaseSpec');
    expect(lease?.properties?.['renewTime']?.$ref).toMatch(/MicroTime$/);
    const resources = schemas.definitions.get('io.k8s.api.core.v1.ResourceRequirements');
    expect(resources?.properties?.['limits']?.additionalProperties?.$ref).toMatch(/Quantity$/);
    const probe = schemas.definitions.get('io.k8s.api.core.v1.HTTPGetAction');
    expect(probe?.properties?.['port']?.$ref).toMatch(/IntOrString$/);
  });

  test('no string is left that is called like a quantity', () => {
    const names = /^(limits|requests|capacity|allocatable|hard|used|sizeLimit|overhead|podFixed|divisor)$/;
    const left: string[] = [];
    for (const [name, schema] of schemas.definitions) {
      if (!/api\.(core|node)\./.test(name)) continue;
      for (const [field, each] of Object.entries(schema.properties ?? {})) {
        const type = each.additionalProperties?.type ?? each.type;
        if (names.test(field) && type === 'string') left.push(`${name}.${field}`);
      }
    }
    expect(left).toEqual([]);
  });

  test('a missing file says how to make it', () => {
    expect(() => loadSchemas('/nonexistent/schemas.json')).toThrow(/generate-schemas/);
  });
});
