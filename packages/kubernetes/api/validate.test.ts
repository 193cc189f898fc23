import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { decodeObject } from './decode.ts';
import { defaultObject } from './defaults.ts';
import { invalid, statusOf } from './errors.ts';
import { findKind } from './kinds.ts';
import type { ApiObject } from './object.ts';
import { schemasForTests } from './schemas.fixture.ts';
import { validateObject } from './validate.ts';

const schemas = schemasForTests();

/** As the API server does it: decode strictly, default; the namespace comes from the path. */
function object(manifest: string): ApiObject {
  const body = parse(manifest) as Record<string, unknown>;
  const kind = findKind(String(body['apiVersion']), String(body['kind']))!;
  const { object: decoded } = decodeObject(schemas, kind, body, { fieldValidation: 'Strict' });
  if (kind.namespaced) decoded.metadata.namespace ??= 'default';
  return defaultObject(kind, decoded);
}

function errorsOf(checked: ApiObject, old?: ApiObject, subresource?: string): string[] {
  const kind = findKind(checked.apiVersion, checked.kind)!;
  const options = {
    ...(old === undefined ? {} : { old }),
    ...(subresource === undefined ? {} : { subresource }),
  };
  return validateObject(kind, checked, options).map((error) => `${error.field}: ${error.message}`);
}

const errorsOfText = (manifest: string): string[] => errorsOf(object(manifest));

const podWith = (spec: string): string => `
apiVersion: v1
kind: Pod
metadata: {name: p}
spec:
  ${spec}`;

const container = (fields: string): string => podWith(`containers: [{name: c, image: x, ${fields}}]`);

