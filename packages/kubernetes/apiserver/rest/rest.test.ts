/* eslint-disable @typescript-eslint/no-unsafe-argument, @typescript-eslint/no-unsafe-call -- tests read into answers of all kinds */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestServer } from '../api-server.fixture.ts';

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start();
  await server.createNamespace('a');
  await server.createNamespace('b');
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const maps = '/api/v1/namespaces/a/configmaps';
const pods = '/api/v1/namespaces/a/pods';

function map(name: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name }, ...more };
}

function pod(name: string, spec: Record<string, unknown> = {}): Record<string, unknown> {
  return { metadata: { name }, spec: { containers: [{ name: 'c', image: 'nginx' }], ...spec } };
}

describe('create and get', () => {
  test('answers 201 with what the server adds', async () => {
    const { code, body } = await server.request('POST', maps, { body: map('made', { data: { a: '1' } }) });
    expect(code).toBe(201);
    expect(body).toMatchObject({ kind: 'ConfigMap', apiVersion: 'v1', data: { a: '1' } });
    expect(body.metadata).toMatchObject({ name: 'made', namespace: 'a' });
    expect(body.metadata.uid).toMatch(/^[0-9a-f-]{36}$/);
    expect(body.metadata.creationTimestamp).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    expect((await server.get(`${maps}/made`)).body).toEqual(body);
  });

  test('the same name again is AlreadyExists', async () => {
    await server.create(maps, map('twice'));
    const { code, body } = await server.request('POST', maps, { body: map('twice') });
    expect(code).toBe(409);
    expect(body).toMatchObject({
      kind: 'Status',
      status: 'Failure',
      reason: 'AlreadyExists',
      message: 'configmaps "twice" already exists',
      details: { name: 'twice', kind: 'configmaps' },
      code: 409,
    });
  });

  test('generateName makes names', async () => {
    const one = await server.create(maps, { metadata: { generateName: 'gen-' } });
    const other = await server.create(maps, { metadata: { generateName: 'gen-' } });
    expect(one.metadata.name).toMatch(/^gen-[a-z0-9]{5}$/);
    expect(other.metadata.name).not.toBe(one.metadata.name);
  });

  test.each([
    ['no name at all', {}, 422, 'Invalid', /name or generateName is required/],
    [
      'another namespace',
      { metadata: { name: 'x', namespace: 'b' } },
      400,
      'BadRequest',
      /namespace of the provided object/,
    ],
    [
      'a version',
      { metadata: { name: 'x', resourceVersion: '5' } },
      400,
      'BadRequest',
      /resourceVersion should not be set/,
    ],
    [
      'another kind',
      { kind: 'Secret', apiVersion: 'v1', metadata: { name: 'x' } },
      400,
      'BadRequest',
      /Secret/,
    ],
  ])('refuses %s', async (_what, body, code, reason, message) => {
    const answer = await server.request('POST', maps, { body });
    expect(answer.body).toMatchObject({ code, reason });
    expect(answer.body.message).toMatch(message);
  });

  test('malformed JSON is 400, a body that is too large 413, protobuf without its mark 400, other types 415', async () => {
    expect((await server.request('POST', maps, { body: '{"metadata":' })).body.reason).toBe('BadRequest');
    const large = await server.request('POST', maps, { body: ' '.repeat((3 << 20) + 1) });
    expect(large.body.reason).toBe('RequestEntityTooLarge');
    const typed = async (type: string) =>
      (await server.request('POST', maps, { body: 'x', headers: { 'content-type': type } })).code;
    expect(await typed('application/vnd.kubernetes.protobuf')).toBe(400);
    expect(await typed('text/plain')).toBe(415);
  });

  test('YAML goes in and out', async () => {
    const body = 'metadata: {name: yaml}\ndata: {a: "1"}';
    const headers = { 'content-type': 'application/yaml', accept: 'application/yaml' };
    const { code, text } = await server.request('POST', maps, { body, headers });
    expect(code).toBe(201);
    expect(text).toContain('name: yaml');
  });

  test('dryRun stores nothing', async () => {
    const { code } = await server.request('POST', `${maps}?dryRun=All`, { body: map('dry') });
    expect(code).toBe(201);
    expect((await server.get(`${maps}/dry`)).code).toBe(404);
    expect((await server.request('POST', `${maps}?dryRun=Some`, { body: map('dry') })).code).toBe(422);
  });

  test('fieldValidation: Strict refuses, Warn warns, Ignore drops', async () => {
    const body = map('typo', { dat: {} });
    const strict = await server.request('POST', `${maps}?fieldValidation=Strict`, { body });
    expect(strict.code).toBe(400);
    expect(strict.body.message).toMatch(/unknown field "dat"/);
    const warned = await server.request('POST', `${maps}?fieldValidation=Warn&dryRun=All`, { body });
    expect(warned.code).toBe(201);
    expect(warned.headers.warning).toMatch(/299 - "unknown field \\"dat\\""/);
    const ignored = await server.request('POST', `${maps}?fieldValidation=Ignore&dryRun=All`, { body });
    expect(ignored.headers.warning).toBeUndefined();
  });

  test('unknown paths, names and verbs', async () => {
    expect((await server.get('/api/v1/namespaces/a/nothings')).body).toMatchObject({
      code: 404,
      reason: 'NotFound',
    });
    expect((await server.get('/nowhere')).code).toBe(404);
    expect((await server.get(`${maps}/none`)).body.message).toBe('configmaps "none" not found');
    expect((await server.request('POST', '/api/v1/pods', { body: pod('x') })).code).toBe(405);
    expect((await server.request('PUT', maps, { body: map('x') })).code).toBe(405);
    expect((await server.get('/api/v1/namespaces/a/nodes')).code).toBe(404);
  });

  test('only protobuf accepted is 406', async () => {
    const headers = { accept: 'application/vnd.kubernetes.protobuf' };
    expect((await server.get(maps, { headers })).body).toMatchObject({ code: 406, reason: 'NotAcceptable' });
  });
});

