import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PlatformError } from '@hypernetes/foundation/errors';
import { waitFor } from '@hypernetes/foundation/lifecycle';
import { resources, type Event, type Lease, type Node } from '../client/index.ts';
import { startKubelet, type Kubelet } from './index.ts';
import type { Pod, PodSpec } from './kube-types.ts';
import { CriDouble } from './testing/cri-double.ts';
import { KubeDouble } from './testing/kube-double.ts';
import { makeTestCertificates } from './testing/certificates.ts';

const certificates = await makeTestCertificates();

let folder: string;
let cri: CriDouble;
let kube: KubeDouble;
let kubelet: Kubelet;

async function start(): Promise<Kubelet> {
  return await startKubelet({
    client: kube,
    nodeName: 'node1',
    nodeAddress: '127.0.0.1',
    criSocket: join(folder, 'cri.sock'),
    runDir: join(folder, 'run'),
    dataDir: join(folder, 'data'),
    podLogsDir: join(folder, 'logs'),
    servingCert: certificates.serving.certificatePem,
    servingKey: certificates.serving.keyPem,
    clientCa: certificates.authorityPem,
    allowedClientNames: ['kube-apiserver-kubelet-client'],
    port: 0,
  });
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hypernetes-kubelet-'));
  cri = new CriDouble();
  kube = new KubeDouble();
  await cri.listen(join(folder, 'cri.sock'));
  kubelet = await start();
});

