import {
  AuthConfig,
  ContainerConfig,
  MountPropagation,
  NamespaceMode,
  PodSandboxConfig,
  SecurityProfile_ProfileType,
  Signal,
} from '@hypernetes/proto/cri';
import { describe, expect, test } from 'vitest';
import {
  parseAuth,
  parseContainerConfig,
  parseResources,
  parseSandboxConfig,
  parseSignal,
} from './from-cri.ts';

type SandboxInput = Parameters<typeof PodSandboxConfig.fromPartial>[0];
type ContainerInput = Parameters<typeof ContainerConfig.fromPartial>[0];

const metadata = { name: 'p', namespace: 'ns', uid: 'u1', attempt: 2 };

function sandbox(config: SandboxInput): ReturnType<typeof parseSandboxConfig> {
  return parseSandboxConfig(PodSandboxConfig.fromPartial({ metadata, ...config }), '');
}

function container(config: ContainerInput): ReturnType<typeof parseContainerConfig> {
  return parseContainerConfig(
    ContainerConfig.fromPartial({
      metadata: { name: 'c', attempt: 1 },
      image: { image: 'nginx' },
      ...config,
    }),
  );
}

describe('sandbox', () => {
  test('defaults: network "default", no tenant, own process namespaces', () => {
    expect(sandbox({})).toMatchObject({
      metadata,
      networkUid: 'default',
      tenantId: '',
      sharedPidNamespace: false,
      resources: {},
      dns: { servers: [], searches: [], options: [] },
    });
  });

  test('network and tenant come from the annotations', () => {
    const annotations = { 'hypernetes.io/network-uid': 'n1', 'hypernetes.io/tenant-id': 't1' };
    expect(sandbox({ annotations })).toMatchObject({ networkUid: 'n1', tenantId: 't1', annotations });
  });

  test('the machine holds what the containers may use, and the overhead', () => {
    const linux = {
      resources: { cpuPeriod: 100_000n, cpuQuota: 50_000n, memoryLimitInBytes: 100n },
      overhead: { cpuPeriod: 100_000n, cpuQuota: 10_000n, memoryLimitInBytes: 28n },
    };
    expect(sandbox({ linux }).resources).toEqual({
      cpuPeriodUs: 100_000,
      cpuQuotaUs: 60_000,
      memoryLimitBytes: 128,
    });
  });

  test.each<[string, SandboxInput, RegExp]>([
    [
      'hostNetwork',
      { linux: { securityContext: { namespaceOptions: { network: NamespaceMode.NODE } } } },
      /pod ns\/p: hostNetwork is not possible/,
    ],
    ['hostPID', { linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.NODE } } } }, /hostPID/],
    ['hostIPC', { linux: { securityContext: { namespaceOptions: { ipc: NamespaceMode.NODE } } } }, /hostIPC/],
    ['hostPort', { portMappings: [{ hostPort: 80, containerPort: 80 }] }, /hostPort 80/],
    ['no metadata', { metadata: undefined }, /metadata/],
  ])('%s is refused', (_title, config, message) => {
    expect(() => sandbox(config)).toThrow(expect.objectContaining({ reason: 'Invalid' }));
    expect(() => sandbox(config)).toThrow(message);
  });

  test('a port without host port is fine', () => {
    expect(() => sandbox({ portMappings: [{ containerPort: 80 }] })).not.toThrow();
  });

  test('an unknown runtime handler is not found', () => {
    expect(() => parseSandboxConfig(PodSandboxConfig.fromPartial({ metadata }), 'gvisor')).toThrow(/gvisor/);
  });
});

