/* eslint-disable @typescript-eslint/no-unsafe-argument -- tests read into answers of all kinds */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { PlatformError } from '@hypernetes/foundation/errors';
import { handleUnary, startGrpcServer, type RunningGrpcServer } from '@hypernetes/foundation/grpc';
import { createLogger } from '@hypernetes/foundation/logging';
import {
  IdentityService,
  type AuthenticateTokenRequest,
  type AuthenticateTokenResponse,
} from '@hypernetes/proto/kubestack';
import { TestServer } from './api-server.fixture.ts';

const log = createLogger('test');
const users: Record<string, Pick<AuthenticateTokenResponse, 'userName' | 'tenantId' | 'roles'>> = {
  'alice-token': { userName: 'alice', tenantId: 't1', roles: ['member'] },
  'bob-token': { userName: 'bob', tenantId: 't2', roles: ['admin'] },
  'namesake-token': { userName: 'alice', tenantId: 't2', roles: ['member'] },
  'impostor-token': { userName: 'system:kube-scheduler', tenantId: 't2', roles: ['member'] },
  'reader-token': { userName: 'rita', tenantId: 't1', roles: ['reader'] },
};
const alice = { token: 'alice-token' };
const bob = { token: 'bob-token' };
const reader = { token: 'reader-token' };

let dir = '';
let identity: RunningGrpcServer;
let server: TestServer;
let asked = 0;

function authenticate({ token }: AuthenticateTokenRequest): Promise<AuthenticateTokenResponse> {
  asked++;
  const user = users[token];
  if (user === undefined) return Promise.reject(new PlatformError('Unauthenticated', 'unknown token'));
  return Promise.resolve({
    ...user,
    userId: user.userName,
    tenantName: user.tenantId,
    expiresAtS: 0n as never,
  });
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'identity-'));
  const unimplemented = Object.fromEntries(
    Object.keys(IdentityService).map((method) => [
      method,
      handleUnary(log, method, () => Promise.reject(new PlatformError('Unimplemented', method))),
    ]),
  );
  identity = await startGrpcServer(join(dir, 'kubestack.sock'), (grpc) =>
    grpc.addService(IdentityService, {
      ...unimplemented,
      authenticateToken: handleUnary(log, 'authenticateToken', authenticate),
    }),
  );
  server = await TestServer.start(identity.socketPath);
  for (const [name, tenantID, cidr] of [
    ['net1', 't1', '192.168.0.0/24'],
    ['net2', 't2', '192.168.0.0/24'],
  ]) {
    const gateway = '192.168.0.1';
    await server.create('/api/v1/networks', {
      metadata: { name },
      spec: { tenantID, subnets: { s: { cidr, gateway } } },
    });
  }
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await identity[Symbol.asyncDispose]();
  await rm(dir, { recursive: true });
});