afterEach(async () => {
  await kubelet[Symbol.asyncDispose]();
  await cri[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

async function createPod(spec: Partial<PodSpec>, name = 'web'): Promise<Pod> {
  return await kube.create<Pod>(resources.pods, {
    metadata: { name, namespace: 'default' } as Pod['metadata'],
    spec: {
      nodeName: 'node1',
      containers: [{ name: 'nginx', image: 'nginx' }],
      ...spec,
    },
  });
}

async function getPod(name = 'web'): Promise<Pod> {
  return await kube.get<Pod>(resources.pods, { namespace: 'default', name });
}

async function untilPod(what: string, test: (pod: Pod) => boolean, name = 'web'): Promise<Pod> {
  let last: Pod | undefined;
  return await waitFor(
    what,
    { timeoutMs: 8_000, intervalMs: 10 },
    async () => {
      last = await getPod(name);
      return test(last) ? last : undefined;
    },
    () => last?.status,
  );
}

async function untilEvent(reason: string, text: string): Promise<Event> {
  return await waitFor(`event ${reason}`, { timeoutMs: 5_000, intervalMs: 10 }, async () => {
    const { items } = await kube.list<Event>(resources.events);
    return items.find((event) => event.reason === reason && event.message?.includes(text) === true);
  });
}

/** How often events with the reason were recorded, equal ones counted up. */
async function timesSaid(reason: string): Promise<number> {
  const { items } = await kube.list<Event>(resources.events);
  return items.filter((event) => event.reason === reason).reduce((sum, { count = 1 }) => sum + count, 0);
}

function isReady(pod: Pod): boolean {
  return pod.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') === true;
}

describe('node', () => {
  it('registers, becomes ready and renews its lease', async () => {
    const node = await waitFor('node ready', { timeoutMs: 5_000, intervalMs: 10 }, async () => {
      const found = await kube.get<Node>(resources.nodes, { name: 'node1' });
      return found.status?.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ===
        true
        ? found
        : undefined;
    });
    expect(node.status?.nodeInfo?.containerRuntimeVersion).toBe('hyperd://double');
    expect(node.status?.daemonEndpoints?.kubeletEndpoint?.Port).toBe(kubelet.port);
    expect(node.status?.addresses).toContainEqual({ type: 'InternalIP', address: '127.0.0.1' });
    const lease = await kube.get<Lease>(resources.leases, { namespace: 'kube-node-lease', name: 'node1' });
    expect(lease.spec?.holderIdentity).toBe('node1');
  });

  it('is not ready while the runtime is down, and says so', async () => {
    await cri.hangUp();
    const condition = await waitFor('node not ready', { timeoutMs: 8_000, intervalMs: 20 }, async () => {
      const node = await kube.get<Node>(resources.nodes, { name: 'node1' });
      return node.status?.conditions?.find(({ type, status }) => type === 'Ready' && status === 'False');
    });
    expect(condition.message).toContain('container runtime is down');
  });
});

describe('a pod', () => {
  it('runs: sandbox, image, container, status, events, annotations', async () => {
    const { metadata } = await createPod({
      containers: [{ name: 'nginx', image: 'nginx', env: [{ name: 'A', value: 'b' }], args: ['--$(A)'] }],
    });
    const pod = await untilPod('ready', isReady);
    expect(pod.status?.phase).toBe('Running');
    expect(pod.status?.podIP).toBe('10.244.0.9');
    expect(pod.status?.hostIP).toBe('127.0.0.1');
    expect(pod.status?.qosClass).toBe('BestEffort');
    expect(pod.status?.containerStatuses?.[0]).toMatchObject({
      name: 'nginx',
      ready: true,
      started: true,
      restartCount: 0,
      image: 'nginx',
      imageID: 'nginx@sha256:0',
      containerID: `hyperd://${cri.find('nginx')?.id ?? ''}`,
    });
    const config = cri.find('nginx')?.config;
    expect(config?.args).toEqual(['--b']);
    expect(config?.image?.image).toBe('sha256:nginx');
    expect(config?.labels['io.kubernetes.pod.uid']).toBe(metadata.uid);
    const hosts = config?.mounts.find(({ containerPath }) => containerPath === '/etc/hosts');
    expect(await readFile(hosts?.hostPath ?? '', 'utf8')).toContain('10.244.0.9\tweb\n');
    for (const reason of ['Pulling', 'Pulled', 'Created', 'Started']) await untilEvent(reason, 'nginx');
    const annotated = await untilPod('annotations', (each) => each.metadata.annotations !== undefined);
    expect(annotated.metadata.annotations).toEqual({
      'hypernetes.io/isolation': 'tcg',
      'hypernetes.io/start-trace': '{"clone":80}',
    });
  });

  it('restarts a dead container alone, then backs off and says so', async () => {
    await createPod({
      containers: [
        { name: 'nginx', image: 'nginx' },
        { name: 'helper', image: 'busybox' },
      ],
    });
    await untilPod('ready', isReady);
    const helper = cri.find('helper')?.id;
    cri.exit('nginx', 3);
    await untilPod(
      'restarted',
      (pod) => isReady(pod) && pod.status?.containerStatuses?.[0]?.restartCount === 1,
    );
    expect(cri.find('helper')?.id).toBe(helper);
    expect(cri.calls.filter((call) => call.startsWith('runPodSandbox'))).toHaveLength(1);
    cri.exit('nginx', 3);
    const pod = await untilPod(
      'back-off',
      ({ status }) => status?.containerStatuses?.[0]?.state?.waiting?.reason === 'CrashLoopBackOff',
    );
    const status = pod.status?.containerStatuses?.[0];
    expect(status?.state?.waiting?.message).toBe(
      `back-off 10s restarting failed container=nginx pod=web_default(${pod.metadata.uid})`,
    );
    expect(status?.lastState?.terminated?.exitCode).toBe(3);
    await untilEvent('BackOff', 'Back-off restarting failed container nginx in pod web_default');
  });

  it('survives the end of the kubelet: the next one touches nothing', async () => {
    await createPod({
      containers: [
        { name: 'nginx', image: 'nginx', readinessProbe: { exec: { command: ['ok'] }, periodSeconds: 1 } },
      ],
    });
    const before = await untilPod('ready', isReady);
    const calls = [...cri.calls];
    await kubelet[Symbol.asyncDispose]();
    kubelet = await start();
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(cri.calls).toEqual(calls);
    const after = await getPod();
    expect(after.status).toEqual(before.status);
  });

  it('is made anew when its machine dies', async () => {
    const { metadata } = await createPod({});
    await untilPod('ready', isReady);
    cri.crashSandbox(metadata.uid);
    await untilPod(
      'restarted',
      (pod) => isReady(pod) && pod.status?.containerStatuses?.[0]?.restartCount === 1,
    );
    expect(cri.calls.filter((call) => call.startsWith('runPodSandbox'))).toEqual([
      'runPodSandbox web 0',
      'runPodSandbox web 1',
    ]);
    await untilEvent('SandboxChanged', 'Pod sandbox changed, it will be killed and re-created.');
  });

  it('is deleted gracefully and leaves nothing', async () => {
    cri.stopMs = 100;
    const { metadata } = await createPod({ volumes: [{ name: 'v', emptyDir: {} }] });
    await untilPod('ready', isReady);
    await kube.delete(resources.pods, { namespace: 'default', name: 'web' }, { gracePeriodSeconds: 5 });
    await waitFor('pod gone', { timeoutMs: 5_000, intervalMs: 10 }, async () => {
      const { items } = await kube.list(resources.pods);
      return items.length === 0;
    });
    expect(cri.calls).toContain('stopContainer nginx 5');
    expect(cri.sandboxes.size).toBe(0);
    await expect(stat(join(folder, 'data', 'kubelet', 'pods', metadata.uid))).rejects.toThrow('ENOENT');
    await untilEvent('Killing', 'Stopping container nginx');
  });

  it('that the API no longer has is removed', async () => {
    await createPod({});
    await untilPod('ready', isReady);
    await kube.delete(resources.pods, { namespace: 'default', name: 'web' }, { gracePeriodSeconds: 0 });
    await waitFor('runtime clean', { timeoutMs: 5_000, intervalMs: 10 }, () => cri.sandboxes.size === 0);
  });

  it('runs to its end: init container, Never, Succeeded', async () => {
    await createPod({
      restartPolicy: 'Never',
      initContainers: [{ name: 'prepare', image: 'busybox' }],
    });
    await untilPod(
      'init runs',
      ({ status }) => status?.initContainerStatuses?.[0]?.state?.running !== undefined,
    );
    expect(cri.find('nginx')).toBeUndefined();
    cri.exit('prepare', 0);
    await untilPod('ready', isReady);
    cri.exit('nginx', 0);
    const pod = await untilPod('succeeded', ({ status }) => status?.phase === 'Succeeded');
    expect(pod.status?.containerStatuses?.[0]?.state?.terminated).toMatchObject({
      exitCode: 0,
      reason: 'Completed',
    });
    await waitFor('machine given back', { timeoutMs: 5_000, intervalMs: 10 }, () =>
      cri.calls.includes('stopPodSandbox web'),
    );
    expect((await getPod()).status?.podIP).toBe('10.244.0.9');
  });

  it('whose image is not there shows ErrImagePull, then ImagePullBackOff', async () => {
    await createPod({ containers: [{ name: 'nginx', image: 'nothing:1' }] });
    const reasonOf = ({ status }: Pod) => status?.containerStatuses?.[0]?.state?.waiting?.reason;
    await untilPod('ErrImagePull', (pod) => reasonOf(pod) === 'ErrImagePull');
    const pod = await untilPod('ImagePullBackOff', (each) => reasonOf(each) === 'ImagePullBackOff');
    expect(pod.status?.phase).toBe('Pending');
    await untilEvent('Failed', 'Failed to pull image "nothing:1": nothing:1: not found');
    await untilEvent('BackOff', 'Back-off pulling image "nothing:1"');
  });

  it.each([
    ['Nginx/UPPER', 'Always', 'InvalidImageName'],
    ['busybox', 'Never', 'ErrImageNeverPull'],
  ])('with image %s and policy %s shows %s', async (image, imagePullPolicy, reason) => {
    await createPod({ containers: [{ name: 'nginx', image, imagePullPolicy }] });
    await untilPod(reason, ({ status }) => status?.containerStatuses?.[0]?.state?.waiting?.reason === reason);
  });

  it('waits for its ConfigMap and follows it', async () => {
    await createPod({
      containers: [{ name: 'nginx', image: 'nginx', volumeMounts: [{ name: 'c', mountPath: '/etc/c' }] }],
      volumes: [{ name: 'c', configMap: { name: 'settings' } }],
    });
    await untilEvent(
      'FailedMount',
      'MountVolume.SetUp failed for volume "c" : configmap "settings" not found',
    );
    expect(cri.sandboxes.size).toBe(0);
    const key = { name: 'settings', namespace: 'default' };
    await kube.create(resources.configMaps, { metadata: key, data: { color: 'red' } } as never);
    await untilPod('ready', isReady);
    const mount = cri.find('nginx')?.config.mounts.find(({ containerPath }) => containerPath === '/etc/c');
    const file = join(mount?.hostPath ?? '', 'color');
    expect(mount?.readonly).toBe(true);
    expect(await readFile(file, 'utf8')).toBe('red');
    await kube.patch(resources.configMaps, key, 'merge', { data: { color: 'blue' } });
    await waitFor('refresh', { timeoutMs: 5_000, intervalMs: 10 }, async () => {
      return (await readFile(file, 'utf8')) === 'blue';
    });
  });

  it('with a missing Secret in its environment shows CreateContainerConfigError', async () => {
    await createPod({
      containers: [
        {
          name: 'nginx',
          image: 'nginx',
          env: [{ name: 'P', valueFrom: { secretKeyRef: { name: 'nope', key: 'p' } } }],
        },
      ],
    });
    const pod = await untilPod(
      'config error',
      ({ status }) => status?.containerStatuses?.[0]?.state?.waiting?.reason === 'CreateContainerConfigError',
    );
    expect(pod.status?.containerStatuses?.[0]?.state?.waiting?.message).toBe('secret "nope" not found');
    await new Promise((resolve) => setTimeout(resolve, 1_600)); // the back-off is at two seconds now
    const data = { p: Buffer.from('x').toString('base64') };
    await kube.create(resources.secrets, { metadata: { name: 'nope', namespace: 'default' }, data } as never);
    const created = Date.now();
    await untilPod('ready', isReady);
    expect(Date.now() - created).toBeLessThan(1_000);
  });

  it('registers its cinder volume for the runtime, and waits for one that cannot be attached', async () => {
    const volumeID = '651b2a7b-683e-47e1-bdd6-e3c62e8f91c0';
    cri.failCreate = new PlatformError('NotFound', `attach volume ${volumeID}: there is no such volume`);
    await createPod({
      containers: [{ name: 'nginx', image: 'nginx', volumeMounts: [{ name: 'd', mountPath: '/data' }] }],
      volumes: [{ name: 'd', cinder: { volumeID, fsType: 'ext4' } }],
    });
    await untilEvent('FailedAttachVolume', `attach volume ${volumeID}: there is no such volume`);
    const waiting = (await getPod()).status?.containerStatuses?.[0]?.state?.waiting?.reason;
    expect(waiting).toBe('ContainerCreating');
    cri.failCreate = undefined;
    await untilPod('ready', isReady);
    const mount = cri.find('nginx')?.config.mounts.find(({ containerPath }) => containerPath === '/data');
    expect(mount?.hostPath).toMatch(/\/volumes\/kubernetes\.io~cinder\/d$/);
  });

  it.each(['Always', 'IfNotPresent'])(
    'whose volume is in use tries ever less often, with policy %s asking for its image once',
    async (imagePullPolicy) => {
      const volumeID = '651b2a7b-683e-47e1-bdd6-e3c62e8f91c0';
      const inUse = `attach volume ${volumeID}: in use by pod other`;
      cri.failCreate = new PlatformError('Precondition', inUse);
      await createPod({
        containers: [
          {
            name: 'nginx',
            image: 'nginx',
            imagePullPolicy,
            volumeMounts: [{ name: 'd', mountPath: '/data' }],
          },
        ],
        volumes: [{ name: 'd', cinder: { volumeID, fsType: 'ext4' } }],
      });
      await untilEvent('FailedAttachVolume', inUse);
      await new Promise((resolve) => setTimeout(resolve, 2_500));
      // At 0, 0.5, 1.5 and 3.5 seconds.
      expect(cri.failedCreates).toBe(3);
      expect(cri.calls.filter((call) => call.startsWith('pullImage'))).toEqual(['pullImage nginx']);
      cri.failCreate = undefined;
      await untilPod('ready', isReady);
      await waitFor('all attempts as events', { timeoutMs: 2_000, intervalMs: 10 }, async () => {
        return (await timesSaid('FailedAttachVolume')) === cri.failedCreates;
      });
      expect([await timesSaid('Pulling'), await timesSaid('Pulled')]).toEqual([1, 1]);
    },
  );

  it('whose image is there says so once, however often its volume fails', async () => {
    const volumeID = '651b2a7b-683e-47e1-bdd6-e3c62e8f91c0';
    await createPod({}, 'first');
    await untilPod('ready', isReady, 'first');
    const before = cri.calls.filter((call) => call.startsWith('pullImage')).length;
    cri.failCreate = new PlatformError('NotFound', `attach volume ${volumeID}: there is no such volume`);
    await createPod({
      containers: [
        {
          name: 'nginx',
          image: 'nginx',
          imagePullPolicy: 'IfNotPresent',
          volumeMounts: [{ name: 'd', mountPath: '/data' }],
        },
      ],
      volumes: [{ name: 'd', cinder: { volumeID } }],
    });
    await waitFor('two attempts', { timeoutMs: 5_000, intervalMs: 10 }, () => cri.failedCreates === 2);
    cri.failCreate = undefined;
    await untilPod('ready', isReady);
    expect(cri.calls.filter((call) => call.startsWith('pullImage'))).toHaveLength(before);
    const { items } = await kube.list<Event>(resources.events);
    const present = items.filter(({ message }) => message?.includes('already present on machine') === true);
    expect(present.map(({ count }) => count)).toEqual([1]);
  });

  it('that is deleted while it waits for its volume goes at once', async () => {
    const volumeID = '651b2a7b-683e-47e1-bdd6-e3c62e8f91c0';
    cri.failCreate = new PlatformError('NotFound', `attach volume ${volumeID}: there is no such volume`);
    await createPod({
      containers: [{ name: 'nginx', image: 'nginx', volumeMounts: [{ name: 'd', mountPath: '/data' }] }],
      volumes: [{ name: 'd', cinder: { volumeID } }],
    });
    await untilEvent('FailedAttachVolume', volumeID);
    await kube.delete(resources.pods, { namespace: 'default', name: 'web' }, { gracePeriodSeconds: 5 });
    await waitFor('pod gone', { timeoutMs: 2_000, intervalMs: 10 }, async () => {
      return (await kube.list(resources.pods)).items.length === 0 && cri.sandboxes.size === 0;
    });
  });

  it('too big for the node fails at once', async () => {
    await createPod({
      containers: [{ name: 'nginx', image: 'nginx', resources: { requests: { cpu: '4000' } } }],
    });
    const pod = await untilPod('rejected', ({ status }) => status?.phase === 'Failed');
    expect(pod.status?.reason).toBe('OutOfcpu');
    expect(pod.status?.message).toContain("Node didn't have enough resource: cpu, requested: 4000000");
    expect(cri.sandboxes.size).toBe(0);
  });

  it('past its active deadline is failed', async () => {
    await createPod({ activeDeadlineSeconds: 3 });
    await untilPod('ready', isReady);
    const pod = await untilPod('failed', ({ status }) => status?.phase === 'Failed');
    expect(pod.status?.reason).toBe('DeadlineExceeded');
    await waitFor('machine given back', { timeoutMs: 5_000, intervalMs: 10 }, () =>
      cri.calls.includes('stopPodSandbox web'),
    );
  });
});

describe('probes', () => {
  it('readiness follows the command, without a restart', async () => {
    let healthy = false;
    cri.exec = () => ({ exitCode: healthy ? 0 : 1, output: healthy ? '' : 'cold' });
    await createPod({
      containers: [
        {
          name: 'nginx',
          image: 'nginx',
          readinessProbe: { exec: { command: ['check'] }, periodSeconds: 1, failureThreshold: 1 },
        },
      ],
    });
    await untilEvent('Unhealthy', 'Readiness probe failed: cold');
    expect(isReady(await untilPod('running', ({ status }) => status?.phase === 'Running'))).toBe(false);
    healthy = true;
    await untilPod('ready', isReady);
    healthy = false;
    await untilPod('unready', (pod) => !isReady(pod));
    expect(cri.find('nginx')?.config.metadata?.attempt).toBe(0);
  });

  it('liveness failing restarts the container', async () => {
    cri.exec = (container) => ({
      exitCode: container.config.metadata?.attempt === 0 ? 1 : 0,
      output: 'dead',
    });
    await createPod({
      terminationGracePeriodSeconds: 1,
      containers: [
        {
          name: 'nginx',
          image: 'nginx',
          livenessProbe: { exec: { command: ['check'] }, periodSeconds: 1, failureThreshold: 1 },
        },
      ],
    });
    await untilEvent('Killing', 'Container nginx failed liveness probe, will be restarted');
    await untilPod(
      'restarted',
      (pod) => pod.status?.containerStatuses?.[0]?.restartCount === 1 && isReady(pod),
    );
  });
});

describe('lifecycle hooks', () => {
  const withHooks = (lifecycle: PodSpec['containers'][number]['lifecycle']): Partial<PodSpec> => ({
    containers: [{ name: 'nginx', image: 'nginx', lifecycle: lifecycle ?? {} }],
  });
  const deletePod = async (gracePeriodSeconds: number): Promise<void> => {
    await kube.delete(resources.pods, { namespace: 'default', name: 'web' }, { gracePeriodSeconds });
  };
  const gone = async (): Promise<void> => {
    await waitFor('pod gone', { timeoutMs: 6_000, intervalMs: 10 }, async () => {
      return (await kube.list(resources.pods)).items.length === 0;
    });
  };
  const stops = (): string[] => cri.calls.filter((call) => call.startsWith('stopContainer'));

  it('postStart runs in the container; one that fails has it killed and said', async () => {
    let commands = 0;
    cri.exec = (_container, command) => {
      commands += 1;
      expect(command).toEqual(['register']);
      return { exitCode: commands === 1 ? 3 : 0, output: 'no luck' };
    };
    await createPod({
      terminationGracePeriodSeconds: 1,
      ...withHooks({ postStart: { exec: { command: ['register'] } } }),
    });
    await untilEvent('FailedPostStartHook', "command 'register' exited with 3: no luck");
    await untilPod(
      'restarted',
      (pod) => isReady(pod) && pod.status?.containerStatuses?.[0]?.restartCount === 1,
    );
    expect([commands, stops().length]).toEqual([2, 1]);
  });

  it('preStop by command comes before the signal, which gets what is left of the grace period', async () => {
    const stopsWhileHookRan: number[] = [];
    cri.exec = async () => {
      await new Promise((resolve) => setTimeout(resolve, 1_200));
      stopsWhileHookRan.push(stops().length);
      return { exitCode: 0, output: '' };
    };
    await createPod(withHooks({ preStop: { exec: { command: ['drain'] } } }));
    await untilPod('ready', isReady);
    await deletePod(10);
    await gone();
    expect(stopsWhileHookRan).toEqual([0]);
    expect(Number(/^stopContainer nginx (\d+)$/.exec(stops()[0] ?? '')?.[1])).toBeLessThan(10);
  });

  it('preStop that fails is said, and the container stops all the same', async () => {
    cri.exec = () => ({ exitCode: 7, output: 'stuck' });
    await createPod(withHooks({ preStop: { exec: { command: ['drain'] } } }));
    await untilPod('ready', isReady);
    await deletePod(5);
    await gone();
    await untilEvent('FailedPreStopHook', "command 'drain' exited with 7: stuck");
    expect(stops()).toHaveLength(1);
  });

  it('preStop sleep waits, but never past the grace period; a forced deletion skips it', async () => {
    await createPod(withHooks({ preStop: { sleep: { seconds: 1 } } }));
    await untilPod('ready', isReady);
    const began = Date.now();
    await deletePod(10);
    await gone();
    expect(Date.now() - began).toBeGreaterThanOrEqual(1_000);
    await createPod(withHooks({ preStop: { sleep: { seconds: 60 } } }));
    await untilPod('ready', isReady);
    await deletePod(1);
    await gone();
    await createPod(withHooks({ preStop: { sleep: { seconds: 60 } } }));
    await untilPod('ready', isReady);
    await deletePod(0);
    await waitFor('runtime clean', { timeoutMs: 1_000, intervalMs: 10 }, () => cri.sandboxes.size === 0);
  });
});

describe('imagePullSecrets', () => {
  it('become the credentials of the pull, those of another registry do not', async () => {
    const image = 'registry.example.org/team/app:v1';
    cri.registry.add(image);
    const auths = {
      'registry.example.org/team': { auth: Buffer.from('ada:lovelace').toString('base64') },
      'registry.example.net': { username: 'eve', password: 'x' },
    };
    const data = { '.dockerconfigjson': Buffer.from(JSON.stringify({ auths })).toString('base64') };
    const type = 'kubernetes.io/dockerconfigjson';
    await kube.create(resources.secrets, {
      metadata: { name: 'pull', namespace: 'default' },
      type,
      data,
    } as never);
    await createPod({
      imagePullSecrets: [{ name: 'missing' }, { name: 'pull' }],
      containers: [
        { name: 'app', image },
        { name: 'open', image: 'nginx' },
      ],
    });
    await untilPod('ready', isReady);
    const pulls = cri.calls.filter((call) => call.startsWith('pullImage'));
    const authOf = (name: string) => cri.pullAuth[pulls.indexOf(`pullImage ${name}`)];
    expect(authOf(image)).toMatchObject({ username: 'ada', password: 'lovelace' });
    expect(authOf('nginx')?.username ?? '').toBe('');
  });
});