describe('update and patch', () => {
  test('a stale version is a Conflict, none is unconditional, the same state is no write', async () => {
    const made = await server.create(maps, map('upd', { data: { a: '1' } }));
    const put = async (body: unknown) => server.request('PUT', `${maps}/upd`, { body });
    const changed = await put({ ...made, data: { a: '2' } });
    expect(changed.code).toBe(200);
    const stale = await put({ ...made, data: { a: '3' } });
    expect(stale.body).toMatchObject({
      code: 409,
      reason: 'Conflict',
      details: { name: 'upd', kind: 'configmaps' },
    });
    expect(stale.body.message).toMatch(/the object has been modified; please apply your changes/);
    const free = await put(map('upd', { data: { a: '4' } }));
    expect(free.body.data).toEqual({ a: '4' });
    const again = await put(map('upd', { data: { a: '4' } }));
    expect(again.body.metadata.resourceVersion).toBe(free.body.metadata.resourceVersion);
    expect((await put(map('other'))).body.message).toMatch(/does not match the name on the URL/);
    expect((await put({ ...map('upd'), metadata: { name: 'upd', uid: 'x' } })).code).toBe(409);
  });

  test('json, merge and strategic patches; apply has its place', async () => {
    await server.create(maps, map('patched', { data: { a: '1', b: '2' } }));
    const path = `${maps}/patched`;
    const merge = await server.patch(path, 'merge-patch+json', { data: { a: null, c: '3' } });
    expect(merge.body.data).toEqual({ b: '2', c: '3' });
    const json = await server.patch(path, 'json-patch+json', [
      { op: 'replace', path: '/data/b', value: '9' },
    ]);
    expect(json.body.data.b).toBe('9');
    const strategic = await server.patch(path, 'strategic-merge-patch+json', {
      metadata: { labels: { l: 'v' } },
    });
    expect(strategic.body.metadata.labels).toEqual({ l: 'v' });
    expect((await server.patch(path, 'apply-patch+yaml', {})).code).toBe(415);
    expect((await server.patch(path, 'merge-patch+json', { metadata: { resourceVersion: '1' } })).code).toBe(
      409,
    );
  });

  test('concurrent patches all count', async () => {
    await server.create(maps, map('race'));
    const keys = Array.from({ length: 12 }, (_each, index) => `k${index}`);
    const answers = await Promise.all(
      keys.map(async (key) => server.patch(`${maps}/race`, 'merge-patch+json', { data: { [key]: '1' } })),
    );
    expect(answers.map((answer) => answer.code)).toEqual(keys.map(() => 200));
    expect(Object.keys((await server.get(`${maps}/race`)).body.data).sort()).toEqual([...keys].sort());
  });

  test('spec and status are written through their own resources; generation counts spec', async () => {
    const path = '/apis/apps/v1/namespaces/a/deployments';
    const template = { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'x' }] } };
    const spec = { replicas: 2, selector: { matchLabels: { a: 'b' } }, template };
    const made = await server.create(path, { metadata: { name: 'web' }, spec, status: { replicas: 7 } });
    expect(made.metadata.generation).toBe(1);
    expect(made['status']).toEqual({});
    const status = await server.patch(`${path}/web/status`, 'merge-patch+json', {
      spec: { replicas: 9 },
      status: { replicas: 2, readyReplicas: 1 },
    });
    expect(status.body).toMatchObject({
      spec: { replicas: 2 },
      status: { readyReplicas: 1 },
      metadata: { generation: 1 },
    });
    const main = await server.patch(`${path}/web`, 'merge-patch+json', {
      spec: { replicas: 3 },
      status: null,
    });
    expect(main.body).toMatchObject({
      spec: { replicas: 3 },
      status: { readyReplicas: 1 },
      metadata: { generation: 2 },
    });
    const scale = await server.get(`${path}/web/scale`);
    expect(scale.body).toMatchObject({
      kind: 'Scale',
      apiVersion: 'autoscaling/v1',
      spec: { replicas: 3 },
      status: { replicas: 2, selector: 'a=b' },
    });
    const scaled = await server.patch(`${path}/web/scale`, 'merge-patch+json', { spec: { replicas: 0 } });
    expect(scaled.body.spec.replicas).toBe(0);
    expect((await server.get(`${path}/web`)).body).toMatchObject({
      spec: { replicas: 0 },
      metadata: { generation: 3 },
    });
    const table = await server.get(`${path}/web`, {
      headers: { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' },
    });
    expect(table.body.rows[0].cells.slice(0, 4)).toEqual(['web', '1/0', 0, 0]);
  });

  test('Leases are created by update and need their version afterwards', async () => {
    const path = '/apis/coordination.k8s.io/v1/namespaces/a/leases/l';
    const lease = { metadata: { name: 'l' }, spec: { holderIdentity: 'me' } };
    const made = await server.request('PUT', path, { body: lease });
    expect(made.code).toBe(201);
    expect((await server.request('PUT', path, { body: lease })).body.message).toMatch(
      /must be specified for an update/,
    );
    expect(
      (await server.request('PUT', path, { body: { ...made.body, spec: { holderIdentity: 'you' } } })).code,
    ).toBe(200);
  });

  test('one Event is shown by both groups', async () => {
    await server.create('/api/v1/namespaces/a/events', {
      metadata: { name: 'e' },
      involvedObject: { kind: 'Pod', name: 'p', namespace: 'a' },
      message: 'hello',
      reason: 'Tested',
      type: 'Normal',
    });
    const { body } = await server.get('/apis/events.k8s.io/v1/namespaces/a/events/e');
    expect(body).toMatchObject({ apiVersion: 'events.k8s.io/v1', note: 'hello', regarding: { name: 'p' } });
    expect(body.message).toBeUndefined();
  });
});