describe('objects that are right', () => {
  test.each([
    [
      'the announcement: network',
      'apiVersion: v1\nkind: Network\nmetadata: {name: net1}\nspec:\n  tenantID: 065f210a2ca9442aad898ab129426350\n  subnets: {subnet1: {cidr: 192.168.0.0/24, gateway: 192.168.0.1}}',
    ],
    [
      'the announcement: namespace',
      'apiVersion: v1\nkind: Namespace\nmetadata: {name: ns1}\nspec: {network: net1}',
    ],
    [
      'the announcement: pod',
      podWith(
        'containers: [{name: nginx, image: nginx, ports: [{containerPort: 80}], volumeMounts: [{name: nginx-persistent-storage, mountPath: /var/lib/nginx}]}]\n  volumes: [{name: nginx-persistent-storage, cinder: {volumeID: 651b2a7b-683e-47e1-bdd6-e3c62e8f91c0, fsType: ext4}}]',
      ),
    ],
    [
      'the announcement: service',
      'apiVersion: v1\nkind: Service\nmetadata: {name: nginx}\nspec: {type: LoadBalancer, selector: {app: nginx}, ports: [{port: 80}], externalIPs: [172.30.0.10]}',
    ],
    [
      'deployment',
      'apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: x}]}}}',
    ],
    [
      'stateful set',
      'apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: d}\nspec: {serviceName: s, selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: x}]}}}',
    ],
    [
      'daemon set',
      'apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: d}\nspec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: x}]}}}',
    ],
    [
      'job',
      'apiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\nspec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: x}]}}}',
    ],
    [
      'cron job',
      'apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: j}\nspec: {schedule: "*/5 0-6,12 * jan-mar MON", jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: x}]}}}}}',
    ],
    ['config map', 'apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\ndata: {a.b-c_D: x}'],
    ['secret', 'apiVersion: v1\nkind: Secret\nmetadata: {name: c}\nstringData: {a: x}'],
    [
      'claim',
      'apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: c}\nspec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}',
    ],
    [
      'volume',
      'apiVersion: v1\nkind: PersistentVolume\nmetadata: {name: c}\nspec: {accessModes: [ReadWriteOnce], capacity: {storage: 1Gi}, cinder: {volumeID: x}}',
    ],
    [
      'node',
      'apiVersion: v1\nkind: Node\nmetadata: {name: n.example.com}\nspec: {taints: [{key: a/b, effect: NoSchedule}]}',
    ],
    [
      'lease',
      'apiVersion: coordination.k8s.io/v1\nkind: Lease\nmetadata: {name: n}\nspec: {holderIdentity: a, leaseDurationSeconds: 40, renewTime: "2026-01-01T00:00:00.000000Z"}',
    ],
    [
      'event',
      'apiVersion: v1\nkind: Event\nmetadata: {name: e}\ninvolvedObject: {kind: Pod, namespace: default, name: x}\nreason: R',
    ],
    [
      'slice',
      'apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata: {name: s}\naddressType: IPv4\nendpoints: [{addresses: [10.0.0.1]}]\nports: [{port: 80}]',
    ],
    [
      'role',
      'apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: "system:x"}\nrules: [{apiGroups: [""], resources: [pods], verbs: [get]}, {nonResourceURLs: [/healthz], verbs: [get]}]',
    ],
    [
      'binding',
      'apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: "system:x"}\nroleRef: {kind: ClusterRole, name: x}\nsubjects: [{kind: Group, name: g}]',
    ],
    [
      'storage class',
      'apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: s}\nprovisioner: p',
    ],
    [
      'priority class',
      'apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {name: s}\nvalue: 5',
    ],
    [
      'budget',
      'apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: s}\nspec: {maxUnavailable: 50%, selector: {}}',
    ],
    [
      'policy',
      'apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: s}\nspec: {ingress: [{from: [{podSelector: {}}]}]}',
    ],
    [
      'ingress',
      'apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: s}\nspec: {rules: [{http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: s, port: {number: 80}}}}]}}]}',
    ],
    ['generated name', 'apiVersion: v1\nkind: ConfigMap\nmetadata: {generateName: x-}'],
    [
      'a pod with everything',
      podWith(`initContainers: [{name: i, image: x, restartPolicy: Always, startupProbe: {tcpSocket: {port: 1}}}]
  containers:
  - name: c
    image: x
    env: [{name: A.b-c, valueFrom: {secretKeyRef: {name: s, key: k}}}, {name: L, valueFrom: {fieldRef: {fieldPath: "metadata.labels['a/b']"}}}]
    envFrom: [{configMapRef: {name: c}}]
    volumeMounts: [{name: v, mountPath: /v, subPath: a/b}]
    lifecycle: {preStop: {exec: {command: [x]}}}
    resources: {requests: {cpu: 100m}, limits: {cpu: 1, example.com/gpu: 2}}
    readinessProbe: {httpGet: {port: http}, successThreshold: 2}
  volumes: [{name: v, emptyDir: {medium: Memory, sizeLimit: 1Gi}}]
  tolerations: [{operator: Exists}, {key: a, value: b, effect: NoExecute, tolerationSeconds: 5}]
  affinity:
    nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: a, operator: In, values: [b]}]}]}}
    podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: [{weight: 1, podAffinityTerm: {topologyKey: h, labelSelector: {}}}]}
  topologySpreadConstraints: [{maxSkew: 1, topologyKey: h, labelSelector: {matchLabels: {a: b}}}]`),
    ],
  ])('%s', (_name, manifest) => {
    expect(errorsOfText(manifest)).toEqual([]);
  });
});

