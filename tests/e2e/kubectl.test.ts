import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '@hypernetes/foundation/lifecycle';
import { run } from '@hypernetes/foundation/process';
import { freePort } from '../fixtures/installation.ts';
import { kubectlVersions } from '../fixtures/kubectl.ts';
import { busyboxPod, createNamespace, sharedInstallation, uniqueName } from './_cluster.ts';

const versions = await kubectlVersions('/var/cache/hypernetes/test');
const installation = sharedInstallation();
const namespace = uniqueName('kubectl');
let scratch = '';

beforeAll(async () => {
  scratch = await mkdtemp('/tmp/hn-kubectl.');
  const kubectl = installation.kubectl();
  await createNamespace(kubectl, namespace);
  await kubectl.run(['apply', '-n', namespace, '-f', '-'], {
    input: busyboxPod('server', {
      command:
        'mkdir /www; echo hello > /www/index.html; httpd -p 8080 -h /www; i=0; while true; do echo line $i; i=$((i+1)); sleep 1; done',
    }),
  });
  await kubectl.waitReady(namespace, 'server');
});

afterAll(async () => {
  await installation.kubectl().try(['delete', 'namespace', namespace, '--timeout=90s']);
  await rm(scratch, { recursive: true, force: true });
});

it('the machine has at least one kubectl', () => {
  expect(versions.size).toBeGreaterThan(0);
});

