import { existsSync, realpathSync } from 'node:fs';
import { chmod, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { run, runText, spawnChild } from '@hypernetes/foundation/process';
import { TestServer } from './api-server.fixture.ts';
import { writeKubeconfig } from './index.ts';

// Real clients of several ages: the one on the path, or those installed side by side with it by their version (kubectl.1.27).
const onPath = (process.env['PATH'] ?? '')
  .split(':')
  .map((folder) => join(folder, 'kubectl'))
  .find(existsSync);
const folder = onPath === undefined ? '/' : dirname(realpathSync(onPath));
const versions = ['1.27', '1.28', '1.29', '1.30', '1.31', '1.32', '1.33']
  .map((version) => ({ version, path: join(folder, `kubectl.${version}`) }))
  .filter(({ path }) => existsSync(path));
const clients = versions.length > 0 ? versions : [{ version: 'on the path', path: 'kubectl' }];

let server: TestServer;
let kubeconfig = '';

beforeAll(async () => {
  server = await TestServer.start();
  kubeconfig = join(server.dir, 'kubeconfig');
  const { admin, caPem } = server.pki;
  await writeKubeconfig(kubeconfig, { server: server.url, caPem, userName: 'admin', credentials: admin });
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

describe.each(clients)('kubectl $version', ({ version, path }) => {
  const namespace = `k${version.replaceAll(/\W/g, '')}`;
  const env = (): Record<string, string> => ({ KUBECONFIG: kubeconfig, HOME: server.dir });

  async function kubectl(args: readonly string[], input?: string): Promise<string> {
    return await runText(path, args, { env: env(), ...(input === undefined ? {} : { input }) });
  }

  async function refused(args: readonly string[], input?: string): Promise<string> {
    const { stderr, exitCode } = await run(path, args, {
      env: env(),
      allowExitCodes: [1],
      ...(input === undefined ? {} : { input }),
    });
    expect(exitCode).toBe(1);
    return stderr;
  }

  beforeAll(async () => {
    await kubectl(['create', 'namespace', namespace]);
    await kubectl(['create', 'serviceaccount', 'default', '-n', namespace]);
  });

  const pod = (image: string): string =>
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name: 'p', labels: { app: 'p' } },
      spec: { containers: [{ name: 'c', image }] },
    });

  test('apply, again, changed; get in all forms; describe', async () => {
    const apply = ['apply', '-n', namespace, '-f', '-'];
    expect(await kubectl(apply, pod('nginx:1'))).toBe('pod/p created\n');
    expect(await kubectl(apply, pod('nginx:1'))).toBe('pod/p unchanged\n');
    expect(await kubectl(apply, pod('nginx:2'))).toBe('pod/p configured\n');
    expect(await kubectl(['get', 'pods', '-n', namespace])).toMatch(
      /^NAME +READY +STATUS +RESTARTS +AGE\np +0\/1 +Pending +0 +/,
    );
    expect(await kubectl(['get', 'pod', 'p', '-n', namespace, '-o', 'wide'])).toMatch(
      /IP +NODE +NOMINATED NODE/,
    );
    expect(await kubectl(['get', 'pod', 'p', '-n', namespace, '-o', 'yaml'])).toContain('image: nginx:2');
    expect(await kubectl(['get', 'pods', '-A', '-l', 'app=p', '-o', 'name'])).toContain('pod/p\n');
    expect(await kubectl(['describe', 'pod', 'p', '-n', namespace])).toMatch(/QoS Class: +BestEffort/);
    expect(await kubectl(['get', 'all', '-n', namespace])).toContain('pod/p');
  });

  test('patch, label, annotate, edit, scale, wait, delete', async () => {
    const n = ['-n', namespace];
    await kubectl(['create', 'configmap', 'm', '--from-literal=a=1', ...n]);
    await kubectl(['patch', 'configmap', 'm', '-p', '{"data":{"b":"2"}}', ...n]);
    await kubectl([
      'patch',
      'configmap',
      'm',
      '--type=json',
      '-p',
      '[{"op":"remove","path":"/data/a"}]',
      ...n,
    ]);
    await kubectl(['label', 'configmap', 'm', 'l=v', ...n]);
    await kubectl(['annotate', 'configmap', 'm', 'x=y', ...n]);
    const editor = join(server.dir, 'editor.sh');
    await writeFile(editor, '#!/bin/sh\nsed -i "s/b: \\"2\\"/b: \\"3\\"/" "$1"\n');
    await chmod(editor, 0o755);
    await runText(path, ['edit', 'configmap', 'm', ...n], { env: { ...env(), KUBE_EDITOR: editor } });
    expect(JSON.parse(await kubectl(['get', 'configmap', 'm', '-o', 'json', ...n]))).toMatchObject({
      data: { b: '3' },
      metadata: { labels: { l: 'v' }, annotations: { x: 'y' } },
    });
    await kubectl(['create', 'deployment', 'web', '--image=nginx', ...n]);
    await kubectl(['scale', 'deployment', 'web', '--replicas=3', ...n]);
    await kubectl(['set', 'image', 'deployment/web', 'nginx=nginx:3', ...n]);
    const wait = ['wait', '--for=jsonpath={.spec.replicas}=3', 'deployment/web', '--timeout=5s', ...n];
    expect(await kubectl(wait)).toContain('condition met');
    await kubectl(['expose', 'deployment', 'web', '--port=80', ...n]);
    expect(await kubectl(['get', 'service', 'web', ...n])).toMatch(
      /web +ClusterIP +10\.96\.\d+\.\d+ +<none> +80\/TCP/,
    );
    expect(await kubectl(['delete', 'deployment', 'web', '--cascade=background', ...n])).toContain('deleted');
    expect(await refused(['get', 'deployment', 'web', ...n])).toContain(
      '(NotFound): deployments.apps "web" not found',
    );
    expect(await kubectl(['delete', 'configmap', 'm', ...n])).toContain('"m" deleted');
  });

  test('get -w shows changes as they come', async () => {
    const n = ['-n', namespace];
    await kubectl(['create', 'configmap', 'w', ...n]);
    const child = spawnChild(path, ['get', 'configmap', 'w', '-w', ...n], {
      env: { ...process.env, ...env() },
    });
    let text = '';
    const until = async (lines: number): Promise<void> => {
      for (let tries = 0; text.split('\n').length <= lines; tries++) {
        if (tries > 100) throw new Error(`not ${lines} lines: ${text}`);
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
    };
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString('utf8');
    });
    await until(2);
    await kubectl(['patch', 'configmap', 'w', '-p', '{"data":{"a":"1"}}', ...n]);
    await until(3);
    child.kill('SIGTERM');
    expect(text).toMatch(/^NAME +DATA +AGE\nw +0 .*\nw +1 /);
  });

  test('Network: short name, columns, describe with spec, conditions and events, explain', async () => {
    const name = `net${namespace}`;
    const network = {
      tenantID: 't1',
      subnets: { subnet1: { cidr: '192.168.0.0/24', gateway: '192.168.0.1' } },
    };
    await kubectl(
      ['apply', '-f', '-'],
      JSON.stringify({ apiVersion: 'v1', kind: 'Network', metadata: { name }, spec: network }),
    );
    const condition = { type: 'Ready', status: 'True', reason: 'Made', message: 'all there' };
    await server.patch(`/api/v1/networks/${name}/status`, 'merge-patch+json', {
      status: { phase: 'Active', conditions: [condition] },
    });
    const { body } = await server.get(`/api/v1/networks/${name}`);
    await server.create('/api/v1/namespaces/default/events', {
      metadata: { generateName: name },
      involvedObject: { apiVersion: 'v1', kind: 'Network', name, uid: body.metadata.uid },
      reason: 'Made',
      message: 'made the network',
      type: 'Normal',
    });
    expect(await kubectl(['get', 'net', name])).toMatch(
      /^NAME +SUBNETS +TENANT +PHASE +AGE\nnetk\d+ +192\.168\.0\.0\/24 +t1 +Active +/,
    );
    const described = await kubectl(['describe', 'network', name]);
    expect(described).toMatch(/Cidr: +192\.168\.0\.0\/24/);
    expect(described).toMatch(/Message: +all there/);
    expect(described).toMatch(/Made .*made the network/);
    expect(await kubectl(['explain', 'network.spec.subnets'])).toMatch(/cidr/);
    expect(await kubectl(['explain', 'pod.spec.containers'])).toMatch(/image/);
    const spec = JSON.stringify({
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: `on-${name}` },
      spec: { network: name },
    });
    await kubectl(['apply', '-f', '-'], spec);
    expect(await kubectl(['get', 'namespace', `on-${name}`])).toMatch(
      /NAME +NETWORK +STATUS +AGE\non-net\S+ +netk\d+ +Active/,
    );
  });

  test('api-resources, version, auth can-i', async () => {
    const resources = await kubectl(['api-resources']);
    expect(resources).toMatch(/networks +net +v1 +false +Network/);
    expect(resources).toMatch(/deployments +deploy +apps\/v1 +true +Deployment/);
    expect(await kubectl(['version', '-o', 'json'])).toContain('v1.33.0-hypernetes');
    expect(await kubectl(['auth', 'can-i', 'create', 'pods'])).toBe('yes\n');
    const args = ['auth', 'can-i', 'create', 'pods', '--as=somebody'];
    expect((await run(path, args, { env: env(), allowExitCodes: [1] })).stdout.toString()).toBe('no\n');
  });

  test('mistakes are told', async () => {
    const n = ['-n', namespace];
    const typo = 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: typo}\ndta: {}\n';
    expect(await refused(['create', '-f', '-', ...n], typo)).toMatch(/unknown field "dta"/);
    expect(
      await refused(['create', '-f', '-', ...n], 'apiVersion: v1\nkind: Podd\nmetadata: {name: x}\n'),
    ).toMatch(/no matches for kind "Podd"/);
    const hostNetwork = JSON.stringify({
      ...JSON.parse(pod('x')),
      metadata: { name: 'h' },
      spec: { hostNetwork: true, containers: [{ name: 'c', image: 'x' }] },
    });
    expect(await refused(['create', '-f', '-', ...n], hostNetwork)).toMatch(/Forbidden.*hostNetwork/);
  });

  test('the pod is deleted, the namespace goes when it is finalized', async () => {
    expect(await kubectl(['delete', 'pod', 'p', '-n', namespace])).toContain('pod "p" deleted');
    expect(await kubectl(['delete', 'namespace', namespace, '--wait=false'])).toContain('deleted');
    expect(await kubectl(['get', 'namespace', namespace])).toContain('Terminating');
  });
});