describe('networks', () => {
  const network = (spec: string): string =>
    `{apiVersion: v1, kind: Network, metadata: {name: n}, spec: {${spec}}}`;
  const subnet = (cidr: string, gateway: string): string =>
    network(`tenantID: t, subnets: {a: {cidr: ${cidr}, gateway: ${gateway}}}`);

  test.each([
    [
      network('tenantID: t'),
      'spec.subnets: Required value: at least one subnet is needed, unless `providerNetworkID` is set',
    ],
    [
      network('tenantID: t, providerNetworkID: p, subnets: {a: {cidr: 10.0.0.0/24, gateway: 10.0.0.1}}'),
      'spec.subnets: Forbidden: may not be specified when `providerNetworkID` is set',
    ],
    [
      network('providerNetworkID: p'),
      'spec.tenantID: Required value: the id of the tenant the network belongs to',
    ],
    [
      subnet('192.168.0.0', '192.168.0.1'),
      'spec.subnets[a].cidr: Invalid value: "192.168.0.0": must be a CIDR, e.g. "192.168.0.0/24"',
    ],
    [
      subnet('192.168.0.0/33', '192.168.0.1'),
      'spec.subnets[a].cidr: Invalid value: "192.168.0.0/33": must be a CIDR, e.g. "192.168.0.0/24"',
    ],
    [subnet('"fd00::/64"', '192.168.0.1'), 'must be a CIDR, e.g. "192.168.0.0/24"'],
    [
      subnet('192.168.0.1/24', '192.168.0.1'),
      'spec.subnets[a].cidr: Invalid value: "192.168.0.1/24": has host bits set: the network is 192.168.0.0/24',
    ],
    [subnet('10.0.0.0/30', '10.0.0.1'), 'the prefix must be from /8 to /29'],
    [subnet('127.0.0.0/24', '127.0.0.1'), 'is within 127.0.0.0/8 (loopback), which cannot be used for pods'],
    [
      subnet('169.254.64.0/24', '169.254.64.1'),
      'is within 169.254.0.0/16 (link-local), which cannot be used for pods',
    ],
    [subnet('240.0.0.0/8', '240.0.0.1'), 'multicast and reserved'],
    [
      subnet('192.168.0.0/24', 'x'),
      'spec.subnets[a].gateway: Invalid value: "x": must be an IP address, e.g. "192.168.0.1"',
    ],
    [
      subnet('192.168.0.0/24', '192.168.1.1'),
      'spec.subnets[a].gateway: Invalid value: "192.168.1.1": is not in the range of 192.168.0.0/24',
    ],
    [subnet('192.168.0.0/24', '192.168.0.0'), 'is the network address of 192.168.0.0/24'],
    [subnet('192.168.0.0/24', '192.168.0.255'), 'is the broadcast address of 192.168.0.0/24'],
    [
      network('tenantID: t, subnets: {a: {gateway: 10.0.0.1}}'),
      'spec.subnets[a].cidr: Required value: must be a CIDR, e.g. "192.168.0.0/24"',
    ],
    [
      network('tenantID: t, subnets: {a: {cidr: 10.0.0.0/24}}'),
      'spec.subnets[a].gateway: Required value: must be an IP address, e.g. "192.168.0.1"',
    ],
    [
      network(
        'tenantID: t, subnets: {a: {cidr: 10.0.0.0/16, gateway: 10.0.0.1}, b: {cidr: 10.0.7.0/24, gateway: 10.0.7.1}}',
      ),
      'spec.subnets[b].cidr: Invalid value: "10.0.7.0/24": overlaps with subnet "a"',
    ],
    [
      network('tenantID: t, subnets: {A_b: {cidr: 10.0.0.0/24, gateway: 10.0.0.1}}'),
      'spec.subnets[A_b]: Invalid value: "A_b": a lowercase RFC 1123 label',
    ],
  ])('%#', (manifest, message) => {
    const found = errorsOfText(manifest);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(message);
  });

  test('neighbours do not overlap', () => {
    expect(
      errorsOfText(
        network(
          'tenantID: t, subnets: {a: {cidr: 10.0.0.0/25, gateway: 10.0.0.1}, b: {cidr: 10.0.0.128/25, gateway: 10.0.0.129}}',
        ),
      ),
    ).toEqual([]);
  });

  test('updates', () => {
    const old = object(network('tenantID: t, subnets: {a: {cidr: 10.0.0.0/24, gateway: 10.0.0.1}}'));
    const changed = (spec: string): string[] => errorsOf(object(network(spec)), old);
    expect(changed('tenantID: other, subnets: {a: {cidr: 10.0.0.0/24, gateway: 10.0.0.1}}')).toEqual([
      'spec.tenantID: Invalid value: "other": field is immutable',
    ]);
    expect(changed('tenantID: t, subnets: {a: {cidr: 10.0.1.0/24, gateway: 10.0.1.1}}')).toHaveLength(1);
    expect(changed('tenantID: t, subnets: {b: {cidr: 10.0.1.0/24, gateway: 10.0.1.1}}')).toEqual([]);
    expect(errorsOf({ ...old, status: { phase: 'Odd' } }, old, 'status')[0]).toContain(
      'status.phase: Unsupported value: "Odd"',
    );
  });
});

