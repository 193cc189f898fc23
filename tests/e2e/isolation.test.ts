import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '@hypernetes/foundation/process';
import { waitFor } from '@hypernetes/foundation/lifecycle';
import {
  busyboxPod,
  createNamespace,
  createTenantNetwork,
  podAddress,
  sharedInstallation,
  uniqueName,
} from './_cluster.ts';

const server = (text: string): string =>
  `mkdir -p /www && echo ${text} > /www/index.html && httpd -f -p 8080 -h /www`;

describe('two tenants with the same CIDR', () => {
  const installation = sharedInstallation();
  const kubectl = installation.kubectl();
  const [red, blue] = [uniqueName('red'), uniqueName('blue')];

  beforeAll(async () => {
    for (const name of [red, blue]) {
      await createTenantNetwork(installation, kubectl, name);
      await createNamespace(kubectl, name, name);
      await kubectl.run(['apply', '-n', name, '-f', '-'], {
        input: busyboxPod('server', { command: server(name) }),
      });
      await kubectl.run(['apply', '-n', name, '-f', '-'], { input: busyboxPod('client') });
    }
    for (const name of [red, blue])
      for (const pod of ['server', 'client']) await kubectl.waitReady(name, pod);
  });

  afterAll(async () => {
    await kubectl.try(['delete', 'namespace', red, blue, '--timeout=90s']);
    await kubectl.try(['delete', 'network', red, blue, '--timeout=30s']);
  });

  const get = async (namespace: string, address: string): Promise<string | undefined> => {
    const got = await kubectl.exec(namespace, 'client', [
      'timeout',
      '3',
      'wget',
      '-q',
      '-O',
      '-',
      `http://${address}:8080/`,
    ]);
    return got.exitCode === 0 ? got.stdout.trim() : undefined;
  };

  it('each reaches its own pods by IP, and only its own, even at the same address', async () => {
    const redServer = await podAddress(kubectl, red, 'server');
    const blueServer = await podAddress(kubectl, blue, 'server');
    expect(redServer.startsWith('192.168.0.')).toBe(true);
    expect(await get(red, redServer)).toBe(red);
    expect(await get(blue, blueServer)).toBe(blue);
    // The other's address is either one's own pod with that number or nothing; never the other tenant.
    expect(await get(red, blueServer)).not.toBe(blue);
    expect(await get(blue, redServer)).not.toBe(red);
  });

  it('no address of the range answers with the other tenant', async () => {
    const scan =
      'for i in $(seq 2 12); do timeout 1 wget -q -O - http://192.168.0.$i:8080/ 2>/dev/null; done; true';
    const found = (await kubectl.exec(red, 'client', ['sh', '-c', scan])).stdout;
    expect(found).toContain(red);
    expect(found).not.toContain(blue);
  });

  it("the other tenant's Services are neither reachable nor known by name", async () => {
    await kubectl.run(['expose', 'pod', '-n', blue, 'server', '--port=8080']);
    const clusterIp = await kubectl.run([
      'get',
      'service',
      '-n',
      blue,
      'server',
      '-o',
      'jsonpath={.spec.clusterIP}',
    ]);
    await waitFor(
      'the Service inside its own tenant',
      { timeoutMs: 20_000, intervalMs: 500 },
      async () => (await get(blue, clusterIp)) === blue,
    );
    expect(await get(red, clusterIp)).toBeUndefined();
    const name = `server.${blue}.svc.cluster.local`;
    expect(await get(blue, name)).toBe(blue);
    const unknown = await kubectl.exec(red, 'client', [
      'timeout',
      '3',
      'wget',
      '-q',
      '-O',
      '-',
      `http://${name}:8080/`,
    ]);
    expect(unknown.exitCode).not.toBe(0);
    expect(unknown.stderr).toMatch(/bad address/);
  });

  it('a tenant reaches neither the host nor hyperd, kubestack or the API by the uplink', async () => {
    const settings = JSON.parse(
      (await run('cat', [`${installation.dataDir}/config.json`])).stdout.toString(),
    ) as { apiPort: number };
    const addresses = (await run('ip', ['-4', '-json', 'address', 'show'])).stdout.toString();
    const hosts = (JSON.parse(addresses) as { ifname: string; addr_info: { local: string }[] }[])
      .filter((entry) => entry.ifname !== 'lo')
      .flatMap((entry) => entry.addr_info.map((address) => address.local))
      .slice(0, 4);
    for (const host of hosts) {
      const got = await kubectl.exec(red, 'client', ['nc', '-w', '2', host, String(settings.apiPort)]);
      expect(got.exitCode, `connection to ${host}:${settings.apiPort}`).not.toBe(0);
    }
  });
});

