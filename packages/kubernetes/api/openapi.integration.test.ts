import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { toPlatformError } from '@hypernetes/foundation/errors';
import { run } from '@hypernetes/foundation/process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { decodeObject, type FieldValidation } from './decode.ts';
import { statusOf } from './errors.ts';
import { apiVersionOf, findKind, kinds } from './kinds.ts';
import { openApiV2, openApiV2Protobuf, openApiV3, openApiV3Index } from './openapi.ts';
import { schemasForTests } from './schemas.fixture.ts';

// Real kubectl against a server that knows nothing but discovery and these documents. HYPERNETES_KUBECTLS: more programs to try, split by ':'.
const programs = ['kubectl', ...(process.env['HYPERNETES_KUBECTLS'] ?? '').split(':').filter(Boolean)];
const schemas = schemasForTests();
let server: Server;
let folder: string;

function discovery(url: URL): unknown {
  const groups = [...new Set(kinds.map((kind) => kind.group))];
  const versionOf = (group: string): object => ({ groupVersion: `${group}/v1`, version: 'v1' });
  if (url.pathname === '/version') return { major: '1', minor: '33', gitVersion: 'v1.33.0' };
  if (url.pathname === '/api') return { kind: 'APIVersions', versions: ['v1'] };
  if (url.pathname === '/apis') {
    return {
      kind: 'APIGroupList',
      apiVersion: 'v1',
      groups: groups
        .filter((group) => group !== '')
        .map((group) => ({ name: group, versions: [versionOf(group)], preferredVersion: versionOf(group) })),
    };
  }
  const groupVersion = url.pathname.replace(/^\/apis?\//, '');
  const own = kinds.filter((kind) => apiVersionOf(kind) === groupVersion);
  if (own.length === 0) return undefined;
  return {
    kind: 'APIResourceList',
    apiVersion: 'v1',
    groupVersion,
    resources: own.map((kind) => ({
      name: kind.plural,
      singularName: kind.singular,
      namespaced: kind.namespaced,
      kind: kind.kind,
      verbs: kind.verbs,
      shortNames: kind.shortNames,
    })),
  };
}

/** Creates a pod as far as decoding goes. */
async function create(url: URL, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer);
  const fieldValidation = (url.searchParams.get('fieldValidation') ?? 'Ignore') as FieldValidation;
  let answered: { code: number; body: unknown };
  try {
    const pod = findKind('v1', 'Pod')!;
    const { object } = decodeObject(schemas, pod, Buffer.concat(chunks).toString(), { fieldValidation });
    answered = { code: 201, body: object };
  } catch (error) {
    const status = statusOf(toPlatformError(error));
    answered = { code: status.code, body: status };
  }
  response.writeHead(answered.code, { 'content-type': 'application/json' });
  response.end(JSON.stringify(answered.body));
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? '/', 'http://localhost');
  if (request.method === 'POST') {
    void create(url, request, response);
    return;
  }
  if (url.pathname === '/openapi/v2') {
    const protobuf = (request.headers.accept ?? '').includes('protobuf');
    response.setHeader('content-type', protobuf ? 'application/octet-stream' : 'application/json');
    response.end(protobuf ? openApiV2Protobuf(schemas) : JSON.stringify(openApiV2(schemas)));
    return;
  }
  const body =
    url.pathname === '/openapi/v3'
      ? openApiV3Index(schemas)
      : url.pathname.startsWith('/openapi/v3/')
        ? openApiV3(schemas, url.pathname.slice('/openapi/v3/'.length))
        : discovery(url);
  response.setHeader('content-type', 'application/json');
  if (body === undefined) response.statusCode = 404;
  response.end(JSON.stringify(body ?? { kind: 'Status', status: 'Failure', code: 404, reason: 'NotFound' }));
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hn-openapi-'));
  server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(async () => {
  server.close();
  await rm(folder, { recursive: true, force: true });
});

describe.each(programs)('%s', (program) => {
  async function kubectl(...args: string[]): Promise<{ code: number; output: string }> {
    const { port } = server.address() as AddressInfo;
    const connection = [`--server=http://127.0.0.1:${port}`, `--cache-dir=${join(folder, 'cache')}`];
    const result = await run(program, [...connection, ...args], {
      allowExitCodes: [1],
      timeoutMs: 60_000,
      env: { HOME: folder, KUBECONFIG: join(folder, 'none') },
    });
    return { code: result.exitCode, output: `${result.stdout.toString()}${result.stderr}` };
  }

  test('explain', async () => {
    const pod = await kubectl('explain', 'pod.spec.containers');
    expect(pod.output).toContain('imagePullPolicy');
    expect(pod.output).toMatch(/single application container/);
    expect(pod.code).toBe(0);
    const network = await kubectl('explain', 'net.spec.subnets');
    expect(network.output).toContain('gateway');
    const namespace = await kubectl('explain', 'namespace.spec.network');
    expect(namespace.output).toMatch(/Name of the Network/);
    expect((await kubectl('explain', 'deployment.spec.strategy', '--recursive')).output).toContain(
      'maxSurge',
    );
  });

  test('a manifest with an unknown field is refused, by the client or the server', async () => {
    const manifest = join(folder, 'pod.yaml');
    const text = (container: string): string =>
      `apiVersion: v1\nkind: Pod\nmetadata: {name: x, namespace: ns1}\nspec:\n  containers: [{${container}}]\n`;
    await writeFile(manifest, text('name: a, image: b, ports: [{containerPort: 80}]'));
    const good = await kubectl('create', '--validate=true', '-f', manifest);
    expect(good.output).toContain('pod/x created');
    await writeFile(manifest, text('name: a, imagee: b'));
    const bad = await kubectl('create', '--validate=true', '-f', manifest);
    expect(bad.output).toMatch(/unknown field "(spec.containers\[0\].)?imagee"/);
    expect(bad.code).toBe(1);
  });
});
