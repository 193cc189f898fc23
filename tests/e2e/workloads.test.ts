import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { waitFor } from '@hypernetes/foundation/lifecycle';
import { createNamespace, sharedInstallation, uniqueName } from './_cluster.ts';

interface ContainerStatus {
  readonly name: string;
  readonly restartCount: number;
  readonly ready: boolean;
  readonly containerID?: string;
  readonly state: Record<
    string,
    { readonly exitCode?: number; readonly reason?: string; readonly message?: string } | undefined
  >;
  readonly lastState: Record<string, { readonly exitCode?: number; readonly reason?: string } | undefined>;
}

interface PodObject {
  readonly metadata: { readonly uid: string; readonly annotations?: Record<string, string> };
  readonly status: {
    readonly phase: string;
    readonly podIP?: string;
    readonly qosClass?: string;
    readonly containerStatuses?: readonly ContainerStatus[];
    readonly initContainerStatuses?: readonly ContainerStatus[];
  };
}

describe('workloads', () => {
  const installation = sharedInstallation();
  const kubectl = installation.kubectl();
  const namespace = uniqueName('workloads');
  const pod = async (name: string): Promise<PodObject> =>
    await kubectl.json<PodObject>(['get', 'pod', '-n', namespace, name]);
  const statusOf = (object: PodObject, container: string): ContainerStatus =>
    object.status.containerStatuses!.find((status) => status.name === container)!;
  const apply = async (manifest: string): Promise<string> =>
    await kubectl.run(['apply', '-n', namespace, '-f', '-'], { input: manifest });
  const sh = async (name: string, script: string, container?: string): Promise<string> => {
    const got = await kubectl.exec(namespace, name, ['sh', '-c', script], container);
    if (got.exitCode !== 0) throw new Error(`${script}: exit code ${got.exitCode}: ${got.stderr}`);
    return got.stdout;
  };

  beforeAll(async () => {
    await createNamespace(kubectl, namespace);
  });

  afterAll(async () => {
    await kubectl.try(['delete', 'namespace', namespace, '--timeout=120s']);
  });

  describe('a pod with init container, two containers, ConfigMap, Secret and emptyDir', () => {
    beforeAll(async () => {
      await apply(`
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {COLOR: green, app.conf: "listen = 80\\n"}
---
apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData: {PASSWORD: opensesame, tls.key: not-a-key}
---
apiVersion: v1
kind: Pod
metadata:
  name: full
  labels: {tier: web}
spec:
  terminationGracePeriodSeconds: 2
  initContainers:
  - name: prepare
    image: busybox
    command: ["sh", "-c", "echo prepared > /data/init && echo init ran"]
    volumeMounts: [{name: work, mountPath: /data}]
  containers:
  - name: one
    image: busybox
    command: ["sh", "-c", "while true; do date >> /data/ticks; sleep 1; done"]
    env:
    - {name: PLAIN, value: "plain-$(COLOR)"}
    - {name: COLOR, valueFrom: {configMapKeyRef: {name: settings, key: COLOR}}}
    - {name: PASSWORD, valueFrom: {secretKeyRef: {name: keys, key: PASSWORD}}}
    - {name: POD_NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: POD_IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}}
    - {name: MEMORY_LIMIT, valueFrom: {resourceFieldRef: {resource: limits.memory}}}
    envFrom: [{configMapRef: {name: settings}, prefix: CFG_}]
    resources: {requests: {cpu: 50m, memory: 32Mi}, limits: {cpu: 500m, memory: 64Mi}}
    volumeMounts:
    - {name: work, mountPath: /data}
    - {name: settings, mountPath: /etc/settings}
    - {name: keys, mountPath: /etc/keys, readOnly: true}
  - name: two
    image: busybox
    command: ["sh", "-c", "trap 'exit 3' TERM; while true; do sleep 1; done"]
    volumeMounts: [{name: work, mountPath: /shared}]
  volumes:
  - {name: work, emptyDir: {}}
  - {name: settings, configMap: {name: settings, items: [{key: app.conf, path: conf/app.conf}]}}
  - {name: keys, secret: {secretName: keys, defaultMode: 0400}}
`);
      await kubectl.waitReady(namespace, 'full');
    });

    it('ran the init container first and shares the emptyDir', async () => {
      expect((await pod('full')).status.initContainerStatuses![0]!.state['terminated']).toMatchObject({
        exitCode: 0,
        reason: 'Completed',
      });
      expect(await kubectl.run(['logs', '-n', namespace, 'full', '-c', 'prepare'])).toBe('init ran\n');
      expect(await sh('full', 'cat /shared/init', 'two')).toBe('prepared\n');
      expect(Number(await sh('full', 'wc -l < /shared/ticks', 'two'))).toBeGreaterThan(0);
    });

    it('sees its environment', async () => {
      const env = await sh('full', 'env', 'one');
      expect(env).toContain('COLOR=green');
      expect(env).toContain('PASSWORD=opensesame');
      expect(env).toContain('POD_NAME=full');
      expect(env).toContain('CFG_COLOR=green');
      expect(env).toContain(`MEMORY_LIMIT=${64 * 1024 * 1024}`);
      expect(env).toContain(`POD_IP=${(await pod('full')).status.podIP!}`);
      expect(env).toContain('PLAIN=plain-$(COLOR)'); // COLOR is defined after PLAIN: left as it is
      expect(env).toContain('KUBERNETES_SERVICE_HOST=10.96.0.1');
    });

    it('sees ConfigMap and Secret as files with their modes, and updates of them', async () => {
      expect(await sh('full', 'cat /etc/settings/conf/app.conf', 'one')).toBe('listen = 80\n');
      expect(await sh('full', 'cat /etc/keys/tls.key && stat -L -c %a /etc/keys/tls.key', 'one')).toBe(
        'not-a-key400\n',
      );
      await kubectl.run([
        'patch',
        'configmap',
        '-n',
        namespace,
        'settings',
        '--type=merge',
        '-p',
        '{"data":{"app.conf":"listen = 81\\n"}}',
      ]);
      await waitFor('the new file in the pod', { timeoutMs: 90_000, intervalMs: 1000 }, async () => {
        return (await sh('full', 'cat /etc/settings/conf/app.conf', 'one')) === 'listen = 81\n';
      });
    });

    it('has limits of its own and shows only the pod in /proc', async () => {
      expect((await sh('full', 'cat /sys/fs/cgroup/memory.max', 'one')).trim()).toBe(
        String(64 * 1024 * 1024),
      );
      expect((await pod('full')).status.qosClass).toBe('Burstable');
      const processes = await sh('full', 'ps -o args', 'one');
      expect(processes).not.toMatch(/qemu|hyperstart|node /);
      expect(processes).toContain('sleep 1');
      expect(await sh('full', 'top -b -n 1 | head -5', 'one')).toMatch(/Mem: /);
    });

    it('a container that dies restarts alone: the machine, its address and the other container stay', async () => {
      const before = await pod('full');
      await sh(
        'full',
        'echo still > /dev/shm/mark; cat /proc/sys/kernel/random/boot_id > /shared/boot',
        'two',
      );
      await sh('full', 'kill -TERM 1', 'two');
      const after = await waitFor(
        'the restart of "two"',
        { timeoutMs: 60_000, intervalMs: 500 },
        async () => {
          const now = await pod('full');
          return statusOf(now, 'two').restartCount === 1 && statusOf(now, 'two').ready ? now : undefined;
        },
      );
      expect(statusOf(after, 'two').lastState['terminated']).toMatchObject({ exitCode: 3, reason: 'Error' });
      expect(statusOf(after, 'one').containerID).toBe(statusOf(before, 'one').containerID);
      expect(statusOf(after, 'one').restartCount).toBe(0);
      expect(after.status.podIP).toBe(before.status.podIP);
      expect(await sh('full', 'cat /shared/boot', 'two')).toBe(
        await sh('full', 'cat /proc/sys/kernel/random/boot_id', 'two'),
      );
    });

    it('shows the isolation it really got and a trace of its start', async () => {
      const annotations = (await pod('full')).metadata.annotations!;
      expect(annotations['hypernetes.io/isolation']).toMatch(/^(kvm|tcg)$/);
      const trace = JSON.parse(annotations['hypernetes.io/start-trace']!) as Record<string, number>;
      expect(Object.keys(trace).length).toBeGreaterThan(2);
    });
  });

  describe('restart policy and exit codes', () => {
    const finished = (name: string, policy: string, command: string): string => `
apiVersion: v1
kind: Pod
metadata: {name: ${name}}
spec:
  restartPolicy: ${policy}
  containers:
  - {name: main, image: busybox, command: ["sh", "-c", "${command}"]}
`;

    it('Never: succeeds with 0, fails with the exit code', async () => {
      await apply(finished('good', 'Never', 'echo done'));
      await apply(finished('bad', 'Never', 'echo last words > /dev/termination-log; exit 42'));
      await waitFor('both to finish', { timeoutMs: 60_000, intervalMs: 500 }, async () => {
        return (
          (await pod('good')).status.phase === 'Succeeded' && (await pod('bad')).status.phase === 'Failed'
        );
      });
      expect(statusOf(await pod('good'), 'main').state['terminated']).toMatchObject({
        exitCode: 0,
        reason: 'Completed',
      });
      expect(statusOf(await pod('bad'), 'main').state['terminated']).toMatchObject({
        exitCode: 42,
        reason: 'Error',
        message: 'last words\n',
      });
      expect(await kubectl.run(['logs', '-n', namespace, 'good'])).toBe('done\n');
    });

    it('OnFailure: restarts until it succeeds', async () => {
      await apply(`
apiVersion: v1
kind: Pod
metadata: {name: retry}
spec:
  restartPolicy: OnFailure
  containers:
  - name: main
    image: busybox
    command: ["sh", "-c", "test -e /data/again && exit 0; touch /data/again; exit 7"]
    volumeMounts: [{name: work, mountPath: /data}]
  volumes: [{name: work, emptyDir: {}}]
`);
      await waitFor(
        'success at the second try',
        { timeoutMs: 90_000, intervalMs: 500 },
        async () => (await pod('retry')).status.phase === 'Succeeded',
      );
      expect(statusOf(await pod('retry'), 'main').restartCount).toBe(1);
    });

    it('a command that does not exist is a start error, CrashLoopBackOff follows', async () => {
      await apply(finished('typo', 'Always', 'exit 1').replace('"sh", "-c", "exit 1"', '"/no/such/program"'));
      await waitFor('the start error', { timeoutMs: 60_000, intervalMs: 500 }, async () => {
        const status = (await pod('typo')).status.containerStatuses?.[0];
        const reason = status?.state['waiting']?.reason ?? '';
        return ['CrashLoopBackOff', 'RunContainerError', 'CreateContainerError'].includes(reason);
      });
      expect(await kubectl.run(['describe', 'pod', '-n', namespace, 'typo'])).toMatch(/no such file/i);
    });

    it('too much memory ends with OOMKilled', async () => {
      await apply(`
apiVersion: v1
kind: Pod
metadata: {name: greedy}
spec:
  restartPolicy: Never
  containers:
  - name: main
    image: busybox
    command: ["sh", "-c", "tail /dev/zero"]
    resources: {limits: {memory: 32Mi}}
`);
      await waitFor(
        'the OOM kill',
        { timeoutMs: 90_000, intervalMs: 500 },
        async () => (await pod('greedy')).status.phase === 'Failed',
      );
      expect(statusOf(await pod('greedy'), 'main').state['terminated']).toMatchObject({
        exitCode: 137,
        reason: 'OOMKilled',
      });
    });
  });

  describe('probes', () => {
    it('readiness decides about endpoints, liveness restarts', async () => {
      await apply(`
apiVersion: v1
kind: Service
metadata: {name: probed}
spec: {selector: {app: probed}, ports: [{port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: probed, labels: {app: probed}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: busybox
    command: ["sh", "-c", "mkdir -p /www && echo ok > /www/health && touch /tmp/alive && exec httpd -f -p 8080 -h /www"]
    readinessProbe: {httpGet: {path: /health, port: 8080}, periodSeconds: 1}
    livenessProbe: {exec: {command: ["cat", "/tmp/alive"]}, periodSeconds: 1, failureThreshold: 2, initialDelaySeconds: 3}
`);
      await kubectl.waitReady(namespace, 'probed');
      const endpoints = async (): Promise<string> =>
        await kubectl.run([
          'get',
          'endpoints',
          '-n',
          namespace,
          'probed',
          '-o',
          'jsonpath={.subsets[*].addresses[*].ip}',
        ]);
      await waitFor('the endpoint', { timeoutMs: 20_000 }, async () => (await endpoints()) !== '');
      await sh('probed', 'mv /www/health /www/ill');
      await waitFor(
        'the endpoint to go',
        { timeoutMs: 30_000, intervalMs: 500 },
        async () => (await endpoints()) === '',
      );
      expect(await kubectl.run(['describe', 'pod', '-n', namespace, 'probed'])).toContain(
        'Readiness probe failed',
      );
      await sh('probed', 'mv /www/ill /www/health');
      await waitFor(
        'the endpoint again',
        { timeoutMs: 30_000, intervalMs: 500 },
        async () => (await endpoints()) !== '',
      );
      await sh('probed', 'rm /tmp/alive');
      await waitFor(
        'the restart',
        { timeoutMs: 60_000, intervalMs: 500 },
        async () => statusOf(await pod('probed'), 'main').restartCount === 1,
      );
    });
  });

  it('terminates gracefully: SIGTERM, then gone within the grace period', async () => {
    await apply(`
apiVersion: v1
kind: Pod
metadata: {name: polite}
spec:
  terminationGracePeriodSeconds: 20
  containers:
  - {name: main, image: busybox, command: ["sh", "-c", "trap 'echo goodbye; exit 0' TERM; while true; do sleep 0.2; done"]}
`);
    await kubectl.waitReady(namespace, 'polite');
    const logs = kubectl.spawn(['logs', '-f', '-n', namespace, 'polite']);
    let followed = '';
    logs.stdout!.on('data', (chunk: Buffer) => (followed += chunk.toString()));
    const begin = Date.now();
    await kubectl.run(['delete', 'pod', '-n', namespace, 'polite', '--timeout=60s']);
    expect(Date.now() - begin).toBeLessThan(15_000);
    await waitFor('the last line by logs -f', { timeoutMs: 10_000 }, () => followed.includes('goodbye'));
    logs.kill();
  });

  it('Deployment and ReplicaSet: roll out, scale, roll on, undo, delete', async () => {
    await apply(`
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: main, image: busybox, command: ["sleep", "100000"], env: [{name: V, value: "1"}]}]
`);
    await kubectl.run(['rollout', 'status', '-n', namespace, 'deployment/web', '--timeout=120s'], {
      timeoutMs: 150_000,
    });
    await kubectl.run(['scale', '-n', namespace, 'deployment/web', '--replicas=1']);
    await kubectl.run(['set', 'env', '-n', namespace, 'deployment/web', 'V=2']);
    await kubectl.run(['rollout', 'status', '-n', namespace, 'deployment/web', '--timeout=120s'], {
      timeoutMs: 150_000,
    });
    const podEnv = async (): Promise<string> =>
      await kubectl.run([
        'get',
        'pods',
        '-n',
        namespace,
        '-l',
        'app=web',
        '--field-selector=status.phase=Running',
        '-o',
        'jsonpath={.items[*].spec.containers[0].env[0].value}',
      ]);
    await waitFor(
      'only the new pod',
      { timeoutMs: 60_000, intervalMs: 500 },
      async () => (await podEnv()) === '2',
    );
    await kubectl.run(['rollout', 'undo', '-n', namespace, 'deployment/web']);
    await kubectl.run(['rollout', 'status', '-n', namespace, 'deployment/web', '--timeout=120s'], {
      timeoutMs: 150_000,
    });
    await waitFor(
      'the old template again',
      { timeoutMs: 60_000, intervalMs: 500 },
      async () => (await podEnv()) === '1',
    );
    expect(await kubectl.run(['get', 'deployment', '-n', namespace, 'web'])).toMatch(/web +1\/1 +1 +1/);
    await kubectl.run(['delete', 'deployment', '-n', namespace, 'web', '--timeout=60s']);
    await waitFor('its ReplicaSets and pods to go', { timeoutMs: 60_000, intervalMs: 500 }, async () => {
      return (
        (await kubectl.run(['get', 'replicasets,pods', '-n', namespace, '-l', 'app=web', '-o', 'name'])) ===
        ''
      );
    });
  });
});
