import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { waitFor } from '@hypernetes/foundation/lifecycle';
import { runText } from '@hypernetes/foundation/process';
import type { ContainerConfig, SandboxService } from './sandbox-service.ts';
import { SandboxFixture } from './testing/sandbox-fixture.ts';

let fixture: SandboxFixture;
let service: SandboxService;

beforeAll(async () => {
  fixture = await SandboxFixture.create();
  service = await fixture.open();
});

afterAll(async () => {
  await service[Symbol.asyncDispose]();
  await fixture.remove();
});

async function textOf(stream: Readable | null): Promise<string> {
  const chunks: Buffer[] = [];
  if (stream !== null) for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString('utf8');
}

async function execute(containerId: string, command: readonly string[], input?: string) {
  const session = await service.exec(containerId, { command, tty: false, stdin: input !== undefined });
  session.stdin?.end(input);
  const [stdout, stderr, exitCode] = await Promise.all([
    textOf(session.stdout),
    textOf(session.stderr),
    session.exit,
  ]);
  return { stdout, stderr, exitCode };
}

async function runContainer(sandboxId: string, config: ContainerConfig): Promise<string> {
  const id = await service.createContainer(sandboxId, config);
  await service.startContainer(id);
  return id;
}

async function untilExited(containerId: string) {
  return await waitFor('end of the container', { timeoutMs: 30_000, intervalMs: 20 }, () => {
    const status = service.getContainer(containerId);
    return status.state === 'exited' ? status : undefined;
  });
}

async function logLines(containerId: string): Promise<string[]> {
  const text = await readFile(service.getContainer(containerId).logPath, 'utf8').catch(() => '');
  return text.split('\n').filter((line) => line !== '');
}