describe('container', () => {
  test('everything said is passed on', () => {
    const parsed = container({
      command: ['a'],
      args: ['b'],
      workingDir: '/w',
      envs: [{ key: 'K', value: Buffer.from('ü') }],
      mounts: [
        {
          containerPath: '/c',
          hostPath: '/h',
          readonly: true,
          propagation: MountPropagation.PROPAGATION_HOST_TO_CONTAINER,
        },
      ],
      logPath: 'c/0.log',
      tty: true,
      stopSignal: Signal.SIGNAL_SIGQUIT,
      linux: {
        resources: { cpuShares: 2n, oomScoreAdj: -997n, unified: { 'pids.max': '50' } },
        securityContext: {
          runAsUser: { value: 0n },
          runAsGroup: { value: 5n },
          supplementalGroups: [7n],
          readonlyRootfs: true,
          noNewPrivs: true,
          capabilities: { addCapabilities: ['NET_ADMIN'], dropCapabilities: ['ALL'] },
          maskedPaths: ['/proc/kcore'],
          seccomp: { profileType: SecurityProfile_ProfileType.RuntimeDefault },
          namespaceOptions: { pid: NamespaceMode.CONTAINER },
        },
      },
    });
    expect(parsed).toMatchObject({
      metadata: { name: 'c', attempt: 1 },
      image: 'nginx',
      env: [{ key: 'K', value: 'ü' }],
      mounts: [{ containerPath: '/c', hostPath: '/h', readOnly: true, propagation: 'hostToContainer' }],
      stopSignal: 'SIGQUIT',
      resources: { cpuShares: 2, oomScoreAdj: -997, pidsLimit: 50 },
      security: {
        runAsUser: 0,
        runAsGroup: 5,
        supplementalGroups: [7],
        readOnlyRootfs: true,
        noNewPrivileges: true,
        addCapabilities: ['NET_ADMIN'],
        dropCapabilities: ['ALL'],
        maskedPaths: ['/proc/kcore'],
        seccomp: { type: 'RuntimeDefault' },
        privatePidNamespace: true,
      },
    });
  });

  test('without a security context: no profile, no user of its own choice', () => {
    const { security } = container({});
    expect(security.seccomp).toEqual({ type: 'Unconfined' });
    expect(security).not.toHaveProperty('runAsUser');
  });

  test('privileged takes the seccomp profile away', () => {
    const { security } = container({
      linux: {
        securityContext: {
          privileged: true,
          seccomp: { profileType: SecurityProfile_ProfileType.RuntimeDefault },
        },
      },
    });
    expect(security).toMatchObject({ privileged: true, seccomp: { type: 'Unconfined' } });
  });

  test.each<[string, ContainerInput, RegExp]>([
    ['no name', { metadata: undefined }, /metadata/],
    ['no image', { image: undefined }, /image is required/],
    ['devices', { devices: [{ hostPath: '/dev/kvm' }] }, /container c: devices of the host/],
    [
      'host namespaces',
      { linux: { securityContext: { namespaceOptions: { network: NamespaceMode.NODE } } } },
      /hostNetwork/,
    ],
    [
      'another container’s processes',
      { linux: { securityContext: { namespaceOptions: { pid: NamespaceMode.TARGET } } } },
      /targetContainerName/,
    ],
    [
      'image volumes',
      { mounts: [{ containerPath: '/a', hostPath: '/b', image: { image: 'x' } }] },
      /image volumes/,
    ],
    ['relative mount', { mounts: [{ containerPath: 'a', hostPath: '/b' }] }, /absolute/],
    [
      'mapped users',
      { mounts: [{ containerPath: '/a', hostPath: '/b', uidMappings: [{}] }] },
      /mapped users/,
    ],
    [
      'AppArmor profile',
      {
        linux: {
          securityContext: {
            apparmor: { profileType: SecurityProfile_ProfileType.Localhost, localhostRef: 'x' },
          },
        },
      },
      /AppArmor/,
    ],
  ])('%s is refused', (_title, config, message) => {
    expect(() => container(config)).toThrow(expect.objectContaining({ reason: 'Invalid' }));
    expect(() => container(config)).toThrow(message);
  });
});

test('zero resources are none', () => {
  expect(parseResources(undefined)).toEqual({});
  expect(container({ linux: { resources: {} } }).resources).toEqual({});
});

test.each([
  [Signal.SIGNAL_RUNTIME_DEFAULT, undefined],
  [Signal.SIGNAL_SIGTERM, 'SIGTERM'],
  [Signal.SIGNAL_SIGRTMINPLUS3, 'SIGRTMIN+3'],
  [Signal.SIGNAL_SIGRTMAXMINUS1, 'SIGRTMAX-1'],
  [Signal.SIGNAL_SIGRTMAX, 'SIGRTMAX'],
])('signal %i is %s', (signal, name) => {
  expect(parseSignal(signal)).toBe(name);
});

test.each<[string, Parameters<typeof AuthConfig.fromPartial>[0], object]>([
  ['user and password', { username: 'u', password: 'p:q' }, { username: 'u', password: 'p:q' }],
  ['docker’s form', { auth: Buffer.from('u:p:q').toString('base64') }, { username: 'u', password: 'p:q' }],
  ['tokens', { identityToken: 'i', registryToken: 'r' }, { identityToken: 'i', registryToken: 'r' }],
  ['nothing', {}, {}],
])('credentials: %s', (_title, given, expected) => {
  expect(parseAuth(AuthConfig.fromPartial(given))).toEqual(expected);
});

test('credentials that are not what they say', () => {
  expect(() => parseAuth(AuthConfig.fromPartial({ auth: 'bm9jb2xvbg==' }))).toThrow(
    /base64 of user:password/,
  );
  expect(parseAuth(undefined)).toBeUndefined();
});