describe('who is asking', () => {
  test('nobody sees health and version, nothing else', async () => {
    for (const path of ['/healthz', '/livez', '/readyz?verbose', '/version']) {
      expect((await server.get(path, { as: 'nobody' })).code).toBe(200);
    }
    for (const path of ['/api', '/api/v1/pods', '/metrics', '/openapi/v2']) {
      expect((await server.get(path, { as: 'nobody' })).body).toMatchObject({
        code: 403,
        reason: 'Forbidden',
      });
    }
  });

  test('what cannot be parsed is 400, whoever sends it', async () => {
    const malformed = [
      { path: '//', headers: {} },
      { path: '/api/v1/namespaces/%zz', headers: {} },
      { path: '/version', headers: { 'impersonate-user': 'x', 'impersonate-extra-%zz': 'y' } },
    ];
    for (const { path, headers } of malformed) {
      expect((await server.get(path, { as: 'nobody', headers })).body).toMatchObject({
        code: 400,
        reason: 'BadRequest',
      });
    }
  });

  test('a bad token is 401', async () => {
    for (const token of ['nonsense', 'a.b.c']) {
      expect((await server.get('/version', { as: { token } })).body).toMatchObject({
        code: 401,
        reason: 'Unauthorized',
      });
    }
    const headers = { authorization: 'Basic eDp5' };
    expect((await server.get('/version', { as: 'nobody', headers })).code).toBe(401);
  });

  test('the identity service is asked once in a while only', async () => {
    const before = asked;
    for (let round = 0; round < 5; round++) await server.get('/version', { as: alice });
    expect(asked - before).toBeLessThanOrEqual(1);
  });

  test('certificates of the components carry their roles', async () => {
    const { scheduler, node, controllerManager } = server.pki;
    expect((await server.get('/api/v1/pods', { as: scheduler })).code).toBe(200);
    expect((await server.get('/api/v1/secrets', { as: scheduler })).body.message).toBe(
      'secrets is forbidden: User "system:kube-scheduler" cannot list resource "secrets" in API group "" at the cluster scope',
    );
    expect((await server.get('/api/v1/nodes', { as: node })).code).toBe(200);
    expect((await server.get('/apis/apps/v1/deployments', { as: node })).code).toBe(403);
    expect((await server.get('/apis/apps/v1/deployments', { as: controllerManager })).code).toBe(200);
  });

  test('impersonation needs the right to', async () => {
    const as = { 'impersonate-user': 'carol', 'impersonate-group': 'g' };
    expect((await server.get('/api/v1/pods', { headers: as })).body.message).toMatch(
      /User "carol" cannot list/,
    );
    expect((await server.get('/api/v1/pods', { headers: as, as: alice })).body.message).toMatch(
      /alice.*impersonate/,
    );
  });
});

describe('service account tokens', () => {
  const path = '/api/v1/namespaces/sa/serviceaccounts/robot';
  beforeAll(async () => {
    await server.createNamespace('sa');
    await server.create('/api/v1/namespaces/sa/serviceaccounts', { metadata: { name: 'robot' } });
  });

  async function tokenFor(spec: Record<string, unknown> = {}): Promise<string> {
    const made = await server.create(`${path}/token`, { spec });
    return (made['status'] as { token: string }).token;
  }

  test('authenticate as the account and follow RoleBindings', async () => {
    const as = { token: await tokenFor() };
    const pods = '/api/v1/namespaces/sa/pods';
    expect((await server.get(pods, { as })).body.message).toMatch(/system:serviceaccount:sa:robot/);
    const rbac = '/apis/rbac.authorization.k8s.io/v1/namespaces/sa';
    await server.create(`${rbac}/roles`, {
      metadata: { name: 'see' },
      rules: [{ apiGroups: [''], resources: ['pods'], verbs: ['list'] }],
    });
    await server.create(`${rbac}/rolebindings`, {
      metadata: { name: 'see' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'see' },
      subjects: [{ kind: 'ServiceAccount', name: 'robot', namespace: 'sa' }],
    });
    expect((await server.get(pods, { as })).code).toBe(200);
    expect((await server.get('/api/v1/namespaces/default/pods', { as })).code).toBe(403);
    const review = await server.create('/apis/authentication.k8s.io/v1/tokenreviews', {
      spec: { token: as.token },
    });
    expect(review['status']).toMatchObject({
      authenticated: true,
      user: { username: 'system:serviceaccount:sa:robot' },
    });
  });

  test('end with the pod they are bound to, and with the account', async () => {
    const pods = '/api/v1/namespaces/sa/pods';
    const spec = { serviceAccountName: 'robot', containers: [{ name: 'c', image: 'x' }] };
    await server.create(pods, { metadata: { name: 'p' }, spec });
    const bound = { token: await tokenFor({ boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name: 'p' } }) };
    expect((await server.get('/version', { as: bound })).code).toBe(200);
    await server.request('DELETE', `${pods}/p`);
    expect((await server.get('/version', { as: bound })).code).toBe(401);
    const free = { token: await tokenFor() };
    await server.request('DELETE', path);
    expect((await server.get('/version', { as: free })).code).toBe(401);
  });
});