describe('delete', () => {
  test('an object without finalizers goes at once', async () => {
    const made = await server.create(maps, map('gone'));
    const { code, body } = await server.request('DELETE', `${maps}/gone`);
    expect(code).toBe(200);
    expect(body).toMatchObject({
      kind: 'Status',
      status: 'Success',
      details: { name: 'gone', uid: made.metadata.uid },
    });
    expect((await server.request('DELETE', `${maps}/gone`)).code).toBe(404);
  });

  test('preconditions hold', async () => {
    await server.create(maps, map('pre'));
    const refused = await server.request('DELETE', `${maps}/pre`, {
      body: { preconditions: { uid: 'other' } },
    });
    expect(refused.body).toMatchObject({ code: 409, reason: 'Conflict' });
    expect((await server.get(`${maps}/pre`)).code).toBe(200);
  });

  test('finalizers hold it back until they are taken off, and cannot be added meanwhile', async () => {
    await server.create(maps, { metadata: { name: 'held', finalizers: ['example.com/a'] } });
    const first = await server.request('DELETE', `${maps}/held`);
    expect(first.body.metadata.deletionTimestamp).toBeDefined();
    const added = await server.patch(`${maps}/held`, 'merge-patch+json', {
      metadata: { finalizers: ['example.com/a', 'example.com/b'] },
    });
    expect(added.body).toMatchObject({ code: 422, reason: 'Invalid' });
    const last = await server.patch(`${maps}/held`, 'merge-patch+json', { metadata: { finalizers: null } });
    expect(last.code).toBe(200);
    expect((await server.get(`${maps}/held`)).code).toBe(404);
  });

  test('the propagation policy becomes a finalizer', async () => {
    await server.create(maps, map('fg'));
    const fg = await server.request('DELETE', `${maps}/fg`, { body: { propagationPolicy: 'Foreground' } });
    expect(fg.body.metadata.finalizers).toEqual(['foregroundDeletion']);
    await server.create(maps, map('orphans'));
    const orphan = await server.request('DELETE', `${maps}/orphans?propagationPolicy=Orphan`);
    expect(orphan.body.metadata.finalizers).toEqual(['orphan']);
    expect((await server.request('DELETE', `${maps}/fg?propagationPolicy=Sideways`)).code).toBe(400);
  });

  test('deletecollection follows the selector', async () => {
    await server.create(maps, { metadata: { name: 'c1', labels: { batch: 'x' } } });
    await server.create(maps, { metadata: { name: 'c2', labels: { batch: 'x' } } });
    await server.create(maps, { metadata: { name: 'c3', labels: { batch: 'y' } } });
    expect((await server.request('DELETE', `${maps}?labelSelector=batch%3Dx`)).code).toBe(200);
    const left = await server.get(`${maps}?labelSelector=batch`);
    expect(left.body.items.map((item: { metadata: { name: string } }) => item.metadata.name)).toEqual(['c3']);
  });

  test('pods: at once while unscheduled, with grace on a node, shorter on request', async () => {
    await server.create(pods, pod('idle'));
    expect((await server.request('DELETE', `${pods}/idle`)).body.kind).toBe('Pod');
    expect((await server.get(`${pods}/idle`)).code).toBe(404);

    await server.create(pods, pod('busy'));
    const binding = {
      apiVersion: 'v1',
      kind: 'Binding',
      metadata: { name: 'busy' },
      target: { kind: 'Node', name: 'n1' },
    };
    expect((await server.request('POST', `${pods}/busy/binding`, { body: binding })).code).toBe(201);
    const again = await server.request('POST', `${pods}/busy/binding`, { body: binding });
    expect(again.body).toMatchObject({ code: 409, reason: 'Conflict' });
    expect((await server.get(`${pods}/busy`)).body).toMatchObject({
      spec: { nodeName: 'n1' },
      status: { conditions: [{ type: 'PodScheduled', status: 'True' }] },
    });

    const { body } = await server.request('DELETE', `${pods}/busy`);
    expect(body.metadata.deletionGracePeriodSeconds).toBe(30);
    expect((await server.request('DELETE', `${pods}/busy`)).body.metadata.deletionGracePeriodSeconds).toBe(
      30,
    );
    const shorter = await server.request('DELETE', `${pods}/busy?gracePeriodSeconds=5`);
    expect(shorter.body.metadata.deletionGracePeriodSeconds).toBe(5);
    expect((await server.request('DELETE', `${pods}/busy?gracePeriodSeconds=0`)).code).toBe(200);
    expect((await server.get(`${pods}/busy`)).code).toBe(404);
  });

  test('eviction deletes', async () => {
    await server.create(pods, pod('evicted'));
    const body = { apiVersion: 'policy/v1', kind: 'Eviction', metadata: { name: 'evicted' } };
    expect((await server.request('POST', `${pods}/evicted/eviction`, { body })).code).toBe(201);
    expect((await server.get(`${pods}/evicted`)).code).toBe(404);
  });
});