describe.each([...versions])('kubectl %s', (version, binary) => {
  const kubectl = installation.kubectl(binary);
  const own = (suffix: string): string => `${suffix}-${version.replace(/[^0-9]/g, '-').replace(/-+$/, '')}`;

  it('get, describe, explain', async () => {
    expect(await kubectl.run(['get', 'pods', '-n', namespace])).toMatch(
      /NAME +READY +STATUS +RESTARTS +AGE\nserver +1\/1 +Running +0 /,
    );
    expect(await kubectl.run(['get', 'pod', '-n', namespace, 'server', '-o', 'wide'])).toMatch(/IP +NODE/);
    const described = await kubectl.run(['describe', 'pod', '-n', namespace, 'server']);
    expect(described).toMatch(/Status: +Running/);
    expect(described).toContain('Scheduled');
    expect(described).toContain('Started');
    expect(await kubectl.run(['explain', 'pod.spec.containers.image'])).toMatch(/image/i);
    expect(await kubectl.run(['explain', 'network.spec.subnets'])).toMatch(/cidr/i);
    expect(await kubectl.run(['api-resources'])).toMatch(/networks +net +v1 +false +Network/);
  });

  it('apply, patch, label, edit, wait, delete', async () => {
    const name = own('config');
    const manifest = (value: string): string =>
      `{apiVersion: v1, kind: ConfigMap, metadata: {name: ${name}, namespace: ${namespace}}, data: {a: "${value}"}}`;
    expect(await kubectl.apply(manifest('1'))).toContain('created');
    expect(await kubectl.apply(manifest('1'))).toContain('unchanged');
    expect(await kubectl.apply(manifest('2'))).toContain('configured');
    await kubectl.run(['patch', 'configmap', '-n', namespace, name, '-p', '{"data":{"b":"3"}}']);
    await kubectl.run([
      'patch',
      'configmap',
      '-n',
      namespace,
      name,
      '--type=json',
      '-p',
      '[{"op":"add","path":"/data/c","value":"4"}]',
    ]);
    await kubectl.run(['label', 'configmap', '-n', namespace, name, 'seen=yes']);
    const editor = join(scratch, own('editor'));
    await writeFile(editor, '#!/bin/sh\nsed -i "s/b: \\"3\\"/b: \\"edited\\"/" "$1"\n', { mode: 0o755 });
    await kubectl.run(['edit', 'configmap', '-n', namespace, name], {
      env: { EDITOR: editor, KUBE_EDITOR: editor },
    });
    expect(await kubectl.json<object>(['get', 'configmap', '-n', namespace, name])).toMatchObject({
      data: { a: '2', b: 'edited', c: '4' },
      metadata: { labels: { seen: 'yes' } },
    });
    expect(
      await kubectl.run(['diff', '-f', '-'], { input: manifest('2') }).catch(() => 'differs'),
    ).not.toContain('error');
    const waiting = kubectl.run([
      'wait',
      '-n',
      namespace,
      `configmap/${name}`,
      '--for=delete',
      '--timeout=30s',
    ]);
    await kubectl.run(['delete', 'configmap', '-n', namespace, name]);
    await waiting.catch((error: unknown) => {
      expect(String(error)).toMatch(/not found|no matching resources/); // it may be gone before the wait begins
    });
    expect((await kubectl.try(['get', 'configmap', '-n', namespace, name])).stderr).toContain('NotFound');
  });

  it('get -w sees a change', async () => {
    const name = own('watched');
    const watch = kubectl.spawn(['get', 'configmaps', '-n', namespace, '-w']);
    let seen = '';
    watch.stdout!.on('data', (chunk: Buffer) => (seen += chunk.toString()));
    await waitFor('the watch to begin', { timeoutMs: 15_000 }, () => seen.includes('NAME'));
    await kubectl.run(['create', 'configmap', '-n', namespace, name]);
    await waitFor('the watch to show it', { timeoutMs: 15_000 }, () => seen.includes(name));
    watch.kill();
    await kubectl.run(['delete', 'configmap', '-n', namespace, name]);
  });

  it('logs, logs -f', async () => {
    expect(await kubectl.run(['logs', '-n', namespace, 'server', '--tail=1'])).toMatch(/^line \d+\n$/);
    const follow = kubectl.spawn(['logs', '-f', '-n', namespace, 'server', '--tail=1']);
    let seen = '';
    follow.stdout!.on('data', (chunk: Buffer) => (seen += chunk.toString()));
    await waitFor('three lines', { timeoutMs: 20_000 }, () => seen.split('\n').length > 3);
    follow.kill();
  });

  it('exec: output, exit code, standard input, terminal', async () => {
    const both = await kubectl.exec(namespace, 'server', ['sh', '-c', 'echo out; echo err >&2; exit 7']);
    expect(both.stdout).toBe('out\n');
    expect(both.stderr).toContain('err\n');
    expect(both.exitCode).toBe(7);
    const data = randomBytes(200_000).toString('base64');
    const echoed = await kubectl.run(['exec', '-i', '-n', namespace, 'server', '--', 'cat'], { input: data });
    expect(echoed).toBe(data);
    // A terminal: script(1) gives kubectl one.
    const typed = await run(
      'script',
      [
        '-qec',
        `${binary} exec -it -n ${namespace} server -- sh -c 'tty; echo rows $(stty size)'`,
        '/dev/null',
      ],
      {
        env: { KUBECONFIG: installation.kubeconfig, HOME: '/nonexistent', TERM: 'xterm' },
        allowExitCodes: [1],
      },
    );
    expect(typed.stdout.toString()).toMatch(/\/dev\/(pts\/\d+|console)/);
  });

  it('cp both ways', async () => {
    const name = own('file');
    const content = randomBytes(300_000);
    await writeFile(join(scratch, name), content);
    await kubectl.run(['cp', join(scratch, name), `${namespace}/server:/tmp/${name}`]);
    await kubectl.run(['cp', `${namespace}/server:/tmp/${name}`, join(scratch, `${name}.back`)]);
    expect((await readFile(join(scratch, `${name}.back`))).equals(content)).toBe(true);
  });

  it('port-forward', async () => {
    const port = await freePort();
    const forward = kubectl.spawn(['port-forward', '-n', namespace, 'pod/server', `${port}:8080`]);
    let said = '';
    forward.stdout!.on('data', (chunk: Buffer) => (said += chunk.toString()));
    forward.stderr!.on('data', (chunk: Buffer) => (said += chunk.toString()));
    try {
      await waitFor(
        'port-forward to listen',
        { timeoutMs: 20_000 },
        () => said.includes('Forwarding from'),
        () => said,
      );
      for (let i = 0; i < 3; i++) {
        const got = await run('curl', ['-s', '-m', '10', '--noproxy', '*', `http://127.0.0.1:${port}/`]);
        expect(got.stdout.toString()).toBe('hello\n');
      }
    } finally {
      forward.kill();
    }
  });
});
