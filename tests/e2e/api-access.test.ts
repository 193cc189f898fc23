import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '@hypernetes/foundation/process';
import { waitFor } from '@hypernetes/foundation/lifecycle';
import {
  busyboxPod,
  createNamespace,
  createTenantNetwork,
  sharedInstallation,
  uniqueName,
} from './_cluster.ts';

const account = '/var/run/secrets/kubernetes.io/serviceaccount';

/**
 * A pod whose nginx does what a client library does: TLS to the API, checking chain and name with the CA the pod was given. Debian's busybox cannot: it offers no
 * signature algorithm that is still in use. By address at 8081, by name at 8082; at 8083 it expects another name in the certificate.
 */
const client = `
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: nginx
    command:
    - sh
    - -c
    - |
      upstream() {
        echo "server { listen $1; location / { proxy_pass https://$2; proxy_ssl_name $3; proxy_ssl_verify on; proxy_ssl_trusted_certificate ${account}/ca.crt; } }"
      }
      {
        echo "pid /tmp/nginx.pid; error_log /dev/stderr; events {} http { access_log off;"
        upstream 8081 $KUBERNETES_SERVICE_HOST:$KUBERNETES_SERVICE_PORT kubernetes.default.svc
        upstream 8082 kubernetes.default.svc kubernetes.default.svc
        upstream 8083 kubernetes.default.svc else.example.org
        echo "}"
      } > /tmp/nginx.conf
      exec nginx -c /tmp/nginx.conf -g 'daemon off;'
    readinessProbe: {tcpSocket: {port: 8083}, periodSeconds: 1}
`;

/** GET with the pod's own token. */
const ask = (port: number, path: string, token = `$(cat ${account}/token)`): string =>
  `timeout 20 wget -q -O - --header "Authorization: Bearer ${token}" http://127.0.0.1:${port}${path}`;

describe('the API from a pod', () => {
  const installation = sharedInstallation();
  const kubectl = installation.kubectl();
  const [plain, tenant] = [uniqueName('plain-api'), uniqueName('tenant-api')];
  const sh = async (namespace: string, script: string) =>
    await kubectl.exec(namespace, 'client', ['sh', '-c', script]);

  beforeAll(async () => {
    await createNamespace(kubectl, plain);
    await createTenantNetwork(installation, kubectl, tenant, '192.168.77.0/24');
    await createNamespace(kubectl, tenant, tenant);
    for (const namespace of [plain, tenant]) {
      await waitFor('the default service account', { timeoutMs: 20_000 }, async () => {
        return (await kubectl.try(['get', 'serviceaccount', '-n', namespace, 'default'])).exitCode === 0;
      });
      const input = namespace === plain ? client : busyboxPod('client');
      await kubectl.run(['apply', '-n', namespace, '-f', '-'], { input });
    }
    for (const namespace of [plain, tenant]) await kubectl.waitReady(namespace, 'client');
  });

  afterAll(async () => {
    await kubectl.try(['delete', 'namespace', plain, tenant, '--timeout=90s']);
    await kubectl.try(['delete', 'network', tenant, '--timeout=30s']);
  });

  it('answers at default/kubernetes, by address and by name, with a certificate of the CA the pod has', async () => {
    for (const port of [8081, 8082]) {
      const version = await waitFor(
        `the version at ${port}`,
        { timeoutMs: 60_000, intervalMs: 1000 },
        async () => {
          const got = await sh(plain, ask(port, '/version'));
          return got.exitCode === 0 ? got.stdout : undefined;
        },
      );
      expect(JSON.parse(version)).toMatchObject({ major: '1' });
    }
    expect((await sh(plain, ask(8083, '/version'))).stderr).toContain('502 Bad Gateway');
    expect((await sh(plain, `cat ${account}/namespace`)).stdout).toBe(plain);
  });

  it('knows the pod by its token, and refuses a forged one', async () => {
    const own = `/api/v1/namespaces/${plain}/configmaps`;
    expect((await sh(plain, ask(8081, own))).stderr).toContain('403 Forbidden');
    await kubectl.run([
      'create',
      'rolebinding',
      '-n',
      plain,
      'reader',
      '--clusterrole=view',
      `--serviceaccount=${plain}:default`,
    ]);
    const list = await waitFor('the binding to hold', { timeoutMs: 30_000, intervalMs: 1000 }, async () => {
      const got = await sh(plain, ask(8081, own));
      return got.exitCode === 0 ? got.stdout : undefined;
    });
    expect(JSON.parse(list)).toMatchObject({ kind: 'ConfigMapList' });
    expect((await sh(plain, ask(8081, own, 'forged'))).stderr).toContain('401 Unauthorized');
  });

  it("is not reachable from a tenant's network: neither by its ClusterIP nor at any address of the host", async () => {
    const { apiPort } = await settings();
    const addresses = JSON.parse((await run('ip', ['-4', '-json', 'address', 'show'])).stdout.toString()) as {
      ifname: string;
      addr_info: { local: string }[];
    }[];
    const hosts = addresses
      .filter(({ ifname }) => ifname !== 'lo')
      .flatMap(({ addr_info }) => addr_info.map(({ local }) => local));
    const targets = [
      '10.96.0.1 443',
      `192.168.77.1 ${apiPort}`,
      ...hosts.slice(0, 12).map((host) => `${host} ${apiPort}`),
    ];
    expect(targets.length).toBeGreaterThan(2);
    const script = `for target in ${targets.map((target) => `"${target}"`).join(' ')}; do
      set -- $target
      if nc -w 2 $1 $2 < /dev/null; then echo "open $target"; else echo "closed $target"; fi
    done`;
    const lines = (await sh(tenant, script)).stdout.trim().split('\n');
    expect(lines).toEqual(targets.map((target) => `closed ${target}`));
    // The same words do find an open port: the check can fail.
    const open = await sh(plain, 'nc -w 5 10.96.0.1 443 < /dev/null && echo open');
    expect(open.stdout).toContain('open');
  });

  async function settings(): Promise<{ apiPort: number }> {
    return JSON.parse(await readFile(join(installation.dataDir, 'config.json'), 'utf8')) as {
      apiPort: number;
    };
  }
});