describe('namespaces', () => {
  test('live: missing refuses, terminating refuses, finalize removes', async () => {
    const none = await server.request('POST', '/api/v1/namespaces/nope/configmaps', { body: map('x') });
    expect(none.body).toMatchObject({ code: 404, message: 'namespaces "nope" not found' });
    await server.create('/api/v1/namespaces', { metadata: { name: 'dying' } });
    const { body } = await server.request('DELETE', '/api/v1/namespaces/dying');
    expect(body).toMatchObject({ spec: { finalizers: ['kubernetes'] }, status: { phase: 'Terminating' } });
    const late = await server.request('POST', '/api/v1/namespaces/dying/configmaps', { body: map('x') });
    expect(late.body).toMatchObject({ code: 403, reason: 'Forbidden' });
    expect(late.body.details.causes[0].reason).toBe('NamespaceTerminating');
    const kept = await server.request('PUT', '/api/v1/namespaces/dying', {
      body: { ...body, spec: { finalizers: [] } },
    });
    expect(kept.body.spec.finalizers).toEqual(['kubernetes']);
    const finalize = { ...body, spec: { finalizers: [] } };
    expect((await server.request('PUT', '/api/v1/namespaces/dying/finalize', { body: finalize })).code).toBe(
      200,
    );
    expect((await server.get('/api/v1/namespaces/dying')).code).toBe(404);
  });

  test('those of the system stay', async () => {
    expect((await server.request('DELETE', '/api/v1/namespaces/default')).body).toMatchObject({
      code: 403,
      message: 'namespaces "default" is forbidden: this namespace may not be deleted',
    });
  });
});