describe('pods', () => {
  test.each([
    [podWith('containers: []'), 'spec.containers: Required value'],
    [podWith('containers: [{image: x}]'), 'spec.containers[0].name: Required value'],
    [
      podWith('containers: [{name: A, image: x}]'),
      'spec.containers[0].name: Invalid value: "A": a lowercase RFC 1123 label',
    ],
    [podWith('containers: [{name: c}]'), 'spec.containers[0].image: Required value'],
    [
      podWith('containers: [{name: c, image: " x"}]'),
      'spec.containers[0].image: Invalid value: " x": must not have leading or trailing whitespace',
    ],
    [
      podWith('containers: [{name: c, image: x}, {name: c, image: y}]'),
      'spec.containers[1].name: Duplicate value: "c"',
    ],
    [
      podWith('initContainers: [{name: c, image: x}]\n  containers: [{name: c, image: y}]'),
      'spec.initContainers[0].name: Duplicate value: "c"',
    ],
    [
      podWith(
        'initContainers: [{name: i, image: x, livenessProbe: {tcpSocket: {port: 1}}}]\n  containers: [{name: c, image: y}]',
      ),
      'spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers',
    ],
    [
      container('imagePullPolicy: Sometimes'),
      'spec.containers[0].imagePullPolicy: Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"',
    ],
    [
      container('ports: [{containerPort: 70000}]'),
      'spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive',
    ],
    [
      container('ports: [{name: a, containerPort: 1}, {name: a, containerPort: 2}]'),
      'spec.containers[0].ports[1].name: Duplicate value: "a"',
    ],
    [
      container('ports: [{protocol: ICMP, containerPort: 1}]'),
      'ports[0].protocol: Unsupported value: "ICMP"',
    ],
    [
      container('ports: [{containerPort: 1, hostPort: 5}, {containerPort: 2, hostPort: 5}]'),
      'hostPort: Duplicate value',
    ],
    [container('env: [{value: x}]'), 'spec.containers[0].env[0].name: Required value'],
    [container('env: [{name: "a=b"}]'), 'printable ASCII characters other than'],
    [
      container('env: [{name: a, value: b, valueFrom: {secretKeyRef: {name: s, key: k}}}]'),
      'env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty',
    ],
    [
      container('env: [{name: a, valueFrom: {fieldRef: {fieldPath: spec.containers}}}]'),
      'fieldRef.fieldPath: Invalid value: "spec.containers"',
    ],
    [
      container('env: [{name: a, valueFrom: {configMapKeyRef: {name: c}}}]'),
      'configMapKeyRef.key: Required value',
    ],
    [container('envFrom: [{}]'), 'envFrom[0]: Invalid value: "": must specify one of'],
    [
      container('volumeMounts: [{name: v, mountPath: /x}]'),
      'spec.containers[0].volumeMounts[0].name: Not found: "v"',
    ],
    [
      podWith(
        'containers: [{name: c, image: x, volumeMounts: [{name: v, mountPath: /x}, {name: v, mountPath: /x}]}]\n  volumes: [{name: v}]',
      ),
      'volumeMounts[1].mountPath: Invalid value: "/x": must be unique',
    ],
    [
      podWith(
        'containers: [{name: c, image: x, volumeMounts: [{name: v, mountPath: /x, subPath: ../y}]}]\n  volumes: [{name: v}]',
      ),
      'subPath: Invalid value: "../y": must not contain \'..\'',
    ],
    [
      container('resources: {requests: {cpu: 2}, limits: {cpu: 1}}'),
      'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
    ],
    [container('resources: {requests: {memory: -1Gi}}'), 'must be greater than or equal to 0'],
    [
      container('livenessProbe: {}'),
      'spec.containers[0].livenessProbe: Required value: must specify a handler type',
    ],
    [
      container('livenessProbe: {exec: {command: [x]}, tcpSocket: {port: 1}}'),
      'livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type',
    ],
    [container('livenessProbe: {httpGet: {port: 0}}'), 'livenessProbe.httpGet.port: Invalid value: 0'],
    [
      container('livenessProbe: {successThreshold: 2, tcpSocket: {port: 1}}'),
      'livenessProbe.successThreshold: Invalid value: 2: must be 1',
    ],
    [container('lifecycle: {preStop: {exec: {}}}'), 'lifecycle.preStop.exec.command: Required value'],
    [
      podWith('restartPolicy: Sometimes\n  containers: [{name: c, image: x}]'),
      'spec.restartPolicy: Unsupported value: "Sometimes"',
    ],
    [
      podWith('dnsPolicy: None\n  containers: [{name: c, image: x}]'),
      'spec.dnsConfig.nameservers: Required value',
    ],
    [
      podWith('nodeSelector: {"a b": c}\n  containers: [{name: c, image: x}]'),
      'spec.nodeSelector: Invalid value: "a b"',
    ],
    [
      podWith(
        'volumes: [{name: v, emptyDir: {}, configMap: {name: c}}]\n  containers: [{name: c, image: x}]',
      ),
      'may not specify more than 1 volume type',
    ],
    [
      podWith('volumes: [{name: v, cinder: {}}]\n  containers: [{name: c, image: x}]'),
      'spec.volumes[0].cinder.volumeID: Required value',
    ],
    [
      podWith('volumes: [{name: v}, {name: v}]\n  containers: [{name: c, image: x}]'),
      'spec.volumes[1].name: Duplicate value: "v"',
    ],
    [
      podWith(
        'volumes: [{name: v, configMap: {name: c, items: [{key: a, path: /etc/passwd}]}}]\n  containers: [{name: c, image: x}]',
      ),
      'items[0].path: Invalid value: "/etc/passwd": must be a relative path',
    ],
    [
      podWith('tolerations: [{value: x}]\n  containers: [{name: c, image: x}]'),
      'spec.tolerations[0].operator: Invalid value: "": operator must be Exists when `key` is empty',
    ],
    [
      podWith(
        'affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: []}}}\n  containers: [{name: c, image: x}]',
      ),
      'must have at least one node selector term',
    ],
    [
      podWith(
        'affinity: {podAffinity: {requiredDuringSchedulingIgnoredDuringExecution: [{}]}}\n  containers: [{name: c, image: x}]',
      ),
      'topologyKey: Required value',
    ],
    [
      podWith('terminationGracePeriodSeconds: -5\n  containers: [{name: c, image: x}]'),
      'must be greater than or equal to 0',
    ],
  ])('%#', (manifest, message) => {
    const found = errorsOfText(manifest);
    expect(found.join('\n')).toContain(message);
    expect(found).toHaveLength(1);
  });

  test('updates change images, tolerations and little else', () => {
    const old = object(podWith('containers: [{name: c, image: x}]\n  tolerations: [{key: a}]'));
    const update = (spec: string): string[] => errorsOf(object(podWith(spec)), old);
    expect(
      update(
        'containers: [{name: c, image: y, imagePullPolicy: Always}]\n  tolerations: [{key: a}, {key: b}]',
      ),
    ).toEqual([]);
    expect(update('containers: [{name: c, image: x, command: [a]}]\n  tolerations: [{key: a}]')[0]).toMatch(
      /^spec: Forbidden: pod updates may not change fields other than/,
    );
    expect(update('containers: [{name: c, image: x}]')[0]).toMatch(/spec.tolerations: Forbidden/);
    expect(
      update('nodeName: n\n  containers: [{name: c, image: x}]\n  tolerations: [{key: a}]'),
    ).toHaveLength(1);
    expect(
      errorsOf(object(podWith('nodeName: n\n  containers: [{name: c, image: x}]')), old, 'binding'),
    ).toEqual([]);
  });
});

