import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '@hypernetes/foundation/lifecycle';
import {
  busyboxPod,
  createNamespace,
  createTenantNetwork,
  sharedInstallation,
  uniqueName,
} from './_cluster.ts';

interface PodObject {
  readonly status: {
    readonly phase: string;
    readonly reason?: string;
    readonly conditions?: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason?: string;
      readonly message?: string;
    }[];
    readonly containerStatuses?: readonly {
      readonly state: { readonly waiting?: { readonly reason: string; readonly message?: string } };
    }[];
  };
}

describe('bad input', () => {
  const installation = sharedInstallation();
  const kubectl = installation.kubectl();
  const namespace = uniqueName('bad');
  const network = uniqueName('badnet');
  let tenantId = '';

  beforeAll(async () => {
    tenantId = await createTenantNetwork(installation, kubectl, network, '10.50.0.0/24');
    await createNamespace(kubectl, namespace, network);
  });

  afterAll(async () => {
    await kubectl.try(['delete', 'namespace', namespace, '--timeout=90s']);
    await kubectl.try(['delete', 'network', network, '--timeout=30s']);
  });

  const apply = async (manifest: string): Promise<void> => {
    await kubectl.run(['apply', '-n', namespace, '-f', '-'], { input: manifest });
  };
  const waiting = async (pod: string): Promise<{ reason: string; message?: string } | undefined> =>
    (await kubectl.json<PodObject>(['get', 'pod', '-n', namespace, pod])).status.containerStatuses?.[0]?.state
      .waiting;
  const events = async (pod: string): Promise<string> =>
    await kubectl.run(['describe', 'pod', '-n', namespace, pod]);

  it('an image that does not exist: ErrImagePull, then ImagePullBackOff', async () => {
    await apply(busyboxPod('noimage').replace('image: busybox', 'image: does-not-exist:v9'));
    await waitFor(
      'ImagePullBackOff',
      { timeoutMs: 60_000, intervalMs: 500 },
      async () => (await waiting('noimage'))?.reason === 'ImagePullBackOff',
    );
    expect(await events('noimage')).toMatch(/Failed to pull image "does-not-exist:v9".*not found/);
    await kubectl.run(['delete', 'pod', '-n', namespace, 'noimage', '--timeout=60s']);
  });

  it('a registry that is down: ErrImagePull naming it', async () => {
    await apply(busyboxPod('noregistry').replace('image: busybox', 'image: 127.0.0.1:1/busybox'));
    await waitFor('the pull error', { timeoutMs: 60_000, intervalMs: 500 }, async () =>
      ['ErrImagePull', 'ImagePullBackOff'].includes((await waiting('noregistry'))?.reason ?? ''),
    );
    expect(await events('noregistry')).toMatch(/127\.0\.0\.1:1/);
    await kubectl.run(['delete', 'pod', '-n', namespace, 'noregistry', '--timeout=60s']);
  });

  it('a malformed manifest and unknown fields', async () => {
    const refused = async (manifest: string, args: readonly string[] = []): Promise<string> => {
      const result = await kubectl.try(['create', '-n', namespace, ...args, '-f', '-'], { input: manifest });
      expect(result.exitCode).not.toBe(0);
      return result.stderr;
    };
    expect(await refused(busyboxPod('x').replace('image: busybox', 'image: [1, 2]'))).toMatch(
      /image|invalid/i,
    );
    expect(await refused(busyboxPod('Not_A_Name'))).toMatch(/Invalid value.*Not_A_Name/);
    expect(
      await refused('{apiVersion: v1, kind: Pod, metadata: {name: empty}, spec: {containers: []}}'),
    ).toMatch(/spec.containers/);
    expect(await refused('{apiVersion: v1, kind: Nonsense, metadata: {name: a}}')).toMatch(
      /no matches for kind "Nonsense"/,
    );
    const raw = await kubectl.try(
      ['create', '--raw', `/api/v1/namespaces/${namespace}/pods?fieldValidation=Strict`, '-f', '-'],
      {
        input: JSON.stringify({
          apiVersion: 'v1',
          kind: 'Pod',
          metadata: { name: 'strict' },
          spec: { containerz: [], containers: [{ name: 'a', image: 'b' }] },
        }),
      },
    );
    expect(raw.stderr + raw.stdout).toContain('unknown field "spec.containerz"');
    expect(
      (
        await kubectl.try(['create', '--raw', `/api/v1/namespaces/${namespace}/pods`, '-f', '-'], {
          input: '{"kind": ',
        })
      ).exitCode,
    ).not.toBe(0);
    expect(await kubectl.run(['get', 'pods', '-n', namespace, '-o', 'name'])).toBe('');
  });

  const withVolume = (name: string, volumeId: string): string =>
    busyboxPod(name, {
      extra: `    volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, cinder: {volumeID: ${volumeId}, fsType: ext4}}]`,
    });

  it('a volume that does not exist, one in use', async () => {
    const missing = randomUUID();
    await apply(withVolume('novolume', missing));
    await waitFor('the event', { timeoutMs: 60_000, intervalMs: 500 }, async () =>
      new RegExp(`${missing}.*not (found|exist)`, 'i').test(await events('novolume')),
    );
    await kubectl.run(['delete', 'pod', '-n', namespace, 'novolume', '--timeout=60s']);

    const used = randomUUID();
    await installation.run(['volume', 'create', '--id', used, '--size', '64Mi']);
    await apply(withVolume('holder', used));
    await kubectl.waitReady(namespace, 'holder');
    await apply(withVolume('second', used));
    await waitFor('the event naming the holder', { timeoutMs: 60_000, intervalMs: 500 }, async () =>
      /is attached to pod \S*\/holder/.test(await events('second')),
    );
    // When the holder goes, the second gets it.
    await kubectl.run(['delete', 'pod', '-n', namespace, 'holder', '--timeout=60s']);
    await kubectl.waitReady(namespace, 'second', 120);
    await kubectl.run(['delete', 'pod', '-n', namespace, 'second', '--timeout=60s']);
    await installation.run(['volume', 'delete', used]);
  });

  it('a pod larger than the node stays Pending: Insufficient memory', async () => {
    await apply(
      busyboxPod('huge').replace(
        'image: busybox',
        'image: busybox\n    resources: {requests: {memory: 4Ti}}',
      ),
    );
    await waitFor('Unschedulable', { timeoutMs: 30_000, intervalMs: 300 }, async () => {
      const condition = (
        await kubectl.json<PodObject>(['get', 'pod', '-n', namespace, 'huge'])
      ).status.conditions?.find((entry) => entry.type === 'PodScheduled');
      return (
        condition?.reason === 'Unschedulable' &&
        condition.message?.includes('0/1 nodes are available: 1 Insufficient memory') === true
      );
    });
    expect(await events('huge')).toContain('FailedScheduling');
    await kubectl.run(['delete', 'pod', '-n', namespace, 'huge']);
  });

  const badNetworks: readonly (readonly [string, string, RegExp])[] = [
    ['zero subnets', '{}', /at least one|Required/i],
    ['a gateway outside', '{a: {cidr: 10.1.0.0/24, gateway: 10.2.0.1}}', /gateway.*10\.2\.0\.1/],
    ['a gateway that is the network address', '{a: {cidr: 10.1.0.0/24, gateway: 10.1.0.0}}', /gateway/],
    ['no CIDR', '{a: {cidr: banana, gateway: 10.1.0.1}}', /must be a CIDR/],
    ['no address', '{a: {cidr: 10.1.0.0/24, gateway: banana}}', /must be an? (ip|IP) address/],
    ['host bits', '{a: {cidr: 10.1.0.5/24, gateway: 10.1.0.1}}', /10\.1\.0\.0\/24|host bits/i],
    [
      'overlap inside the network',
      '{a: {cidr: 10.1.0.0/16, gateway: 10.1.0.1}, b: {cidr: 10.1.2.0/24, gateway: 10.1.2.1}}',
      /overlap/i,
    ],
    ['overlap with the service range', '{a: {cidr: 10.96.0.0/24, gateway: 10.96.0.1}}', /service|overlap/i],
  ];
  it.each(badNetworks)('a Network with %s is refused', async (_what, subnets, expected) => {
    const refused = await kubectl.try(['create', '-f', '-'], {
      input: `{apiVersion: v1, kind: Network, metadata: {name: bad}, spec: {tenantID: ${tenantId}, subnets: ${subnets}}}`,
    });
    expect(refused.exitCode).not.toBe(0);
    expect(refused.stderr).toMatch(expected);
    expect((await kubectl.try(['get', 'network', 'bad'])).stderr).toContain('NotFound');
  });

  it('host namespaces and host paths are refused', async () => {
    const refused = await kubectl.try(['create', '-n', namespace, '-f', '-'], {
      input: busyboxPod('escape').replace('spec:', 'spec:\n  hostNetwork: true'),
    });
    expect(refused.exitCode).not.toBe(0);
    expect(refused.stderr).toMatch(/hostNetwork/);
  });

  it('nothing is left behind', async () => {
    expect(await kubectl.run(['get', 'pods', '-n', namespace, '-o', 'name'])).toBe('');
    const volumes = JSON.parse(await installation.run(['volume', 'list', '--json'])) as {
      attachment?: { pod?: { namespace: string } };
    }[];
    expect(volumes.filter((volume) => volume.attachment?.pod?.namespace === namespace)).toEqual([]);
  });
});