describe('pods as admission makes them', () => {
  test('defaults, service account, tolerations, network annotations', async () => {
    const body = {
      ...pod('full'),
      metadata: { name: 'full', annotations: { 'hypernetes.io/tenant-id': 'forged' } },
    };
    const made = (await server.request('POST', pods, { body })).body;
    expect(made.metadata.annotations).toEqual({
      'hypernetes.io/network-uid': 'default',
      'hypernetes.io/tenant-id': '',
    });
    expect(made.status).toEqual({ phase: 'Pending', qosClass: 'BestEffort' });
    expect(made.spec).toMatchObject({ serviceAccountName: 'default', priority: 0, restartPolicy: 'Always' });
    expect(made.spec.tolerations.map((each: { key: string }) => each.key)).toEqual([
      'node.kubernetes.io/not-ready',
      'node.kubernetes.io/unreachable',
    ]);
    const [volume] = made.spec.volumes;
    expect(volume.name).toMatch(/^kube-api-access-[a-z0-9]{5}$/);
    expect(volume.projected.sources[0].serviceAccountToken.path).toBe('token');
    expect(made.spec.containers[0].volumeMounts).toEqual([
      { name: volume.name, readOnly: true, mountPath: '/var/run/secrets/kubernetes.io/serviceaccount' },
    ]);
    const typed = await server.patch(`${pods}/full`, 'merge-patch+json', {
      metadata: { annotations: { 'hypernetes.io/network-uid': 'forged', mine: '1' } },
    });
    expect(typed.body.metadata.annotations).toMatchObject({
      'hypernetes.io/network-uid': 'default',
      mine: '1',
    });
  });

  test.each([
    ['hostNetwork', { hostNetwork: true }, /hostNetwork/],
    ['hostPID', { hostPID: true }, /hostPID/],
    ['hostIPC', { hostIPC: true }, /hostIPC/],
    ['hostPath', { volumes: [{ name: 'v', hostPath: { path: '/' } }] }, /hostPath/],
    ['an unknown service account', { serviceAccountName: 'nobody' }, /serviceaccount "nobody" not found/],
    ['an unknown priority class', { priorityClassName: 'nope' }, /no PriorityClass with name nope/],
  ])('refuses %s', async (_what, spec, message) => {
    const { body } = await server.request('POST', pods, { body: pod('refused', spec) });
    expect(body).toMatchObject({ code: 403, reason: 'Forbidden' });
    expect(body.message).toMatch(message);
  });

  test.each([
    ['BestEffort', {}],
    ['Burstable', { requests: { cpu: '1' } }],
    ['Guaranteed', { limits: { cpu: '1', memory: '1Gi' } }],
  ])('quality of service %s', async (qosClass, resources) => {
    const containers = [{ name: 'c', image: 'x', resources }];
    const { body } = await server.request('POST', `${pods}?dryRun=All`, { body: pod('qos', { containers }) });
    expect(body.status.qosClass).toBe(qosClass);
  });
});

