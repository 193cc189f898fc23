import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '@hypernetes/foundation/process';
import { waitFor } from '@hypernetes/foundation/lifecycle';
import { createNamespace, createTenantNetwork, sharedInstallation, uniqueName } from './_cluster.ts';

/** An HTTP server that answers with the pod's name and ends when it is told to. */
const httpServer = `mkdir -p /www; hostname > /www/index.html; httpd -p 8080 -h /www
trap 'exit 0' TERM; while true; do sleep 0.2; done`;

const indent = (text: string, spaces: number): string => text.replaceAll('\n', `\n${' '.repeat(spaces)}`);

function webManifest(replicas: number, version: string): string {
  return `
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: ${replicas}
  selector: {matchLabels: {app: web}}
  strategy: {rollingUpdate: {maxSurge: 1, maxUnavailable: 0}}
  template:
    metadata: {labels: {app: web, version: ${version}}}
    spec:
      terminationGracePeriodSeconds: 15
      containers:
      - name: http
        image: busybox
        command:
        - sh
        - -c
        - |
          ${indent(httpServer, 10)}
        readinessProbe: {httpGet: {path: /, port: 8080}, periodSeconds: 1}
        lifecycle: {preStop: {exec: {command: [sleep, "4"]}}}
      - name: udp
        image: probe
        args: [udp-serve, "5353", datagram]
        lifecycle: {preStop: {sleep: {seconds: 4}}}
`;
}

const services = `
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: sticky}
spec: {selector: {app: web}, sessionAffinity: ClientIP, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: same-port}
spec: {selector: {app: web}, ports: [{port: 9090, targetPort: 8080}]}
---
apiVersion: v1
kind: Service
metadata: {name: datagrams}
spec: {selector: {app: web}, ports: [{port: 53, targetPort: 5353, protocol: UDP}]}
---
apiVersion: v1
kind: Service
metadata: {name: headless}
spec: {clusterIP: None, selector: {app: web}, ports: [{port: 8080}]}
`;

/** Listens itself at the port of the Service same-port, and says so to whoever it answers. */
const client = `
apiVersion: v1
kind: Pod
metadata: {name: client}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: busybox
    command: ["sh", "-c", "mkdir -p /www; echo the client itself > /www/index.html; httpd -f -p 9090 -h /www"]
  - name: probe
    image: probe
    args: [serve, "9091", x]
`;

