import { describe, expect, test } from 'vitest';
import { decodeObject } from './decode.ts';
import { defaultObject } from './defaults.ts';
import { findKind } from './kinds.ts';
import type { ApiObject } from './object.ts';
import { schemasForTests } from './schemas.fixture.ts';

const schemas = schemasForTests();

function defaulted(apiVersion: string, kind: string, fields: Record<string, unknown>): ApiObject {
  const found = findKind(apiVersion, kind)!;
  const body = { metadata: { name: 'x' }, ...fields };
  return defaultObject(found, decodeObject(schemas, found, body, { fieldValidation: 'Strict' }).object);
}

describe('defaults', () => {
  test('pod', () => {
    const pod = defaulted('v1', 'Pod', {
      spec: {
        containers: [
          {
            name: 'c',
            image: 'nginx',
            ports: [{ containerPort: 80 }],
            resources: { limits: { cpu: '1' } },
            env: [{ name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } }],
            livenessProbe: { httpGet: { port: 80 }, timeoutSeconds: 0 },
          },
        ],
        volumes: [
          { name: 'a' },
          { name: 'b', configMap: { name: 'c' } },
          { name: 'c', projected: { sources: [{ serviceAccountToken: { path: 't' } }] } },
        ],
        serviceAccountName: 'robot',
      },
    });
    expect(pod['status']).toEqual({ phase: 'Pending' });
    expect(pod['spec']).toEqual({
      restartPolicy: 'Always',
      terminationGracePeriodSeconds: 30,
      dnsPolicy: 'ClusterFirst',
      securityContext: {},
      schedulerName: 'default-scheduler',
      enableServiceLinks: true,
      serviceAccount: 'robot',
      serviceAccountName: 'robot',
      containers: [
        {
          name: 'c',
          image: 'nginx',
          imagePullPolicy: 'Always',
          terminationMessagePath: '/dev/termination-log',
          terminationMessagePolicy: 'File',
          ports: [{ containerPort: 80, protocol: 'TCP' }],
          resources: { limits: { cpu: '1' }, requests: { cpu: '1' } },
          env: [{ name: 'IP', valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: 'status.podIP' } } }],
          livenessProbe: {
            httpGet: { path: '/', port: 80, scheme: 'HTTP' },
            timeoutSeconds: 1,
            periodSeconds: 10,
            successThreshold: 1,
            failureThreshold: 3,
          },
        },
      ],
      volumes: [
        { name: 'a', emptyDir: {} },
        { name: 'b', configMap: { name: 'c', defaultMode: 420 } },
        {
          name: 'c',
          projected: {
            defaultMode: 420,
            sources: [{ serviceAccountToken: { path: 't', expirationSeconds: 3600 } }],
          },
        },
      ],
    });
  });

  test.each([
    ['nginx', 'Always'],
    ['nginx:latest', 'Always'],
    ['nginx:1.25', 'IfNotPresent'],
    ['host:5000/nginx', 'Always'],
    ['host:5000/nginx:1', 'IfNotPresent'],
    [`nginx@sha256:${'0'.repeat(64)}`, 'IfNotPresent'],
  ])('image %s is pulled %s', (image, policy) => {
    const pod = defaulted('v1', 'Pod', { spec: { containers: [{ name: 'c', image }] } });
    expect(pod['spec']).toMatchObject({ containers: [{ imagePullPolicy: policy }] });
  });

  test('what is given stays', () => {
    const spec = {
      restartPolicy: 'Never',
      dnsPolicy: 'None',
      containers: [{ name: 'c', image: 'x', imagePullPolicy: 'Never', terminationMessagePath: '/t' }],
      terminationGracePeriodSeconds: 0,
      enableServiceLinks: false,
    };
    expect(defaulted('v1', 'Pod', { spec })['spec']).toMatchObject(spec);
  });

  test('services', () => {
    const service = defaulted('v1', 'Service', { spec: { ports: [{ port: 80 }], clusterIP: '10.96.0.1' } });
    expect(service).toMatchObject({
      spec: {
        type: 'ClusterIP',
        sessionAffinity: 'None',
        internalTrafficPolicy: 'Cluster',
        ipFamilies: ['IPv4'],
        ipFamilyPolicy: 'SingleStack',
        clusterIPs: ['10.96.0.1'],
        ports: [{ port: 80, targetPort: 80, protocol: 'TCP' }],
      },
      status: { loadBalancer: {} },
    });
    const balancer = defaulted('v1', 'Service', { spec: { type: 'LoadBalancer', ports: [{ port: 80 }] } });
    expect(balancer['spec']).toMatchObject({
      externalTrafficPolicy: 'Cluster',
      allocateLoadBalancerNodePorts: true,
    });
    const sticky = defaulted('v1', 'Service', {
      spec: { sessionAffinity: 'ClientIP', ports: [{ port: 1 }] },
    });
    expect(sticky['spec']).toMatchObject({ sessionAffinityConfig: { clientIP: { timeoutSeconds: 10800 } } });
  });

  test('workloads and the pods in them', () => {
    const template = { spec: { containers: [{ name: 'c', image: 'x:1' }] } };
    const deployment = defaulted('apps/v1', 'Deployment', { spec: { template } });
    expect(deployment['spec']).toMatchObject({
      replicas: 1,
      revisionHistoryLimit: 10,
      progressDeadlineSeconds: 600,
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: '25%', maxUnavailable: '25%' } },
      template: { spec: { dnsPolicy: 'ClusterFirst', containers: [{ imagePullPolicy: 'IfNotPresent' }] } },
    });
    const recreate = defaulted('apps/v1', 'Deployment', {
      spec: { strategy: { type: 'Recreate' }, template },
    });
    expect((recreate['spec'] as Record<string, unknown>)['strategy']).toEqual({ type: 'Recreate' });
    expect(defaulted('apps/v1', 'DaemonSet', { spec: { template } })['spec']).toMatchObject({
      updateStrategy: { rollingUpdate: { maxUnavailable: 1, maxSurge: 0 } },
    });
    expect(defaulted('batch/v1', 'Job', { spec: { template } })['spec']).toMatchObject({
      completions: 1,
      parallelism: 1,
      backoffLimit: 6,
      completionMode: 'NonIndexed',
      suspend: false,
    });
    expect(
      defaulted('batch/v1', 'CronJob', { spec: { jobTemplate: { spec: { template } } } })['spec'],
    ).toMatchObject({
      concurrencyPolicy: 'Allow',
      jobTemplate: { spec: { template: { spec: { schedulerName: 'default-scheduler' } } } },
    });
  });

  test('secrets: plain text becomes data', () => {
    const secret = defaulted('v1', 'Secret', {
      data: { a: 'eA==' },
      stringData: { a: 'y', b: 'gr\u00fc\u00df' },
    });
    expect(secret).toEqual({
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: { name: 'x' },
      type: 'Opaque',
      data: { a: 'eQ==', b: 'Z3LDvMOf' },
    });
  });

  test('others', () => {
    expect(defaulted('v1', 'Namespace', {})).toMatchObject({
      metadata: { labels: { 'kubernetes.io/metadata.name': 'x' } },
      status: { phase: 'Active' },
    });
    expect(defaulted('v1', 'Network', { spec: { tenantID: 't' } })['status']).toEqual({
      phase: 'Initializing',
    });
    expect(
      defaulted('v1', 'LimitRange', {
        spec: { limits: [{ type: 'Container', max: { cpu: '2' }, min: { cpu: '1' } }] },
      })['spec'],
    ).toMatchObject({
      limits: [{ default: { cpu: '2' }, defaultRequest: { cpu: '2' } }],
    });
    const binding = defaulted('rbac.authorization.k8s.io/v1', 'RoleBinding', {
      roleRef: { kind: 'Role', name: 'r' },
      subjects: [
        { kind: 'User', name: 'u' },
        { kind: 'ServiceAccount', name: 's' },
      ],
    });
    expect(binding).toMatchObject({
      roleRef: { apiGroup: 'rbac.authorization.k8s.io' },
      subjects: [{ apiGroup: 'rbac.authorization.k8s.io' }, { kind: 'ServiceAccount', name: 's' }],
    });
  });

  test('twice is the same as once, and the result fits the schema', () => {
    const template = {
      metadata: { labels: { a: 'b' } },
      spec: {
        containers: [{ name: 'c', image: 'x', livenessProbe: { grpc: { port: 1 } } }],
        volumes: [{ name: 'v', hostPath: { path: '/' } }],
      },
    };
    const samples: [string, string, Record<string, unknown>][] = [
      ['v1', 'Pod', { spec: template.spec }],
      ['v1', 'Service', { spec: { ports: [{ port: 1 }] } }],
      ['v1', 'ReplicationController', { spec: { template } }],
      ['v1', 'PersistentVolume', { spec: {} }],
      ['v1', 'PersistentVolumeClaim', {}],
      ['v1', 'Secret', { stringData: { a: 'b' } }],
      ['v1', 'Endpoints', { subsets: [{ ports: [{ port: 1 }] }] }],
      ['v1', 'Node', { status: { capacity: { cpu: '1' } } }],
      ['apps/v1', 'Deployment', { spec: { template } }],
      ['apps/v1', 'StatefulSet', { spec: { template, volumeClaimTemplates: [{ metadata: { name: 'd' } }] } }],
      ['apps/v1', 'DaemonSet', { spec: { template } }],
      ['apps/v1', 'ReplicaSet', { spec: { template } }],
      ['batch/v1', 'Job', { spec: { template } }],
      ['batch/v1', 'CronJob', { spec: { jobTemplate: { spec: { template } } } }],
      ['discovery.k8s.io/v1', 'EndpointSlice', { ports: [{ port: 1 }] }],
      ['networking.k8s.io/v1', 'NetworkPolicy', { spec: { egress: [{ ports: [{ port: 1 }] }] } }],
      ['storage.k8s.io/v1', 'StorageClass', { provisioner: 'p' }],
      ['scheduling.k8s.io/v1', 'PriorityClass', { value: 1 }],
    ];
    for (const [apiVersion, kind, fields] of samples) {
      const once = defaulted(apiVersion, kind, fields);
      const text = JSON.stringify(once);
      const found = findKind(apiVersion, kind)!;
      expect(decodeObject(schemas, found, text, { fieldValidation: 'Strict' }).object).toEqual(once);
      expect(JSON.stringify(defaultObject(found, once))).toBe(text);
    }
  });
});