const template = '{metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: x}]}}';
const workload = (kind: string, spec: string): string =>
  `{apiVersion: apps/v1, kind: ${kind}, metadata: {name: d}, spec: {${spec}}}`;
const fitting = `selector: {matchLabels: {a: b}}, template: ${template}`;
const service = (spec: string): string =>
  `{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {${spec}}}`;
const job = (spec: string): string =>
  `{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {${spec}}}`;
const cron = (schedule: string): string =>
  `{apiVersion: batch/v1, kind: CronJob, metadata: {name: j}, spec: {schedule: "${schedule}", jobTemplate: {spec: {template: {spec: {restartPolicy: Never, containers: [{name: c, image: x}]}}}}}}`;

describe('other kinds', () => {
  test.each([
    [workload('Deployment', `template: ${template}`), 'spec.selector: Required value'],
    [
      workload('Deployment', `selector: {}, template: ${template}`),
      'spec.selector: Invalid value: {}: empty selector is invalid for deployment',
    ],
    [
      workload('Deployment', `selector: {matchLabels: {x: y}}, template: ${template}`),
      'spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match template `labels`',
    ],
    [
      workload('Deployment', `${fitting}, replicas: -1`),
      'spec.replicas: Invalid value: -1: must be greater than or equal to 0',
    ],
    [
      workload('Deployment', `${fitting}, strategy: {rollingUpdate: {maxSurge: 0, maxUnavailable: 0}}`),
      'may not be 0 when `maxSurge` is 0',
    ],
    [
      workload('Deployment', `${fitting}, strategy: {rollingUpdate: {maxSurge: many}}`),
      'a valid percent string',
    ],
    [
      workload('Deployment', `${fitting}, strategy: {type: Recreate, rollingUpdate: {maxSurge: 1}}`),
      "may not be specified when strategy `type` is 'Recreate'",
    ],
    [workload('Deployment', `${fitting}, minReadySeconds: 600`), 'must be greater than minReadySeconds'],
    [
      workload(
        'ReplicaSet',
        'selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: b}}, spec: {restartPolicy: Never, containers: [{name: c, image: x}]}}',
      ),
      'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
    ],
    [
      workload('DaemonSet', `selector: {matchExpressions: [{key: a, operator: Odd}]}, template: ${template}`),
      'not a valid selector operator',
    ],
    [
      job(`template: ${template}`),
      'spec.template.spec.restartPolicy: Unsupported value: "Always": supported values: "OnFailure", "Never"',
    ],
    [
      job('parallelism: -1, template: {spec: {restartPolicy: Never, containers: [{name: c, image: x}]}}'),
      'spec.parallelism: Invalid value: -1',
    ],
    [cron('* * * *'), 'spec.schedule: Invalid value'],
    [cron('60 * * * *'), 'spec.schedule: Invalid value'],
    [cron('*/0 * * * *'), 'spec.schedule: Invalid value'],
    [service(''), 'spec.ports: Required value'],
    [
      service('ports: [{port: 0, targetPort: 5}]'),
      'spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive',
    ],
    [service('ports: [{port: 1}, {port: 2, name: b}]'), 'spec.ports[0].name: Required value'],
    [service('ports: [{port: 1, name: a}, {port: 1, name: b}]'), 'spec.ports[1]: Duplicate value'],
    [
      service('ports: [{port: 1, nodePort: 30000}]'),
      "spec.ports[0].nodePort: Forbidden: may not be used when `type` is 'ClusterIP'",
    ],
    [service('ports: [{port: 1, targetPort: Not_a_name}]'), 'targetPort: Invalid value: "Not_a_name"'],
    [service('type: Odd, ports: [{port: 1}]'), 'spec.type: Unsupported value: "Odd"'],
    [
      service('type: NodePort, clusterIP: None, ports: [{port: 1}]'),
      "may not be set to 'None' for NodePort services",
    ],
    [service('clusterIP: x, ports: [{port: 1}]'), "must be empty, 'None', or a valid IP address"],
    [service('externalIPs: [127.0.0.1], ports: [{port: 1}]'), 'may not be in the loopback range'],
    [
      service('externalIPs: [x], ports: [{port: 1}]'),
      'spec.externalIPs[0]: Invalid value: "x": must be a valid IPv4 address',
    ],
    [service('type: ExternalName'), 'spec.externalName: Required value'],
    [
      service('type: LoadBalancer, loadBalancerSourceRanges: [10.0.0.0/99], ports: [{port: 1}]'),
      'must be a valid CIDR value',
    ],
    [
      '{apiVersion: v1, kind: Service, metadata: {name: 1s}, spec: {ports: [{port: 1}]}}',
      'metadata.name: Invalid value: "1s": a DNS-1035 label',
    ],
    [
      '{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a/b: x}}',
      'data[a/b]: Invalid value: "a/b": a valid config key',
    ],
    [
      `{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, data: {a: "${'x'.repeat(1024 * 1024 + 1)}"}}`,
      'data: Too long: may not be more than 1048576 bytes',
    ],
    [
      '{apiVersion: v1, kind: Secret, metadata: {name: c}, type: kubernetes.io/tls, data: {tls.crt: ""}}',
      'data[tls.key]: Required value',
    ],
    [
      '{apiVersion: v1, kind: Namespace, metadata: {name: a.b}}',
      'metadata.name: Invalid value: "a.b": a lowercase RFC 1123 label',
    ],
    [
      '{apiVersion: v1, kind: Namespace, metadata: {name: a}, spec: {network: "N 1"}}',
      'spec.network: Invalid value: "N 1"',
    ],
    [
      '{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c}, spec: {accessModes: [ReadWriteOnce]}}',
      'spec.resources[storage]: Required value',
    ],
    [
      '{apiVersion: v1, kind: PersistentVolume, metadata: {name: c}, spec: {accessModes: [ReadWriteOnce], capacity: {storage: 1}}}',
      'spec: Required value: must specify a volume type',
    ],
    [
      '{apiVersion: v1, kind: Node, metadata: {name: n}, spec: {taints: [{key: a, effect: Odd}]}}',
      'spec.taints[0].effect: Unsupported value',
    ],
    [
      '{apiVersion: v1, kind: Event, metadata: {name: e}, involvedObject: {namespace: other}}',
      'involvedObject.namespace: Invalid value: "other": does not match event.namespace',
    ],
    [
      '{apiVersion: v1, kind: LimitRange, metadata: {name: l}, spec: {limits: [{type: Pod, min: {cpu: 2}, max: {cpu: 1}}]}}',
      'min value is greater than max value',
    ],
    [
      '{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: s}, addressType: IPv4, endpoints: [{addresses: ["::1"]}]}',
      'must be a valid IPv4 address',
    ],
    [
      '{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: r}, rules: [{resources: [pods], verbs: [get]}]}',
      'must supply at least one api group',
    ],
    [
      '{apiVersion: rbac.authorization.k8s.io/v1, kind: ClusterRoleBinding, metadata: {name: r}, roleRef: {kind: Role, name: x}}',
      'roleRef.kind: Unsupported value: "Role"',
    ],
    [
      '{apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: {name: s}}',
      'provisioner: Required value',
    ],
    [
      '{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: s}, value: 2000000000}',
      'maximum allowed value',
    ],
    ['{apiVersion: node.k8s.io/v1, kind: RuntimeClass, metadata: {name: s}}', 'handler: Required value'],
    [
      '{apiVersion: coordination.k8s.io/v1, kind: Lease, metadata: {name: l}, spec: {leaseDurationSeconds: 0}}',
      'must be greater than 0',
    ],
    [
      '{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: l}}',
      'either `defaultBackend` or `rules` must be specified',
    ],
  ])('%#', (manifest, message) => {
    const found = errorsOfText(manifest);
    expect(found.join('\n')).toContain(message);
    expect(found).toEqual([expect.anything()]);
  });

  const deployment = object(workload('Deployment', fitting));
  const claim = object(
    '{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 2Gi}}}}',
  );

  test.each([
    [deployment, { ...deployment, spec: { ...(deployment['spec'] as object), replicas: 7 } }, ''],
    [
      deployment,
      object(
        workload(
          'Deployment',
          'selector: {matchLabels: {c: d}}, template: {metadata: {labels: {c: d}}, spec: {containers: [{name: c, image: x}]}}',
        ),
      ),
      'spec.selector: Invalid value: {"matchLabels":{"c":"d"}}: field is immutable',
    ],
    [
      object(service('clusterIP: 10.96.0.1, ports: [{port: 1}]')),
      object(service('clusterIP: 10.96.0.2, ports: [{port: 1}]')),
      'spec.clusterIPs[0]: Invalid value: "10.96.0.2": field is immutable',
    ],
    [
      object(service('clusterIP: 10.96.0.1, ports: [{port: 1}]')),
      object(service('ports: [{port: 1}]')),
      'primary clusterIP can not be unset',
    ],
    [
      object('{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, immutable: true, data: {a: b}}'),
      object('{apiVersion: v1, kind: ConfigMap, metadata: {name: c}, immutable: true, data: {a: c}}'),
      'data: Forbidden: field is immutable when `immutable` is set',
    ],
    [
      object('{apiVersion: v1, kind: Secret, metadata: {name: c}}'),
      object('{apiVersion: v1, kind: Secret, metadata: {name: c}, type: other}'),
      'type: Invalid value: "other": field is immutable',
    ],
    [
      object('{apiVersion: v1, kind: Namespace, metadata: {name: c}, spec: {network: a}}'),
      object('{apiVersion: v1, kind: Namespace, metadata: {name: c}, spec: {network: b}}'),
      'spec.network: Invalid value: "b": field is immutable',
    ],
    [
      claim,
      object(
        '{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}',
      ),
      'field can not be less than previous value',
    ],
    [claim, { ...claim, spec: { ...(claim['spec'] as object), volumeName: 'v' } }, ''],
    [
      claim,
      { ...claim, spec: { ...(claim['spec'] as object), volumeMode: 'Block' } },
      'spec: Forbidden: spec is immutable after creation',
    ],
    [
      object(workload('StatefulSet', `${fitting}, serviceName: a`)),
      object(workload('StatefulSet', `${fitting}, serviceName: b`)),
      "updates to statefulset spec for fields other than 'replicas'",
    ],
  ])('update %#', (old, updated, message) => {
    const found = errorsOf(updated, old);
    if (message === '') expect(found).toEqual([]);
    else expect(found.join('\n')).toContain(message);
  });
});

