import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '@hypernetes/foundation/process';
import { waitFor } from '@hypernetes/foundation/lifecycle';
import { busyboxPod, podAddress, sharedInstallation } from './_cluster.ts';

// The announcement's own files, unchanged.
const file = (name: string): string =>
  join(import.meta.dirname, '..', '..', 'examples', 'announcement', name);
const tenantId = '065f210a2ca9442aad898ab129426350';
const volumeId = '651b2a7b-683e-47e1-bdd6-e3c62e8f91c0';

describe("the announcement's YAML", () => {
  const installation = sharedInstallation();
  const kubectl = installation.kubectl();

  beforeAll(async () => {
    await installation.run(['volume', 'create', '--id', volumeId, '--size', '1Gi']);
  });

  afterAll(async () => {
    await kubectl.try(['delete', 'namespace', 'ns1', 'ns1-other', '--ignore-not-found', '--timeout=90s']);
    await kubectl.try(['delete', 'network', 'net1', '--ignore-not-found', '--timeout=30s']);
    await installation.try(['volume', 'delete', volumeId]);
    await installation.try(['tenant', 'delete', tenantId]);
  });

  it('a Network of a tenant that does not exist stays Pending with the reason', async () => {
    expect(await kubectl.run(['apply', '-f', file('network.yaml')])).toContain('network/net1 created');
    await waitFor('net1 to say why it is Pending', { timeoutMs: 20_000 }, async () => {
      const network = await kubectl.json<NetworkObject>(['get', 'network', 'net1']);
      const ready = network.status?.conditions?.find((condition) => condition.type === 'Ready');
      return (
        network.status?.phase === 'Pending' && ready?.status === 'False' && ready.reason === 'TenantNotFound'
      );
    });
  });

  it('and becomes Active when the tenant appears', async () => {
    await installation.run(['tenant', 'create', 'announcement', '--id', tenantId]);
    await kubectl.run(['wait', 'network/net1', '--for=condition=Ready', '--timeout=30s']);
    const table = await kubectl.run(['get', 'net']);
    expect(table).toMatch(/NAME +SUBNETS +TENANT +PHASE +AGE/);
    expect(table).toMatch(new RegExp(`net1 +192\\.168\\.0\\.0/24 +${tenantId} +Active`));
  });

  it('describe shows conditions and events', async () => {
    const text = await kubectl.run(['describe', 'network', 'net1']);
    expect(text).toContain('Conditions:');
    expect(text).toContain('192.168.0.1');
    expect(text).toMatch(/Events:\n.*Type/);
  });

  it('a Namespace is bound to it', async () => {
    expect(await kubectl.run(['apply', '-f', file('namespace.yaml')])).toContain('namespace/ns1 created');
    expect(await kubectl.run(['get', 'namespace', 'ns1', '-o', 'jsonpath={.spec.network}'])).toBe('net1');
  });

  it('the pod with the Cinder volume runs in a virtual machine of its own, the volume formatted ext4 and mounted', async () => {
    await kubectl.run(['apply', '-n', 'ns1', '-f', file('pod-cinder.yaml')]);
    await kubectl.waitReady('ns1', 'nginx');
    const mounts = await kubectl.exec('ns1', 'nginx', ['cat', '/proc/mounts']);
    expect(mounts.stdout).toMatch(/^\/dev\/sd\w+ \/var\/lib\/nginx ext4 rw/m);
    const hostKernel = (await run('uname', ['-r'])).stdout.toString().trim();
    const guestKernel = (await kubectl.exec('ns1', 'nginx', ['uname', '-r'])).stdout.trim();
    expect(guestKernel).not.toBe('');
    expect(guestKernel).not.toBe(hostKernel);
    expect(await podAddress(kubectl, 'ns1', 'nginx')).toMatch(/^192\.168\.0\.\d+$/);
  });

  it("the volume's data survives deleting and re-creating the pod", async () => {
    const wrote = await kubectl.exec('ns1', 'nginx', [
      'sh',
      '-c',
      'echo kept > /var/lib/nginx/witness && sync',
    ]);
    expect(wrote).toMatchObject({ exitCode: 0 });
    await kubectl.run(['delete', 'pod', '-n', 'ns1', 'nginx', '--timeout=60s']);
    await kubectl.run(['apply', '-n', 'ns1', '-f', file('pod-cinder.yaml')]);
    await kubectl.waitReady('ns1', 'nginx');
    const read = await kubectl.exec('ns1', 'nginx', ['cat', '/var/lib/nginx/witness']);
    expect(read.stdout).toBe('kept\n');
  });

  it('a second pod reaches the Service by ClusterIP and by name', async () => {
    await kubectl.run(['apply', '-n', 'ns1', '-f', file('service-external.yaml')]);
    await kubectl.run(['apply', '-n', 'ns1', '-f', '-'], { input: busyboxPod('client') });
    await kubectl.waitReady('ns1', 'client');
    const clusterIp = await kubectl.run([
      'get',
      'service',
      '-n',
      'ns1',
      'nginx',
      '-o',
      'jsonpath={.spec.clusterIP}',
    ]);
    for (const host of [clusterIp, 'nginx', 'nginx.ns1', 'nginx.ns1.svc.cluster.local']) {
      const answer = await waitFor(
        `http://${host} from the second pod`,
        { timeoutMs: 30_000, intervalMs: 500 },
        async () => {
          const got = await kubectl.exec('ns1', 'client', [
            'timeout',
            '5',
            'wget',
            '-q',
            '-O',
            '-',
            `http://${host}/`,
          ]);
          return got.exitCode === 0 ? got.stdout : undefined;
        },
      );
      expect(answer).toContain('nginx');
    }
  });

  it('the Service with external IPs is reachable from the host at that address', async () => {
    await waitFor('http://172.30.0.10 from the host', { timeoutMs: 30_000, intervalMs: 500 }, async () => {
      const got = await run('curl', ['-s', '-m', '5', '--noproxy', '*', 'http://172.30.0.10/'], {
        allowExitCodes: [7, 28, 52, 56],
      });
      return got.stdout.toString().includes('nginx');
    });
    const ingress = await kubectl.run([
      'get',
      'service',
      '-n',
      'ns1',
      'nginx',
      '-o',
      'jsonpath={.status.loadBalancer.ingress[0].ip}',
    ]);
    expect(ingress).toBe('172.30.0.10');
  });

  it('pods of two namespaces on one Network reach each other directly', async () => {
    await kubectl.apply(
      '{apiVersion: v1, kind: Namespace, metadata: {name: ns1-other}, spec: {network: net1}}',
    );
    await kubectl.run(['apply', '-n', 'ns1-other', '-f', '-'], { input: busyboxPod('neighbour') });
    await kubectl.waitReady('ns1-other', 'neighbour');
    const address = await podAddress(kubectl, 'ns1', 'nginx');
    const got = await kubectl.exec('ns1-other', 'neighbour', [
      'timeout',
      '5',
      'wget',
      '-q',
      '-O',
      '-',
      `http://${address}/`,
    ]);
    expect(got.stdout).toContain('nginx');
    const byName = await kubectl.exec('ns1-other', 'neighbour', [
      'timeout',
      '5',
      'wget',
      '-q',
      '-O',
      '-',
      'http://nginx.ns1/',
    ]);
    expect(byName.stdout).toContain('nginx');
  });

  it('a Network in use is not deleted, and says by what', async () => {
    await kubectl.run(['delete', 'network', 'net1', '--wait=false']);
    await waitFor('net1 to say who uses it', { timeoutMs: 20_000 }, async () => {
      const network = await kubectl.json<NetworkObject>(['get', 'network', 'net1']);
      return (
        network.status?.phase === 'Terminating' && JSON.stringify(network.status.conditions).includes('ns1')
      );
    });
  });

  it('everything goes when it is deleted', async () => {
    await kubectl.run(['delete', 'namespace', 'ns1', 'ns1-other', '--timeout=120s']);
    await kubectl.run(['wait', 'network/net1', '--for=delete', '--timeout=30s']);
    const volumes = JSON.parse(await installation.run(['volume', 'list', '--json'])) as {
      id: string;
      state: number;
    }[];
    expect(volumes.find((volume) => volume.id === volumeId)).toMatchObject({ state: 2 }); // AVAILABLE: nothing holds it
    expect((await run('ip', ['route', 'show', '172.30.0.10'])).stdout.toString()).toBe('');
  });
});

interface NetworkObject {
  readonly status?: {
    readonly phase?: string;
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason?: string;
      readonly message?: string;
    }[];
  };
}