describe('tenants', () => {
  beforeAll(async () => {
    const spec = { network: 'net1' };
    await server.create('/api/v1/namespaces', { metadata: { name: 'alices' }, spec }, { as: alice });
    await server.create('/api/v1/namespaces/alices/serviceaccounts', { metadata: { name: 'default' } });
  });
  const names = (body: { items: { metadata: { name: string } }[] }): string[] =>
    body.items.map((item) => item.metadata.name);

  test('their namespaces are theirs by who they are', async () => {
    const { body } = await server.get('/api/v1/namespaces/alices', { as: alice });
    expect(body.metadata.annotations['hypernetes.io/tenant-id']).toBe('t1');
    expect(body.metadata.labels['hypernetes.io/tenant-id']).toBe('t1');
    const forged = { metadata: { name: 'forged', annotations: { 'hypernetes.io/tenant-id': 't1' } } };
    const made = await server.create('/api/v1/namespaces', forged, { as: bob });
    expect(made.metadata.annotations).toEqual({ 'hypernetes.io/tenant-id': 't2' });
    const moved = await server.patch(
      '/api/v1/namespaces/forged',
      'merge-patch+json',
      {
        metadata: { annotations: { 'hypernetes.io/tenant-id': 't1' } },
      },
      { as: bob },
    );
    expect(moved.body.metadata.annotations).toEqual({ 'hypernetes.io/tenant-id': 't2' });
  });

  test('they see Namespaces and Networks of their own, in every verb', async () => {
    expect(names((await server.get('/api/v1/networks', { as: alice })).body)).toEqual(['net1']);
    expect(names((await server.get('/api/v1/namespaces', { as: alice })).body)).toEqual(['alices']);
    for (const path of ['/api/v1/networks/net2', '/api/v1/namespaces/default']) {
      expect((await server.get(path, { as: alice })).code).toBe(404);
      expect((await server.request('DELETE', path, { as: alice })).code).toBe(404);
      expect(
        (await server.patch(path, 'merge-patch+json', { metadata: { labels: { x: 'y' } } }, { as: alice }))
          .code,
      ).toBe(404);
    }
    await using watch = await server.watch('/api/v1/namespaces?watch=1', { as: alice });
    expect((await watch.next()).object.metadata.name).toBe('alices');
    await server.create('/api/v1/namespaces', { metadata: { name: 'bobs' } }, { as: bob });
    await server.create('/api/v1/namespaces', { metadata: { name: 'alices2' } }, { as: alice });
    expect((await watch.next()).object.metadata.name).toBe('alices2');
  });

  test('they own what is in their namespaces and reach nothing in others', async () => {
    const pod = { metadata: { name: 'p' }, spec: { containers: [{ name: 'c', image: 'x' }] } };
    const made = await server.create('/api/v1/namespaces/alices/pods', pod, { as: alice });
    expect(made.metadata.annotations).toMatchObject({
      'hypernetes.io/network': 'net1',
      'hypernetes.io/tenant-id': 't1',
      'hypernetes.io/network-uid': (await server.get('/api/v1/networks/net1')).body.metadata.uid,
    });
    expect((await server.get('/api/v1/namespaces/alices/pods', { as: bob })).code).toBe(403);
    expect((await server.get('/api/v1/namespaces/default/pods', { as: alice })).code).toBe(403);
    expect((await server.get('/api/v1/secrets', { as: alice })).code).toBe(403);
    expect((await server.get('/api/v1/nodes', { as: alice })).code).toBe(403);
    await server.request('DELETE', '/api/v1/namespaces/alices/pods/p');
  });

  test('readers read', async () => {
    expect((await server.get('/api/v1/namespaces/alices/pods', { as: reader })).code).toBe(200);
    const configMap = { body: { metadata: { name: 'm' } }, as: reader };
    expect((await server.request('POST', '/api/v1/namespaces/alices/configmaps', configMap)).code).toBe(403);
    expect(
      (await server.request('POST', '/api/v1/namespaces', { body: { metadata: { name: 'r' } }, as: reader }))
        .code,
    ).toBe(403);
  });

  test.each([
    ['a Network that does not exist', { network: 'nowhere' }, alice, 422, /"nowhere".*does not exist/],
    ["another tenant's Network", { network: 'net2' }, alice, 422, /"net2".*does not exist in your tenant/],
  ])('a namespace on %s is refused', async (_what, spec, as, code, message) => {
    const { body } = await server.request('POST', '/api/v1/namespaces', {
      body: { metadata: { name: 'bad' }, spec },
      as,
    });
    expect(body.code).toBe(code);
    expect(body.message).toMatch(message);
  });

  test('not even an operator puts a namespace of one tenant on a Network of another', async () => {
    const patch = { spec: { network: 'net2' } };
    const { body } = await server.patch('/api/v1/namespaces/alices2', 'merge-patch+json', patch);
    expect(body).toMatchObject({ code: 403, reason: 'Forbidden' });
    expect(body.message).toMatch(/belongs to tenant t2/);
  });

  test('the network of a namespace stays while pods are in it', async () => {
    await server.create('/api/v1/namespaces', { metadata: { name: 'full' }, spec: { network: 'net2' } });
    await server.create('/api/v1/namespaces/full/serviceaccounts', { metadata: { name: 'default' } });
    await server.create('/api/v1/namespaces/full/pods', {
      metadata: { name: 'p' },
      spec: { containers: [{ name: 'c', image: 'x' }] },
    });
    const { body } = await server.patch('/api/v1/namespaces/full', 'merge-patch+json', {
      spec: { network: null },
    });
    expect(body.code).toBe(422);
    expect(body.details.causes[0].field).toMatch(/spec.network/);
  });

  test('Networks are of the tenant of their creator, do not overlap the Services, keep their tenant', async () => {
    const network = (tenantID: string, cidr: string) => ({
      metadata: { name: 'made' },
      spec: { tenantID, subnets: { s: { cidr, gateway: cidr.replace(/0\/\d+$/, '1') } } },
    });
    const post = async (body: unknown, as = alice) =>
      server.request('POST', '/api/v1/networks', { body, as });
    expect((await post(network('t2', '10.5.0.0/24'))).body).toMatchObject({ code: 403, reason: 'Forbidden' });
    const overlap = (await post(network('t1', '10.96.4.0/24'))).body;
    expect(overlap.code).toBe(422);
    expect(overlap.message).toMatch(/overlaps with the service address range 10.96.0.0\/16/);
    expect((await post(network('t1', '10.5.0.0/24'))).body).toMatchObject({
      kind: 'Network',
      status: { phase: 'Initializing' },
    });
    const stolen = await server.patch('/api/v1/networks/made', 'merge-patch+json', {
      spec: { tenantID: 't2' },
    });
    expect(stolen.body.code).toBe(422);
  });

  test('a user of another tenant with the same name, or the name of a part of the system, is somebody else', async () => {
    const friend = 'tenant:t2:bob';
    await server.create(
      '/apis/rbac.authorization.k8s.io/v1/namespaces/alices/rolebindings',
      {
        metadata: { name: 'friends' },
        roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'view' },
        subjects: ['alice', friend].map((name) => ({
          kind: 'User',
          apiGroup: 'rbac.authorization.k8s.io',
          name,
        })),
      },
      { as: alice },
    );
    const pods = '/api/v1/namespaces/alices/pods';
    expect((await server.get(pods, { as: { token: 'namesake-token' } })).code).toBe(403);
    expect((await server.get(pods, { as: bob })).code).toBe(200);
    expect((await server.get('/api/v1/nodes', { as: { token: 'impostor-token' } })).code).toBe(403);
  });

  test('a Network made under a name that a namespace of another tenant still has takes none of its pods', async () => {
    const network = (tenantID: string) => ({
      metadata: { name: 'passed-on' },
      spec: { tenantID, subnets: { s: { cidr: '10.6.0.0/24', gateway: '10.6.0.1' } } },
    });
    await server.create('/api/v1/networks', network('t1'), { as: alice });
    const spec = { network: 'passed-on' };
    await server.create('/api/v1/namespaces', { metadata: { name: 'left' }, spec }, { as: alice });
    await server.create('/api/v1/namespaces/left/serviceaccounts', { metadata: { name: 'default' } });
    await server.request('DELETE', '/api/v1/networks/passed-on', { as: alice });
    await server.create('/api/v1/networks', network('t2'), { as: bob });
    const pod = { metadata: { name: 'p' }, spec: { containers: [{ name: 'c', image: 'x' }] } };
    const { body } = await server.request('POST', '/api/v1/namespaces/left/pods', { body: pod, as: alice });
    expect(body).toMatchObject({ code: 403, reason: 'Forbidden' });
    expect(body.message).toMatch(/is not of its tenant any more/);
  });

  test('an operator gives no namespace away from under its Network', async () => {
    const { body } = await server.patch('/api/v1/namespaces/alices2', 'merge-patch+json', {
      spec: { network: 'net1' },
    });
    expect(body.spec.network).toBe('net1');
    const labels = { 'hypernetes.io/tenant-id': 't2' };
    const moved = await server.patch('/api/v1/namespaces/alices2', 'merge-patch+json', {
      metadata: { labels },
    });
    expect(moved.body).toMatchObject({ code: 403, reason: 'Forbidden' });
  });

  test('on the default network they name no external addresses', async () => {
    await server.create('/api/v1/namespaces', { metadata: { name: 'plain' } }, { as: alice });
    const service = (name: string) => ({
      metadata: { name },
      spec: { ports: [{ port: 443 }], externalIPs: ['203.0.113.9'] },
    });
    const post = async (namespace: string) =>
      server.request('POST', `/api/v1/namespaces/${namespace}/services`, { body: service('s'), as: alice });
    expect((await post('plain')).body.message).toMatch(/externalIPs \(203.0.113.9\) need a Network/);
    expect((await post('alices')).code).toBe(201);
    await server.create('/api/v1/namespaces/default/services', service('s'));
  });

  test('nobody gives away rights they do not have', async () => {
    const rbac = '/apis/rbac.authorization.k8s.io/v1/namespaces/alices';
    const bind = async (name: string) =>
      server.request('POST', `${rbac}/rolebindings`, {
        as: alice,
        body: {
          metadata: { name },
          roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name },
          subjects: [{ kind: 'User', apiGroup: 'rbac.authorization.k8s.io', name: 'friend' }],
        },
      });
    expect((await bind('view')).code).toBe(201);
    expect((await bind('cluster-admin')).body.message).toMatch(
      /attempting to grant RBAC permissions not currently held/,
    );
    const role = {
      metadata: { name: 'wide' },
      rules: [{ apiGroups: ['*'], resources: ['*'], verbs: ['*'] }],
    };
    expect((await server.request('POST', `${rbac}/roles`, { body: role, as: alice })).code).toBe(403);
  });
});