describe('a pod in a virtual machine', () => {
  let sandboxId: string;
  let containerId: string;

  test('comes up with its address, and its container runs', async () => {
    sandboxId = await service.runSandbox(fixture.sandboxConfig('main'));
    const status = service.getSandbox(sandboxId);
    expect(status).toMatchObject({ state: 'ready', isolation: 'tcg' });
    expect(status.addresses[0]).toMatch(/^10\.9\.0\.\d+$/);
    expect(Object.keys(status.trace)).toEqual(
      expect.arrayContaining(['network', 'scratch', 'clone', 'agent', 'configure', 'total']),
    );
    containerId = await runContainer(
      sandboxId,
      fixture.containerConfig('one', ['sh', '-c', 'echo hello; echo oops >&2; exec sleep 100000'], {
        env: [{ key: 'GREETING', value: 'hi there' }],
      }),
    );
    expect(service.getContainer(containerId).state).toBe('running');
    await waitFor(
      'log',
      { timeoutMs: 5_000, intervalMs: 20 },
      async () => (await logLines(containerId)).length === 2,
    );
    const lines = await logLines(containerId);
    expect(lines.map((line) => line.replace(/^\S+ /, '')).sort()).toEqual([
      'stderr F oops',
      'stdout F hello',
    ]);
    expect(lines[0]).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z /);
  });

  test('executes commands: output, exit codes, input, environment', async () => {
    const answer = await execute(containerId, [
      'sh',
      '-c',
      'echo "$GREETING"; hostname; echo bad >&2; exit 7',
    ]);
    expect(answer).toEqual({ stdout: 'hi there\nmain\n', stderr: 'bad\n', exitCode: 7 });
    const big = 'x'.repeat(300_000);
    const copied = await execute(containerId, ['cat'], big);
    expect(copied.exitCode).toBe(0);
    expect(copied.stdout === big).toBe(true);
    await expect(execute(containerId, ['no-such-program'])).rejects.toMatchObject({
      details: { exitCode: 127 },
    });
    const kernel = await execute(containerId, ['uname', '-r']);
    expect(kernel.stdout.trim()).toBe(service.getSandbox(sandboxId).kernelRelease);
  });

  test('is reached over its network, in both directions', async () => {
    const [address] = service.getSandbox(sandboxId).addresses;
    await execute(containerId, ['ping', '-c', '1', '-W', '3', '10.9.0.1']).then(({ exitCode, stdout }) =>
      expect(exitCode, stdout).toBe(0),
    );
    await runText('ip', ['netns', 'exec', fixture.prefix, 'ping', '-c', '1', '-W', '3', address!]);
  });

  test('forwards connections to its loopback', async () => {
    const server = await service.exec(containerId, {
      command: ['sh', '-c', 'echo answer | nc -l -p 7777'],
      tty: false,
      stdin: false,
    });
    const connection = await waitFor('connection', { timeoutMs: 10_000, intervalMs: 100 }, async () =>
      service.openConnection(sandboxId, 7777),
    );
    connection.end('question\n');
    expect(await textOf(connection)).toBe('answer\n');
    expect(await textOf(server.stdout)).toBe('question\n');
    await expect(service.openConnection(sandboxId, 1)).rejects.toMatchObject({ reason: 'Unavailable' });
  });

  test('a container that ends says how, and a new one takes its place alone', async () => {
    const failing = await runContainer(
      sandboxId,
      fixture.containerConfig('two', ['sh', '-c', 'echo last; exit 3']),
    );
    const exited = await untilExited(failing);
    expect(exited).toMatchObject({ exitCode: 3, reason: 'Error' });
    expect(exited.finishedAtNs).toBeGreaterThanOrEqual(exited.startedAtNs);
    expect((await logLines(failing)).at(-1)).toMatch(/stdout F last$/);
    await service.removeContainer(failing);
    const again = await runContainer(
      sandboxId,
      fixture.containerConfig('two', ['true'], {
        metadata: { name: 'two', attempt: 1 },
        logPath: 'two/1.log',
      }),
    );
    expect(await untilExited(again)).toMatchObject({ exitCode: 0, reason: 'Completed' });
    expect(service.getContainer(containerId).state).toBe('running');
    const missing = await service.createContainer(sandboxId, fixture.containerConfig('three', ['/no/such']));
    await expect(service.startContainer(missing)).rejects.toThrow();
    expect(service.getContainer(missing)).toMatchObject({ state: 'exited', reason: 'StartError' });
  });

  test('goes on, log and all, when the daemon is replaced', async () => {
    const counting = await runContainer(
      sandboxId,
      fixture.containerConfig('counter', [
        'sh',
        '-c',
        'i=0; while [ $i -lt 3000 ]; do i=$((i+1)); echo line $i; done; exec sleep 100000',
      ]),
    );
    await waitFor(
      'some output',
      { timeoutMs: 20_000, intervalMs: 5 },
      async () => (await logLines(counting)).length > 50,
    );
    await service[Symbol.asyncDispose]();
    service = await fixture.open();
    expect(service.getSandbox(sandboxId).state).toBe('ready');
    await waitFor(
      'all output',
      { timeoutMs: 60_000, intervalMs: 100 },
      async () => (await logLines(counting)).length >= 3000,
      () => service.getContainer(counting).state,
    );
    const numbers = (await logLines(counting)).map((line) => Number(line.split(' ').at(-1)));
    expect(numbers).toEqual(Array.from({ length: 3000 }, (_, index) => index + 1));
    expect((await execute(containerId, ['echo', 'still there'])).stdout).toBe('still there\n');
  });

  test('stops a container with its signal, or by force', async () => {
    const gentle = await runContainer(
      sandboxId,
      fixture.containerConfig('gentle', [
        'sh',
        '-c',
        'trap "exit 5" TERM; echo ready; while :; do sleep 0.1; done',
      ]),
    );
    // The first process of a container does not even die of a signal it has no handler for yet.
    await waitFor(
      'the handler',
      { timeoutMs: 10_000, intervalMs: 20 },
      async () => (await logLines(gentle)).length === 1,
    );
    await service.stopContainer(gentle, 10_000);
    expect(service.getContainer(gentle).exitCode).toBe(5);
    const stubborn = await runContainer(
      sandboxId,
      fixture.containerConfig('stubborn', ['sh', '-c', 'trap "" TERM; while :; do sleep 0.1; done']),
    );
    await service.stopContainer(stubborn, 300);
    expect(service.getContainer(stubborn).exitCode).toBe(137);
  });

  test('lets clients attach, and gives them a terminal', async () => {
    const shell = await runContainer(
      sandboxId,
      fixture.containerConfig('shell', ['sh'], { stdin: true, tty: true, logPath: 'shell/0.log' }),
    );
    const session = await service.attach(shell, { stdin: true });
    let screen = '';
    session.stdout.on('data', (chunk: Buffer) => (screen += chunk.toString()));
    await session.resize(33, 77);
    session.stdin?.write('stty size; echo attached\n');
    await waitFor(
      'the answer',
      { timeoutMs: 10_000, intervalMs: 20 },
      () => /33 77\s+attached/.test(screen),
      () => screen,
    );
    expect(session.stderr).toBeNull();
    session.stdin?.write('exit 4\n');
    expect(await session.exit).toBe(4);
    const terminal = await service.exec(containerId, { command: ['tty'], tty: true, stdin: true });
    expect(await textOf(terminal.stdout)).toMatch(/^\/dev\/pts\/\d+\r\n$/);
    expect(await terminal.exit).toBe(0);
  });

  test('reports statistics', async () => {
    const stats = await service.sandboxStats(sandboxId);
    expect(stats.memoryTotalBytes).toBeGreaterThan(100n << 20n);
    expect(
      stats.containers.find((entry) => entry.containerId === containerId)?.memoryUsageBytes,
    ).toBeGreaterThan(0n);
  });

  test('is notReady and says why when its machine is killed, and leaves nothing when removed', async () => {
    const [pid] = await monitorPids(sandboxId);
    process.kill(Number(pid), 'SIGKILL');
    await waitFor(
      'notReady',
      { timeoutMs: 5_000, intervalMs: 20 },
      () => service.getSandbox(sandboxId).state === 'notReady',
    );
    const status = await untilExited(containerId);
    expect(status.exitCode).toBe(137);
    expect(status.message).toMatch(/virtual machine ended/);
    await service.removeSandbox(sandboxId);
    expect(service.listSandboxes()).toEqual([]);
    expect(fixture.infrastructure.ports.size).toBe(0);
    expect(await monitorPids(sandboxId)).toEqual([]);
  });
});