describe.each([
  ['the default network', undefined],
  ["a tenant's network", '192.168.78.0/24'],
])('Services on %s', (_title, cidr) => {
  const installation = sharedInstallation();
  const kubectl = installation.kubectl();
  const namespace = uniqueName('services');

  const apply = async (manifest: string): Promise<string> =>
    await kubectl.run(['apply', '-n', namespace, '-f', '-'], { input: manifest });
  const sh = async (script: string) => await kubectl.exec(namespace, 'client', ['sh', '-c', script], 'main');
  const field = async (what: string, path: string): Promise<string> =>
    await kubectl.run(['get', '-n', namespace, what, '-o', `jsonpath={${path}}`]);
  const webPods = async (path: string): Promise<string[]> =>
    (
      await kubectl.run([
        'get',
        'pods',
        '-n',
        namespace,
        '-l',
        'app=web',
        '-o',
        `jsonpath={.items[*]${path}}`,
      ])
    )
      .split(' ')
      .sort();
  const rolledOut = async (): Promise<void> => {
    await kubectl.run(['rollout', 'status', '-n', namespace, 'deployment/web', '--timeout=240s'], {
      timeoutMs: 260_000,
    });
  };
  /** Answers of so many requests in a row, one line each; a failed request is a line `failed`. */
  const answers = async (host: string, count: number): Promise<string[]> => {
    const script = `for i in $(seq ${count}); do timeout 5 wget -q -O - http://${host}/ || echo failed; done`;
    return (await sh(script)).stdout.trim().split('\n');
  };

  beforeAll(async () => {
    if (cidr !== undefined) await createTenantNetwork(installation, kubectl, namespace, cidr);
    await createNamespace(kubectl, namespace, cidr === undefined ? undefined : namespace);
    await apply(client);
    await apply(services);
    await apply(webManifest(3, 'one'));
    await rolledOut();
    await kubectl.waitReady(namespace, 'client');
    await waitFor('all three behind the Service', { timeoutMs: 60_000, intervalMs: 1000 }, async () => {
      return new Set(await answers('web', 12)).size === 3;
    });
  });

  afterAll(async () => {
    await kubectl.try(['delete', 'namespace', namespace, '--timeout=120s']);
    if (cidr !== undefined) await kubectl.try(['delete', 'network', namespace, '--timeout=30s']);
  });

  it('spreads requests over all pods, by ClusterIP and by every form of the name', async () => {
    const pods = await webPods('.metadata.name');
    expect(pods).toHaveLength(3);
    for (const host of [
      await field('service/web', '.spec.clusterIP'),
      `web.${namespace}`,
      `web.${namespace}.svc`,
      `web.${namespace}.svc.cluster.local`,
    ]) {
      const got = await answers(host, 8);
      expect(got).not.toContain('failed');
      expect(pods).toEqual(expect.arrayContaining([...new Set(got)]));
    }
  });

  it('session affinity ClientIP keeps a client with one pod', async () => {
    const got = await answers('sticky', 12);
    expect(new Set(got).size, got.join()).toBe(1);
    expect(await webPods('.metadata.name')).toContain(got[0]);
  });

  it('UDP', async () => {
    for (const host of [
      await field('service/datagrams', '.spec.clusterIP'),
      `datagrams.${namespace}.svc.cluster.local`,
    ]) {
      const got = await kubectl.exec(
        namespace,
        'client',
        ['/bin/probe', 'udp', host, '53', 'hello'],
        'probe',
      );
      expect(got.stdout, `${host}: ${got.stderr}`).toBe('datagram\n');
    }
  });

  it('a headless Service is the addresses of its pods', async () => {
    expect(await field('service/headless', '.spec.clusterIP')).toBe('None');
    const looked = (await sh(`nslookup headless.${namespace}.svc.cluster.local`)).stdout;
    const [, answer = ''] = looked.split(/Name:/);
    const addresses = [...looked.slice(looked.indexOf(answer)).matchAll(/Address(?: \d+)?: (\S+)/g)].map(
      ([, address]) => address,
    );
    expect(addresses.sort(), looked).toEqual(await webPods('.status.podIP'));
  });

  it('a port the client container itself listens on is the Service all the same', async () => {
    const own = (await sh('timeout 5 wget -q -O - http://127.0.0.1:9090/')).stdout;
    expect(own).toBe('the client itself\n');
    const pods = await webPods('.metadata.name');
    for (const host of [await field('service/same-port', '.spec.clusterIP'), 'same-port']) {
      for (const answer of await answers(`${host}:9090`, 5)) expect(pods).toContain(answer);
    }
    // And the Service's port is not open at the client's other addresses: nothing listens there for the Service.
    const port80 = await sh('timeout 5 wget -q -O - http://127.0.0.1:80/');
    expect(port80.stderr).toContain('refused');
  });

  it.runIf(cidr === undefined)('a NodePort answers at the host', async () => {
    await apply(`
apiVersion: v1
kind: Service
metadata: {name: outside}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
`);
    const nodePort = await field('service/outside', '.spec.ports[0].nodePort');
    const nodeAddress = await kubectl.run([
      'get',
      'nodes',
      '-o',
      'jsonpath={.items[0].status.addresses[?(@.type=="InternalIP")].address}',
    ]);
    const pods = await webPods('.metadata.name');
    await waitFor(`http://${nodeAddress}:${nodePort}`, { timeoutMs: 30_000, intervalMs: 500 }, async () => {
      const got = await run(
        'curl',
        ['-s', '-m', '5', '--noproxy', '*', `http://${nodeAddress}:${nodePort}/`],
        { allowExitCodes: [7, 28, 52, 56] },
      );
      return pods.includes(got.stdout.toString().trim());
    });
  });

  it('a rolling update fails no request of a client that does not try again', async () => {
    const before = await webPods('.metadata.name');
    await apply(`
apiVersion: v1
kind: Pod
metadata: {name: poller}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: busybox
    command:
    - sh
    - -c
    - while true; do timeout 5 wget -q -O - http://web/ || echo "failed $?"; sleep 0.2; done
`);
    await kubectl.waitReady(namespace, 'poller');
    const began = Date.now();
    await kubectl.run([
      'patch',
      'deployment',
      '-n',
      namespace,
      'web',
      '-p',
      '{"spec":{"template":{"metadata":{"labels":{"version":"two"}}}}}',
    ]);
    await rolledOut();
    await waitFor('the old pods to be gone', { timeoutMs: 60_000, intervalMs: 1000 }, async () => {
      const now = await webPods('.metadata.name');
      return now.length === 3 && now.every((name) => !before.includes(name));
    });
    const now = await webPods('.metadata.name');
    await waitFor('answers of the new pods', { timeoutMs: 30_000, intervalMs: 1000 }, async () => {
      const tail = await kubectl.run(['logs', '-n', namespace, 'poller', '--tail=5']);
      return tail
        .trim()
        .split('\n')
        .every((line) => now.includes(line));
    });
    const seconds = (Date.now() - began) / 1000;
    const lines = (await kubectl.run(['logs', '-n', namespace, 'poller'])).trim().split('\n');
    expect(lines.filter((line) => !before.includes(line) && !now.includes(line))).toEqual([]);
    // It did poll all along; an emulated machine under load does fewer than five a second.
    expect(lines.length / seconds).toBeGreaterThan(0.5);
    expect(lines.some((line) => before.includes(line))).toBe(true);
  });
});
