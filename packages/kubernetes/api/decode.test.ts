import { describe, expect, test } from 'vitest';
import { isPlatformError } from '@hypernetes/foundation/errors';
import { decodeObject, deleteOptionsKind, type FieldValidation } from './decode.ts';
import { statusOf, type Status } from './errors.ts';
import { findKind } from './kinds.ts';
import { schemasForTests } from './schemas.fixture.ts';
import { parseTimestamp } from './timestamp.ts';

const schemas = schemasForTests();

function decode(
  apiVersion: string,
  kind: string,
  body: unknown,
  fieldValidation: FieldValidation = 'Strict',
): ReturnType<typeof decodeObject> {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return decodeObject(schemas, findKind(apiVersion, kind)!, text, { fieldValidation });
}

function statusOfFailure(work: () => unknown): Status {
  try {
    work();
  } catch (error) {
    if (isPlatformError(error)) return statusOf(error);
    throw error;
  }
  throw new Error('nothing was thrown');
}

const pod = (spec: unknown): unknown => ({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'x' }, spec });

describe('decodeObject', () => {
  test('keeps what the schema knows and fills in what it is', () => {
    const { object, warnings } = decode('v1', 'ConfigMap', { data: { a: 'b' } });
    expect(object).toEqual({ apiVersion: 'v1', kind: 'ConfigMap', metadata: {}, data: { a: 'b' } });
    expect(warnings).toEqual([]);
  });

  test('nulls are absent fields; nulls in lists and maps are zero values', () => {
    const { object } = decode('v1', 'Pod', {
      metadata: { name: 'x', creationTimestamp: null, labels: { a: null } },
      spec: { nodeName: null, containers: [null, { name: 'c', args: [null, 'a'] }] },
      status: null,
    });
    expect(object).toEqual({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'x', labels: { a: '' } },
      spec: { containers: [{}, { name: 'c', args: ['', 'a'] }] },
    });
  });

  test('unknown fields: refused, warned about, or dropped', () => {
    const body = pod({ foo: 1, containers: [{ name: 'c', imagee: 'x' }] });
    const status = statusOfFailure(() => decode('v1', 'Pod', body));
    expect(status).toMatchObject({ code: 400, reason: 'BadRequest' });
    expect(status.message).toBe(
      'Pod in version "v1" cannot be handled as a Pod: strict decoding error: ' +
        'unknown field "spec.foo", unknown field "spec.containers[0].imagee"',
    );
    const warned = decode('v1', 'Pod', body, 'Warn');
    expect(warned.warnings).toEqual([
      'unknown field "spec.foo"',
      'unknown field "spec.containers[0].imagee"',
    ]);
    expect(warned.object['spec']).toEqual({ containers: [{ name: 'c' }] });
    expect(decode('v1', 'Pod', body, 'Ignore').warnings).toEqual([]);
  });

  test('names of the prototype are fields like any other', () => {
    expect(() => decode('v1', 'Pod', '{"constructor":{},"spec":{"toString":1}}')).toThrow(
      /unknown field "constructor", unknown field "spec.toString"/,
    );
    const { object } = decode('v1', 'ConfigMap', '{"data":{"__proto__":"x","constructor":"y"}}');
    expect(JSON.stringify(object['data'])).toBe('{"__proto__":"x","constructor":"y"}');
    expect(Object.getPrototypeOf(object['data'])).toBe(Object.prototype);
  });

  test('fields that occur twice are reported with their path', () => {
    const text =
      '{"spec":{"containers":[{"name":"a","env":[]},{"name":"b","na\\u006de":"c"}],"nodeName":"x","nodeName":"y"},' +
      '"metadata":{"name":"\\"{[,","labels":{}}}';
    expect(decode('v1', 'Pod', text, 'Warn').warnings).toEqual([
      'duplicate field "spec.containers[1].name"',
      'duplicate field "spec.nodeName"',
    ]);
    expect(() => decode('v1', 'Pod', text)).toThrow(/duplicate field "spec.nodeName"/);
  });

  test.each([
    [{ spec: 'x' }, /cannot unmarshal string into Go struct field Pod.spec of type v1.PodSpec/],
    [{ spec: { containers: {} } }, /cannot unmarshal object into .*spec.containers of type \[\]v1.Container/],
    [
      { spec: { containers: [{ image: 5 }] } },
      /cannot unmarshal number .*spec.containers\[0\].image of type string/,
    ],
    [{ spec: { hostNetwork: 'true' } }, /cannot unmarshal string .*spec.hostNetwork of type bool/],
    [{ spec: { priority: 1.5 } }, /cannot unmarshal number 1.5 .*spec.priority of type int32/],
    [{ spec: { priority: 3e9 } }, /cannot unmarshal number 3000000000 .*of type int32/],
    [{ spec: { activeDeadlineSeconds: 1e17 } }, /of type int64/],
    [{ metadata: { labels: { a: 1 } } }, /cannot unmarshal number .*metadata.labels.a of type string/],
    [{ metadata: [] }, /cannot unmarshal array .*metadata of type v1.ObjectMeta/],
    [
      { metadata: { creationTimestamp: 'yesterday' } },
      /metadata.creationTimestamp: parsing time "yesterday"/,
    ],
    [
      { spec: { containers: [{ resources: { limits: { cpu: 'lots' } } }] } },
      /limits.cpu: quantities must match/,
    ],
    [{ spec: { containers: [{ resources: { limits: { cpu: true } } }] } }, /cannot unmarshal bool/],
  ])('a value of the wrong type is a 400: %j', (body, message) => {
    const status = statusOfFailure(() => decode('v1', 'Pod', body));
    expect(status).toMatchObject({ code: 400, reason: 'BadRequest', status: 'Failure' });
    expect(status.message).toMatch(message);
  });

  test('quantities and times become canonical', () => {
    const { object } = decode('v1', 'Pod', {
      metadata: { deletionTimestamp: '2026-01-02T03:04:05+02:00' },
      spec: { containers: [{ name: 'c', resources: { limits: { cpu: 0.5, memory: '1024Mi' } } }] },
    });
    expect(object.metadata.deletionTimestamp).toBe('2026-01-02T01:04:05Z');
    expect(object['spec']).toMatchObject({
      containers: [{ resources: { limits: { cpu: '500m', memory: '1Gi' } } }],
    });
  });

  test('numbers and names where both may be', () => {
    const probe = (port: unknown): unknown => pod({ containers: [{ livenessProbe: { httpGet: { port } } }] });
    for (const port of [80, 'http']) {
      expect(decode('v1', 'Pod', probe(port)).object['spec']).toEqual({
        containers: [{ livenessProbe: { httpGet: { port } } }],
      });
    }
    expect(() => decode('v1', 'Pod', probe(true))).toThrow(/of type intstr.IntOrString/);
  });

  test('secret data must be base64', () => {
    expect(decode('v1', 'Secret', { data: { a: 'aGk=' } }).object['data']).toEqual({ a: 'aGk=' });
    expect(() => decode('v1', 'Secret', { data: { a: 'not base64!' } })).toThrow(
      /data.a: illegal base64 data/,
    );
  });

  test('any JSON is kept where the schema says so', () => {
    const data = { any: [1, { deep: null }] };
    const { object } = decode('apps/v1', 'ControllerRevision', { data, revision: 1 });
    expect(object['data']).toEqual(data);
  });

  test('another kind, another version, no JSON, no object', () => {
    expect(() => decode('v1', 'Pod', { kind: 'Service' })).toThrow(/kind in the data \(Service\)/);
    expect(() => decode('apps/v1', 'Deployment', { apiVersion: 'v1' })).toThrow(
      'the API version in the data (v1) does not match the expected API version (apps/v1)',
    );
    for (const text of ['', '{', 'kind: Pod', '[]', 'null', '"x"', '{"a":1,}']) {
      expect(statusOfFailure(() => decode('v1', 'Pod', text))).toMatchObject({ code: 400 });
    }
    const deep = `{"metadata":{"labels":${'['.repeat(100_000)}${']'.repeat(100_000)}}}`;
    expect(statusOfFailure(() => decode('v1', 'Pod', deep)).message).toMatch(/nested too deeply/);
  });

  test('a parsed body is not changed and not shared', () => {
    const body = { metadata: { name: 'x', annotations: { a: 'b' } }, data: { raw: { x: 1 } } };
    const before = JSON.stringify(body);
    const { object } = decodeObject(schemas, findKind('apps/v1', 'ControllerRevision')!, body, {
      fieldValidation: 'Strict',
    });
    (object['data'] as Record<string, unknown>)['raw'] = 'changed';
    object.metadata.annotations = {};
    expect(JSON.stringify(body)).toBe(before);
  });

  test('delete options of any group', () => {
    const { object } = decodeObject(
      schemas,
      deleteOptionsKind,
      { kind: 'DeleteOptions', apiVersion: 'apps/v1', gracePeriodSeconds: 0, preconditions: { uid: 'u' } },
      { fieldValidation: 'Strict' },
    );
    expect(object).toMatchObject({ gracePeriodSeconds: 0, preconditions: { uid: 'u' } });
  });

  test('our own kinds and fields', () => {
    const network = {
      metadata: { name: 'n' },
      spec: { tenantID: 't', subnets: { a: { cidr: 'x', gatway: 'y' } } },
    };
    expect(() => decode('v1', 'Network', network)).toThrow(/unknown field "spec.subnets.a.gatway"/);
    expect(decode('v1', 'Namespace', { spec: { network: 'net1' } }).object['spec']).toEqual({
      network: 'net1',
    });
  });
});

test.each([
  ['2026-01-02T03:04:05Z', '2026-01-02T03:04:05Z'],
  ['2026-01-02T03:04:05.999Z', '2026-01-02T03:04:05Z'],
  ['2026-12-31T23:59:59-01:00', '2027-01-01T00:59:59Z'],
  ['2026-02-30T00:00:00Z', undefined],
  ['2026-01-02T24:00:01Z', undefined],
  ['2026-01-02', undefined],
  ['2026-01-02T03:04:05', undefined],
])('timestamp %s', (text, canonical) => {
  expect(parseTimestamp(text, false)).toBe(canonical);
  expect(parseTimestamp(text, true)?.slice(0, 19)).toBe(canonical?.slice(0, 19));
});