async function monitorPids(sandboxId: string): Promise<string[]> {
  const all = await runText('pgrep', ['-f', `guest=${fixture.prefix}-pod-${sandboxId}`]).catch(() => '');
  return all.split('\n').filter((pid) => pid !== '');
}

describe('volumes and files', () => {
  test('a volume keeps its data from one pod to the next, fenced in between', async () => {
    const { writeFile, mkdir } = await import('node:fs/promises');
    const { createHash } = await import('node:crypto');
    await fixture.infrastructure.createVolume('v1', 64 << 20);
    const hostPath = await fixture.volumeFolder('cinder', 'data');
    const registry = join(fixture.folder, 'run', 'direct-volumes');
    await mkdir(registry, { recursive: true });
    const name = createHash('sha256').update(hostPath).digest('hex');
    const entry = { volumeId: 'v1', fsType: 'ext4', readOnly: false, tenantId: '' };
    await writeFile(join(registry, `${name}.json`), JSON.stringify(entry));
    const mounts = [{ containerPath: '/data', hostPath, readOnly: false, propagation: 'private' } as const];
    const sleeping = (of: string) => fixture.containerConfig(of, ['sleep', '100000'], { mounts });
    const first = await service.runSandbox(fixture.sandboxConfig('writer'));
    const writer = await runContainer(first, sleeping('writer'));
    const wrote = await execute(writer, ['sh', '-c', 'echo kept > /data/file && mount | grep " /data "']);
    expect(wrote.stdout).toMatch(/ext4/);
    const second = await service.runSandbox(fixture.sandboxConfig('reader'));
    await expect(service.createContainer(second, sleeping('reader'))).rejects.toMatchObject({
      reason: 'Precondition',
    });
    await service.removeSandbox(first);
    const reader = await runContainer(second, sleeping('reader'));
    expect((await execute(reader, ['cat', '/data/file'])).stdout).toBe('kept\n');
    await service.removeSandbox(second);
    expect(fixture.infrastructure.attachments.size).toBe(0);
  });

  test('pushed files change with the host, emptyDirs are shared, the termination log comes back', async () => {
    const { mkdir, rename, symlink, writeFile } = await import('node:fs/promises');
    const config = await fixture.volumeFolder('configmap', 'settings');
    const publish = async (generation: string, content: string): Promise<void> => {
      await mkdir(join(config, generation));
      await writeFile(join(config, generation, 'key'), content);
      await symlink(generation, join(config, '..data.tmp'));
      await rename(join(config, '..data.tmp'), join(config, '..data'));
    };
    await publish('..1', 'before');
    await symlink('..data/key', join(config, 'key'));
    const empty = await fixture.volumeFolder('empty-dir', 'shared');
    const termination = join(fixture.folder, 'kubelet', 'pods', fixture.podUid, 'containers', 'app');
    await mkdir(termination, { recursive: true });
    await writeFile(join(termination, '0'), '');
    const sandboxId = await service.runSandbox(fixture.sandboxConfig('files'));
    const mount = (containerPath: string, hostPath: string, readOnly = false) =>
      ({ containerPath, hostPath, readOnly, propagation: 'private' }) as const;
    const app = await runContainer(
      sandboxId,
      fixture.containerConfig(
        'app',
        [
          'sh',
          '-c',
          'echo x > /shared/x; while ! grep -q after /config/key; do sleep 0.05; done; echo farewell > /dev/termination-log',
        ],
        {
          mounts: [
            mount('/config', config, true),
            mount('/shared', empty),
            mount('/dev/termination-log', join(termination, '0')),
          ],
        },
      ),
    );
    const other = await runContainer(
      sandboxId,
      fixture.containerConfig('other', ['sleep', '100000'], { mounts: [mount('/s', empty)] }),
    );
    await waitFor(
      'shared file',
      { timeoutMs: 5_000, intervalMs: 50 },
      async () => (await execute(other, ['cat', '/s/x'])).stdout === 'x\n',
    );
    expect(service.getContainer(app).state).toBe('running');
    await publish('..2', 'after');
    expect(await untilExited(app)).toMatchObject({ exitCode: 0 });
    expect(await readFile(join(termination, '0'), 'utf8')).toBe('farewell\n');
    await expect(
      service.createContainer(
        sandboxId,
        fixture.containerConfig('bad', ['true'], { mounts: [mount('/etc2', '/etc')] }),
      ),
    ).rejects.toMatchObject({ reason: 'Invalid' });
    await service.removeSandbox(sandboxId);
  });
});

describe('a start that fails', () => {
  test('leaves nothing behind', async () => {
    fixture.infrastructure.failSetup = true;
    await expect(service.runSandbox(fixture.sandboxConfig('fails'))).rejects.toMatchObject({
      reason: 'Exhausted',
    });
    fixture.infrastructure.failSetup = false;
    expect(service.listSandboxes()).toEqual([]);
    expect(await runText('ls', [join(fixture.folder, 'data', 'hyperd', 'sandboxes')])).toBe('');
  });
});