describe('lists', () => {
  const page = '/api/v1/namespaces/b/configmaps';
  beforeAll(async () => {
    for (const name of ['l1', 'l2', 'l3', 'l4', 'l5']) {
      await server.create(page, { metadata: { name, labels: { odd: String(Number(name[1]) % 2) } } });
    }
  });
  const names = (body: { items: { metadata: { name: string } }[] }): string[] =>
    body.items.map((item) => item.metadata.name);

  test('of one namespace and of all', async () => {
    const { body } = await server.get(page);
    expect(body).toMatchObject({ kind: 'ConfigMapList', apiVersion: 'v1' });
    expect(names(body)).toEqual(['l1', 'l2', 'l3', 'l4', 'l5']);
    expect(names((await server.get('/api/v1/configmaps')).body)).toEqual(
      expect.arrayContaining(['l1', 'upd']),
    );
  });

  test('in pages of one version, whatever is written between', async () => {
    const first = (await server.get(`${page}?limit=2`)).body;
    expect(names(first)).toEqual(['l1', 'l2']);
    expect(first.metadata.remainingItemCount).toBe(3);
    await server.create(page, map('l2b'));
    const second = (await server.get(`${page}?limit=2&continue=${first.metadata.continue}`)).body;
    expect(names(second)).toEqual(['l3', 'l4']);
    expect(second.metadata.resourceVersion).toBe(first.metadata.resourceVersion);
    const third = (await server.get(`${page}?limit=2&continue=${second.metadata.continue}`)).body;
    expect(names(third)).toEqual(['l5']);
    expect(third.metadata.continue).toBeUndefined();
    await server.request('DELETE', `${page}/l2b`);
    expect((await server.get(`${page}?continue=bogus`)).code).toBe(400);
    expect((await server.get(`${page}?continue=${first.metadata.continue}&resourceVersion=3`)).code).toBe(
      400,
    );
  });

  test('in pages with a selector', async () => {
    const first = (await server.get(`${page}?limit=2&labelSelector=odd%3D1`)).body;
    expect(names(first)).toEqual(['l1', 'l3']);
    expect(first.metadata.remainingItemCount).toBeUndefined();
    const second = (
      await server.get(`${page}?limit=2&labelSelector=odd%3D1&continue=${first.metadata.continue}`)
    ).body;
    expect(names(second)).toEqual(['l5']);
  });

  test('by field', async () => {
    expect(names((await server.get(`${page}?fieldSelector=metadata.name%3Dl3`)).body)).toEqual(['l3']);
    expect((await server.get(`${page}?fieldSelector=data.x%3D1`)).code).toBe(400);
  });

  test('at versions: exact, not older than, not there yet', async () => {
    const before = (await server.get(page)).body.metadata.resourceVersion as string;
    await server.create(page, map('later'));
    const exact = await server.get(`${page}?resourceVersion=${before}&resourceVersionMatch=Exact`);
    expect(names(exact.body)).not.toContain('later');
    expect(exact.body.metadata.resourceVersion).toBe(before);
    const newer = await server.get(`${page}?resourceVersion=${before}&resourceVersionMatch=NotOlderThan`);
    expect(names(newer.body)).toContain('later');
    expect((await server.get(`${page}?resourceVersion=0`)).code).toBe(200);
    expect((await server.get(`${page}?resourceVersionMatch=Exact`)).code).toBe(422);
    const future = await server.get(`${page}?resourceVersion=${Number(before) + 1000}`);
    expect(future.body).toMatchObject({
      code: 504,
      details: { causes: [{ reason: 'ResourceVersionTooLarge' }] },
    });
    expect((await server.get(`${page}?resourceVersion=abc`)).code).toBe(400);
    await server.request('DELETE', `${page}/later`);
  });

  test('as Table and as metadata', async () => {
    const table = await server.get(page, {
      headers: { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io,application/json' },
    });
    expect(table.body).toMatchObject({ kind: 'Table', apiVersion: 'meta.k8s.io/v1' });
    expect(table.body.columnDefinitions.map((column: { name: string }) => column.name)).toEqual([
      'Name',
      'Data',
      'Age',
    ]);
    expect(table.body.rows[0].cells.slice(0, 2)).toEqual(['l1', 0]);
    expect(table.body.rows[0].object.kind).toBe('PartialObjectMetadata');
    const partial = await server.get(page, {
      headers: { accept: 'application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io' },
    });
    expect(partial.body).toMatchObject({ kind: 'PartialObjectMetadataList', apiVersion: 'meta.k8s.io/v1' });
    expect(Object.keys(partial.body.items[0]).sort()).toEqual(['apiVersion', 'kind', 'metadata']);
  });

  test('large answers are compressed for who can read it', async () => {
    const data = { big: 'x'.repeat(300_000) };
    await server.create(page, map('big', { data }));
    const { headers } = await server.get(page, { headers: { 'accept-encoding': 'gzip' } });
    expect(headers['content-encoding']).toBe('gzip');
    expect((await server.get(page)).headers['content-encoding']).toBeUndefined();
    await server.request('DELETE', `${page}/big`);
  });
});
