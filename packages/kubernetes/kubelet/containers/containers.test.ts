import { describe, expect, it } from 'vitest';
import type { Service } from '../../client/index.ts';
import type { Container, Pod, PodSpec } from '../kube-types.ts';
import { parseResolvConf, podDns } from './dns.ts';
import { makeEnvironment, serviceVariables } from './environment.ts';
import { expandReferences } from './expansion.ts';
import { podRequests, podSize, qosClassOf } from './resource-amounts.ts';
import { sandboxConfig } from './sandbox-config.ts';
import { linuxSecurityContext } from './security-context.ts';

const facts = {
  nodeName: 'node1',
  hostAddress: '192.0.2.1',
  podAddresses: ['10.244.0.2'],
  allocatableCpuMillis: 1_800,
  allocatableMemoryBytes: 1 << 30,
};

function podOf(spec: Partial<PodSpec> = {}): Pod {
  return {
    metadata: { name: 'p', namespace: 'n', uid: 'u', labels: { app: 'web' } },
    spec: { containers: [{ name: 'c', image: 'i' }], ...spec },
  };
}

describe('expandReferences', () => {
  const variables = new Map([
    ['A', '1'],
    ['B', '$(A)'],
  ]);
  it.each([
    ['$(A)', '1'],
    ['x$(A)y$(A)', 'x1y1'],
    ['$$(A)', '$(A)'],
    ['$(NONE)', '$(NONE)'],
    ['$(B)', '$(A)'],
    ['$A ${A} $', '$A ${A} $'],
    ['$$$(A)', '$1'],
    ['$(', '$('],
  ])('turns %s into %s', (text, expected) => {
    expect(expandReferences(text, variables)).toBe(expected);
  });
});