describe('reviews', () => {
  test('of oneself, of others, of rules', async () => {
    const group = '/apis/authorization.k8s.io/v1';
    const resourceAttributes = { namespace: 'alices', verb: 'create', resource: 'pods' };
    const self = await server.create(
      `${group}/selfsubjectaccessreviews`,
      { spec: { resourceAttributes } },
      { as: alice },
    );
    expect(self['status']).toMatchObject({ allowed: true });
    const other = await server.create(
      `${group}/selfsubjectaccessreviews`,
      { spec: { resourceAttributes } },
      { as: bob },
    );
    expect(other['status']).toMatchObject({ allowed: false });
    const spec = { user: 'system:kube-scheduler', resourceAttributes: { verb: 'list', resource: 'nodes' } };
    const subject = await server.create(`${group}/subjectaccessreviews`, { spec });
    expect(subject['status']).toMatchObject({
      allowed: true,
      reason: expect.stringMatching(/ClusterRoleBinding/) as string,
    });
    expect(
      (await server.request('POST', `${group}/subjectaccessreviews`, { body: { spec }, as: alice })).code,
    ).toBe(403);
    const rules = await server.create(
      `${group}/selfsubjectrulesreviews`,
      { spec: { namespace: 'alices' } },
      { as: alice },
    );
    expect((rules['status'] as { resourceRules: unknown[] }).resourceRules.length).toBeGreaterThan(5);
  });
});