describe('metadata', () => {
  const configMap = (metadata: string): ApiObject =>
    object(`{apiVersion: v1, kind: ConfigMap, metadata: {${metadata}}}`);

  test.each([
    ['namespace: a', 'metadata.name: Required value: name or generateName is required'],
    ['name: A', 'metadata.name: Invalid value: "A": a lowercase RFC 1123 subdomain'],
    [`name: ${'a'.repeat(254)}`, 'must be no more than 253 characters'],
    ['generateName: "a_"', 'metadata.generateName: Invalid value: "a_"'],
    ['name: a, namespace: B', 'metadata.namespace: Invalid value: "B"'],
    ['name: a, labels: {"-a": b}', 'metadata.labels: Invalid value: "-a": name part must consist of'],
    ['name: a, labels: {a: "b c"}', 'metadata.labels: Invalid value: "b c": a valid label must be'],
    ['name: a, annotations: {"a b": c}', 'metadata.annotations: Invalid value: "a b"'],
    [`name: a, annotations: {a: "${'x'.repeat(270_000)}"}`, 'metadata.annotations: Too long'],
    ['name: a, finalizers: [odd]', 'name is neither a standard finalizer name nor is it fully qualified'],
    [
      'name: a, ownerReferences: [{apiVersion: v1, kind: Pod, name: p}]',
      'metadata.ownerReferences[0].uid: Invalid value: "": must not be empty',
    ],
    [
      'name: a, ownerReferences: [{apiVersion: v1, kind: Pod, name: p, uid: u, controller: true}, {apiVersion: v1, kind: Pod, name: q, uid: w, controller: true}]',
      'only one reference can have controller set to true',
    ],
  ])('%#', (metadata, message) => {
    const found = errorsOf(configMap(metadata));
    expect(found.join('\n')).toContain(message);
    expect(found).toHaveLength(1);
  });

  test('names in a cluster scope and in updates', () => {
    const network = object('{apiVersion: v1, kind: Node, metadata: {name: n, namespace: a}}');
    expect(errorsOf(network)).toEqual(['metadata.namespace: Forbidden: not allowed on this type']);
    expect(errorsOf(configMap('name: b'), configMap('name: a'))).toEqual([
      'metadata.name: Invalid value: "b": field is immutable',
    ]);
    const going = configMap('name: a, deletionTimestamp: "2026-01-01T00:00:00Z", finalizers: [x/a]');
    expect(errorsOf(configMap('name: a, finalizers: [x/a, x/b]'), going)[0]).toMatch(/no new finalizers/);
    expect(errorsOf(configMap('name: a'), going)).toEqual([]);
  });

  test('the answer is a Status with causes', () => {
    const kind = findKind('apps/v1', 'Deployment')!;
    const errors = validateObject(
      kind,
      object(workload('Deployment', `template: ${template}, replicas: -1`)),
    );
    const status = statusOf(invalid(kind, 'd', errors));
    expect(status).toMatchObject({
      code: 422,
      reason: 'Invalid',
      details: { name: 'd', group: 'apps', kind: 'Deployment' },
    });
    expect(status.message).toBe(
      'Deployment.apps "d" is invalid: [spec.selector: Required value, spec.replicas: Invalid value: -1: must be greater than or equal to 0]',
    );
    expect(status.details?.causes).toEqual([
      { reason: 'FieldValueRequired', message: 'Required value', field: 'spec.selector' },
      {
        reason: 'FieldValueInvalid',
        message: 'Invalid value: -1: must be greater than or equal to 0',
        field: 'spec.replicas',
      },
    ]);
  });
});
