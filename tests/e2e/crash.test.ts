import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '@hypernetes/foundation/lifecycle';
import {
  busyboxPod,
  createNamespace,
  createTenantNetwork,
  podAddress,
  sharedInstallation,
  uniqueName,
} from './_cluster.ts';

interface Identity {
  readonly containerID: string;
  readonly restarts: number;
  readonly address: string;
  readonly bootId: string;
}

// kill -9 of each of our processes while pods run: after `up` no pod was restarted and kubectl works on.
describe.each(['kubestackd', 'hyperd', 'server', 'node'] as const)('kill -9 of %s', (daemon) => {
  const installation = sharedInstallation();
  const kubectl = installation.kubectl();
  const name = uniqueName(`crash-${daemon}`);
  const volume = randomUUID();

  const identity = async (pod: string): Promise<Identity> => {
    const status = await kubectl.json<{
      status: { containerStatuses: { containerID: string; restartCount: number }[] };
    }>(['get', 'pod', '-n', name, pod]);
    const container = status.status.containerStatuses[0]!;
    return {
      containerID: container.containerID,
      restarts: container.restartCount,
      address: await podAddress(kubectl, name, pod),
      bootId: (await kubectl.exec(name, pod, ['cat', '/proc/sys/kernel/random/boot_id'])).stdout,
    };
  };

  beforeAll(async () => {
    await createTenantNetwork(installation, kubectl, name, '10.60.0.0/24');
    await createNamespace(kubectl, name, name);
    await installation.run(['volume', 'create', '--id', volume, '--size', '64Mi']);
    await kubectl.run(['apply', '-n', name, '-f', '-'], {
      input: busyboxPod('server', {
        command:
          'mkdir /www; echo up > /www/index.html; httpd -p 8080 -h /www; i=0; while true; do echo $i; i=$((i+1)); sleep 0.2; done',
        extra: `    volumeMounts: [{name: data, mountPath: /data}]\n  volumes: [{name: data, cinder: {volumeID: ${volume}, fsType: ext4}}]`,
      }),
    });
    await kubectl.run(['apply', '-n', name, '-f', '-'], { input: busyboxPod('client') });
    await kubectl.waitReady(name, 'server');
    await kubectl.waitReady(name, 'client');
    await kubectl.run(['expose', 'pod', '-n', name, 'server', '--port=80', '--target-port=8080']);
  });

  afterAll(async () => {
    await kubectl.try(['delete', 'namespace', name, '--timeout=90s']);
    await kubectl.try(['delete', 'network', name, '--timeout=30s']);
    await installation.try(['volume', 'delete', volume]);
  });

  const reachable = async (): Promise<void> => {
    await waitFor('the Service by name', { timeoutMs: 30_000, intervalMs: 500 }, async () => {
      const got = await kubectl.exec(name, 'client', [
        'timeout',
        '5',
        'wget',
        '-q',
        '-O',
        '-',
        `http://server.${name}/`,
      ]);
      return got.stdout === 'up\n';
    });
  };

  it('leaves every pod as it was', async () => {
    await reachable();
    const before = [await identity('server'), await identity('client')];
    const record = JSON.parse(
      await readFile(join(installation.dataDir, 'run', `${daemon}.json`), 'utf8'),
    ) as { pid: number };
    process.kill(record.pid, 'SIGKILL');
    await installation.run(['up']);
    const after = [await identity('server'), await identity('client')];
    expect(after).toEqual(before);
    await reachable();
    // kubectl works on: a new pod starts, the old one goes.
    await kubectl.run(['delete', 'pod', '-n', name, 'client', '--timeout=60s']);
    await kubectl.run(['apply', '-n', name, '-f', '-'], { input: busyboxPod('client') });
    await kubectl.waitReady(name, 'client');
    await reachable();
  });

  it('loses and doubles no log line', async () => {
    const lines = (await kubectl.run(['logs', '-n', name, 'server'])).trim().split('\n').map(Number);
    expect(lines.length).toBeGreaterThan(10);
    expect(lines).toEqual(lines.map((_line, index) => index));
  });
});