describe('a namespace without a Network', () => {
  const installation = sharedInstallation();
  const kubectl = installation.kubectl();
  const namespace = uniqueName('plain');

  beforeAll(async () => {
    await createNamespace(kubectl, namespace);
    await kubectl.run(['apply', '-n', namespace, '-f', '-'], {
      input: busyboxPod('server', { command: server(namespace) }),
    });
    await kubectl.run(['apply', '-n', namespace, '-f', '-'], { input: busyboxPod('client') });
    await kubectl.waitReady(namespace, 'server');
    await kubectl.waitReady(namespace, 'client');
    await kubectl.run(['expose', 'pod', '-n', namespace, 'server', '--port=8080']);
  });

  afterAll(async () => {
    await kubectl.try(['delete', 'namespace', namespace, '--timeout=90s']);
  });

  it('gets the default pod network and an ordinary ClusterIP, also from the host', async () => {
    const address = await podAddress(kubectl, namespace, 'server');
    expect(address).toMatch(/^10\.244\./);
    const clusterIp = await kubectl.run([
      'get',
      'service',
      '-n',
      namespace,
      'server',
      '-o',
      'jsonpath={.spec.clusterIP}',
    ]);
    expect(clusterIp).toMatch(/^10\.96\./);
    for (const host of [address, clusterIp, `server.${namespace}.svc.cluster.local`]) {
      await waitFor(`http://${host}:8080 from a pod`, { timeoutMs: 20_000, intervalMs: 500 }, async () => {
        const got = await kubectl.exec(namespace, 'client', [
          'timeout',
          '3',
          'wget',
          '-q',
          '-O',
          '-',
          `http://${host}:8080/`,
        ]);
        return got.stdout.trim() === namespace;
      });
    }
    for (const host of [address, clusterIp]) {
      await waitFor(`http://${host}:8080 from the host`, { timeoutMs: 20_000, intervalMs: 500 }, async () => {
        const got = await run('curl', ['-s', '-m', '3', '--noproxy', '*', `http://${host}:8080/`], {
          allowExitCodes: [7, 28, 52, 56],
        });
        return got.stdout.toString().trim() === namespace;
      });
    }
  });

  it('a Service without endpoints refuses at once', async () => {
    await kubectl.apply(`
apiVersion: v1
kind: Service
metadata: {name: empty, namespace: ${namespace}}
spec: {selector: {app: nobody}, ports: [{port: 80}]}
`);
    const clusterIp = await kubectl.run([
      'get',
      'service',
      '-n',
      namespace,
      'empty',
      '-o',
      'jsonpath={.spec.clusterIP}',
    ]);
    await waitFor('a refusal', { timeoutMs: 20_000, intervalMs: 500 }, async () => {
      const begin = Date.now();
      const got = await kubectl.exec(namespace, 'client', [
        'timeout',
        '10',
        'wget',
        '-q',
        '-O',
        '-',
        `http://${clusterIp}/`,
      ]);
      return got.exitCode !== 0 && /refused|unreachable/i.test(got.stderr) && Date.now() - begin < 8_000;
    });
  });
});

describe('who may use which Network', () => {
  const installation = sharedInstallation();
  const admin = installation.kubectl();
  const [mine, theirs] = [uniqueName('mine'), uniqueName('theirs')];
  let tenant: ReturnType<typeof installation.kubectl>;
  let myTenant = '';
  let theirTenant = '';

  beforeAll(async () => {
    myTenant = await createTenantNetwork(installation, admin, mine);
    theirTenant = await createTenantNetwork(installation, admin, theirs);
    const kubeconfig = `${installation.dataDir}/ada.kubeconfig`;
    await installation.run(['login', '--tenant', myTenant, '--user', 'ada', '--kubeconfig', kubeconfig]);
    const { Kubectl } = await import('../fixtures/kubectl.ts');
    tenant = new Kubectl(kubeconfig);
  });

  afterAll(async () => {
    await admin.try(['delete', 'namespace', `${mine}-ns`, '--ignore-not-found', '--timeout=60s']);
    await admin.try(['delete', 'network', mine, theirs, '--timeout=30s']);
  });

  it('a Network that does not exist is refused with why', async () => {
    const refused = await admin.try(['apply', '-f', '-'], {
      input: '{apiVersion: v1, kind: Namespace, metadata: {name: nowhere}, spec: {network: does-not-exist}}',
    });
    expect(refused.exitCode).not.toBe(0);
    expect(refused.stderr).toMatch(/does-not-exist.*not (found|exist)/i);
    expect((await admin.try(['get', 'namespace', 'nowhere'])).stderr).toContain('NotFound');
  });

  it("another tenant's Network is refused with why", async () => {
    const refused = await tenant.try(['apply', '-f', '-'], {
      input: `{apiVersion: v1, kind: Namespace, metadata: {name: stolen}, spec: {network: ${theirs}}}`,
    });
    expect(refused.exitCode).not.toBe(0);
    expect(refused.stderr).toMatch(/forbidden|not found/i);
    expect(refused.stderr).toContain(theirs);
    const network = await tenant.try(['apply', '-f', '-'], {
      input: `{apiVersion: v1, kind: Network, metadata: {name: forged}, spec: {tenantID: "${theirTenant}", subnets: {a: {cidr: 10.9.0.0/24, gateway: 10.9.0.1}}}}`,
    });
    expect(network.stderr).toMatch(/forbidden/i);
  });

  it('a tenant makes its own namespace on its own Network and sees nothing of the other', async () => {
    await tenant.run(['apply', '-f', '-'], {
      input: `{apiVersion: v1, kind: Namespace, metadata: {name: ${mine}-ns}, spec: {network: ${mine}}}`,
    });
    const networks = await tenant.run(['get', 'networks', '-o', 'name']);
    expect(networks).toBe(`network/${mine}\n`);
    const namespaces = await tenant.run(['get', 'namespaces', '-o', 'name']);
    expect(namespaces).toBe(`namespace/${mine}-ns\n`);
    await waitFor('the tenant to be admin of its namespace', { timeoutMs: 15_000 }, async () => {
      return (
        (await tenant.try(['auth', 'can-i', 'create', 'pods', '-n', `${mine}-ns`])).stdout.trim() === 'yes'
      );
    });
    expect((await tenant.try(['get', 'pods', '-n', 'default'])).stderr).toMatch(/forbidden/i);
    expect((await tenant.try(['get', 'secrets', '-A'])).stderr).toMatch(/forbidden/i);
  });
});