describe('makeEnvironment', () => {
  const base64 = (text: string) => Buffer.from(text).toString('base64');
  const sources = {
    facts,
    services: [],
    getConfigMap: (_namespace: string, name: string) =>
      Promise.resolve(
        name === 'cm' ? { metadata: { name }, data: { k: 'v', 'bad=name': 'x', other: 'o' } } : undefined,
      ),
    getSecret: (_namespace: string, name: string) =>
      Promise.resolve(name === 's' ? { metadata: { name }, data: { p: base64('word') } } : undefined),
  };
  const make = async (container: Partial<Container>) =>
    Object.fromEntries(await makeEnvironment(podOf(), { name: 'c', ...container }, sources));

  it('takes values, references and whole objects, later ones winning', async () => {
    const environment = await make({
      envFrom: [
        { configMapRef: { name: 'cm' }, prefix: 'X_' },
        { secretRef: { name: 'none', optional: true } },
      ],
      env: [
        { name: 'A', value: '1' },
        { name: 'B', value: '$(A)2 $(X_k)' },
        { name: 'C', valueFrom: { configMapKeyRef: { name: 'cm', key: 'k' } } },
        { name: 'D', valueFrom: { secretKeyRef: { name: 's', key: 'p' } } },
        { name: 'E', valueFrom: { fieldRef: { fieldPath: "metadata.labels['app']" } } },
        { name: 'F', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
        { name: 'G', valueFrom: { resourceFieldRef: { resource: 'limits.cpu', divisor: '1m' } } },
        { name: 'H', valueFrom: { configMapKeyRef: { name: 'cm', key: 'no', optional: true } } },
        { name: 'A', value: 'again' },
      ],
      resources: { limits: { cpu: '500m' } },
    });
    expect(environment).toEqual({
      X_k: 'v',
      X_other: 'o',
      A: 'again',
      B: '12 v',
      C: 'v',
      D: 'word',
      E: 'web',
      F: '10.244.0.2',
      G: '500',
    });
  });

  it.each([
    [{ configMapKeyRef: { name: 'none', key: 'k' } }, 'configmap "none" not found'],
    [{ configMapKeyRef: { name: 'cm', key: 'none' } }, "couldn't find key none in ConfigMap n/cm"],
    [{ secretKeyRef: { name: 'none', key: 'k' } }, 'secret "none" not found'],
    [{ fieldRef: { fieldPath: 'spec.nothing' } }, 'unsupported fieldPath: spec.nothing'],
  ])('says what is missing: %j', async (valueFrom, message) => {
    await expect(make({ env: [{ name: 'A', valueFrom }] })).rejects.toThrow(message);
  });
});

describe('serviceVariables', () => {
  it('names the Services of the namespace and the API server', () => {
    const services: Service[] = [
      {
        metadata: { name: 'kubernetes', namespace: 'default' },
        spec: { clusterIP: '10.96.0.1', ports: [{ port: 443, name: 'https' }] },
      },
      {
        metadata: { name: 'my-web', namespace: 'n' },
        spec: { clusterIP: '10.96.0.9', ports: [{ port: 80 }] },
      },
      { metadata: { name: 'headless', namespace: 'n' }, spec: { clusterIP: 'None', ports: [{ port: 80 }] } },
      {
        metadata: { name: 'other', namespace: 'm' },
        spec: { clusterIP: '10.96.0.8', ports: [{ port: 80 }] },
      },
    ];
    const linked = new Map(serviceVariables(services, 'n', true));
    expect(linked.get('MY_WEB_SERVICE_HOST')).toBe('10.96.0.9');
    expect(linked.get('MY_WEB_PORT_80_TCP')).toBe('tcp://10.96.0.9:80');
    expect(linked.get('KUBERNETES_SERVICE_PORT_HTTPS')).toBe('443');
    expect([...linked.keys()].some((name) => /HEADLESS|OTHER/.test(name))).toBe(false);
    expect(serviceVariables(services, 'n', false).every(([name]) => name.startsWith('KUBERNETES_'))).toBe(
      true,
    );
  });
});

describe('podDns', () => {
  const cluster = { servers: ['10.96.0.10'], domain: 'cluster.local' };
  const host = parseResolvConf(
    '# comment\nnameserver 192.0.2.53\nsearch example.org\noptions timeout:2 rotate\n',
  );
  it('follows the policy', () => {
    expect(podDns(podOf(), cluster, host)).toEqual({
      servers: ['10.96.0.10'],
      searches: ['n.svc.cluster.local', 'svc.cluster.local', 'cluster.local', 'example.org'],
      options: ['ndots:5'],
    });
    expect(podDns(podOf({ dnsPolicy: 'Default' }), cluster, host)).toEqual({
      servers: ['192.0.2.53'],
      searches: ['example.org'],
      options: ['timeout:2', 'rotate'],
    });
    const dnsConfig = {
      nameservers: ['1.2.3.4', '1.2.3.4'],
      searches: ['a.b'],
      options: [{ name: 'ndots', value: '2' }, { name: 'edns0' }],
    };
    expect(podDns(podOf({ dnsPolicy: 'None', dnsConfig }), cluster, host)).toEqual({
      servers: ['1.2.3.4'],
      searches: ['a.b'],
      options: ['ndots:2', 'edns0'],
    });
    expect(podDns(podOf({ dnsConfig }), cluster, host).options).toEqual(['ndots:2', 'edns0']);
  });
});

describe('resources of a pod', () => {
  const container = (limits?: Record<string, string>, requests?: Record<string, string>): Container => ({
    name: 'c',
    resources: {
      ...(limits === undefined ? {} : { limits }),
      ...(requests === undefined ? {} : { requests }),
    },
  });
  const mebibyte = 1 << 20;
  it.each<[string, Partial<PodSpec>, number, number, string]>([
    ['nothing said', {}, 0, 0, 'BestEffort'],
    [
      'limits add up',
      { containers: [container({ cpu: '1', memory: '64Mi' }), container({ cpu: '500m', memory: '64Mi' })] },
      1_500,
      128 * mebibyte,
      'Guaranteed',
    ],
    [
      'a request is a size too',
      { containers: [container(undefined, { memory: '1Gi' })] },
      0,
      1_024 * mebibyte,
      'Burstable',
    ],
    [
      'CPU without a limit is a whole one',
      { containers: [container(undefined, { cpu: '100m' })] },
      1_000,
      0,
      'Burstable',
    ],
    [
      'init containers count where they are larger; overhead is added',
      {
        initContainers: [container({ memory: '512Mi' })],
        containers: [container({ memory: '64Mi' })],
        overhead: { memory: '16Mi' },
      },
      0,
      528 * mebibyte,
      'Burstable',
    ],
  ])('%s', (_name, spec, cpuMillis, memoryBytes, qos) => {
    const pod = podOf(spec);
    expect(podSize(pod.spec)).toEqual({ cpuMillis, memoryBytes });
    expect(qosClassOf(pod.spec)).toBe(qos);
  });

  it('asks the node for requests, or limits where there are none', () => {
    const spec = podOf({
      containers: [container({ cpu: '2' }, { cpu: '1', memory: '1Gi' }), container({ cpu: '1' })],
    }).spec;
    expect(podRequests(spec)).toEqual({ cpuMillis: 2_000, memoryBytes: 1 << 30 });
  });
});

describe('sandboxConfig', () => {
  const settings = {
    clusterDns: ['10.96.0.10'],
    clusterDomain: 'cluster.local',
    hostDns: { servers: [], searches: [], options: [] },
    podLogsDir: '/logs',
  };
  it('says who the pod is, where its logs go and how large it is', () => {
    const pod = podOf({
      containers: [{ name: 'c', resources: { limits: { cpu: '500m', memory: '64Mi' } } }],
    });
    pod.metadata.annotations = { 'hypernetes.io/network-uid': 'net' };
    const config = sandboxConfig(pod, 2, settings);
    expect(config).toMatchObject({
      metadata: { name: 'p', namespace: 'n', uid: 'u', attempt: 2 },
      hostname: 'p',
      logDirectory: '/logs/n_p_u',
      labels: { app: 'web', 'io.kubernetes.pod.uid': 'u' },
      annotations: { 'hypernetes.io/network-uid': 'net' },
    });
    expect(config.linux?.resources).toMatchObject({
      cpuPeriod: 100_000n,
      cpuQuota: 50_000n,
      memoryLimitInBytes: BigInt(64 << 20),
    });
  });
});

describe('linuxSecurityContext', () => {
  const nobody = { uid: undefined, name: undefined };
  it('joins pod and container, the container winning', () => {
    const pod = podOf({ securityContext: { runAsUser: 1_000, runAsGroup: 1_000, fsGroup: 2_000 } });
    const context = linuxSecurityContext(
      pod,
      {
        name: 'c',
        securityContext: { runAsUser: 5, capabilities: { drop: ['ALL'] }, readOnlyRootFilesystem: true },
      },
      nobody,
    );
    expect(context).toMatchObject({
      runAsUser: { value: 5n },
      runAsGroup: { value: 1_000n },
      supplementalGroups: [2_000n],
      capabilities: { dropCapabilities: ['ALL'] },
      readonlyRootfs: true,
      noNewPrivs: false,
    });
    expect(context.maskedPaths).toContain('/proc/kcore');
  });

  it.each([
    [{ runAsUser: 0 }, nobody, "container's runAsUser breaks non-root policy"],
    [{}, nobody, 'image will run as root'],
    [{}, { uid: undefined, name: 'web' }, 'image has non-numeric user (web)'],
  ])('refuses root where it must not be: %j %j', (own, imageUser, message) => {
    const container: Container = { name: 'c', securityContext: { runAsNonRoot: true, ...own } };
    expect(() => linuxSecurityContext(podOf(), container, imageUser)).toThrow(message);
  });

  it('lets a numeric user of the image run', () => {
    const container: Container = { name: 'c', securityContext: { runAsNonRoot: true } };
    expect(() => linuxSecurityContext(podOf(), container, { uid: 33, name: undefined })).not.toThrow();
  });
});
