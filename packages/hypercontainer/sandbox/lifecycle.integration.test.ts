import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { sleep, waitFor } from '@hypernetes/foundation/lifecycle';
import { SandboxFixture } from './testing/sandbox-fixture.ts';

const execs = 60;

let fixture: SandboxFixture;

beforeAll(async () => {
  fixture = await SandboxFixture.create();
});

afterAll(async () => {
  await fixture.remove();
});

const folders = async () => await readdir(join(fixture.folder, 'data', 'hyperd', 'sandboxes'));

test('a sandbox removed while a volume is attached to it, twice at once, leaves neither record nor attachment', async () => {
  await using service = await fixture.open();
  await fixture.infrastructure.createVolume('slow', 16 << 20);
  const hostPath = await fixture.volumeFolder('cinder', 'slow');
  const registry = join(fixture.folder, 'run', 'direct-volumes');
  await mkdir(registry, { recursive: true });
  const name = createHash('sha256').update(hostPath).digest('hex');
  await writeFile(join(registry, `${name}.json`), JSON.stringify({ volumeId: 'slow', fsType: 'ext4' }));
  const attach = fixture.infrastructure.attachVolume.bind(fixture.infrastructure);
  let release: () => void = () => undefined;
  const released = new Promise<void>((resolve) => (release = resolve));
  let isAttaching = false;
  fixture.infrastructure.attachVolume = async (request) => {
    isAttaching = true;
    await released;
    return await attach(request);
  };
  try {
    const sandboxId = await service.runSandbox(fixture.sandboxConfig('removed'));
    const mounts = [{ containerPath: '/data', hostPath, readOnly: false, propagation: 'private' } as const];
    const creating = service
      .createContainer(sandboxId, fixture.containerConfig('app', ['sleep', '1000'], { mounts }))
      .then(
        () => 'created',
        () => 'refused',
      );
    await waitFor('attachment', { timeoutMs: 20_000, intervalMs: 5 }, () => isAttaching);
    const removals = Promise.all([service.removeSandbox(sandboxId), service.removeSandbox(sandboxId)]);
    // The machine is ended before what it had is given back.
    setTimeout(release, 1_500);
    await Promise.all([removals, released]);
    await sleep(100);
    expect(await creating).toBe('refused');
    expect(fixture.infrastructure.attachments.size).toBe(0);
    expect(fixture.infrastructure.ports.size).toBe(0);
    expect(service.listSandboxes()).toEqual([]);
    expect(await folders()).toEqual([]);
  } finally {
    fixture.infrastructure.attachVolume = attach;
  }
});

test('a log that cannot be opened holds up neither the start of the service nor the other sandboxes', async () => {
  let ids: string[] = [];
  const start = async (name: string, service: Awaited<ReturnType<SandboxFixture['open']>>) => {
    const sandboxId = await service.runSandbox(fixture.sandboxConfig(name));
    const container = await service.createContainer(
      sandboxId,
      fixture.containerConfig('app', ['sh', '-c', 'i=0; while :; do i=$((i+1)); echo $i; sleep 0.1; done']),
    );
    await service.startContainer(container);
    return container;
  };
  {
    await using service = await fixture.open();
    ids = [await start('broken', service), await start('whole', service)];
  }
  const logs = join(fixture.folder, 'logs', 'broken', 'app');
  await rename(logs, `${logs}.away`);
  await writeFile(logs, 'a file where the folder was');
  await using service = await fixture.open();
  const stateOf = (id: string) => service.listContainers().find((container) => container.id === id)?.state;
  expect(stateOf(ids[1]!)).toBe('running');
  const created = await service.createContainer(
    service.getContainer(ids[1]!).sandboxId,
    fixture.containerConfig('second', ['sleep', '1000']),
  );
  await rm(logs);
  await rename(`${logs}.away`, logs);
  await waitFor('taken over', { timeoutMs: 20_000, intervalMs: 50 }, () => stateOf(ids[0]!) === 'running');
  // Made while the service still compared guests with their records: it is none of what a crash left half made.
  expect(stateOf(created)).toBe('created');
  const numbers = async () =>
    (await readFile(join(logs, '0.log'), 'utf8'))
      .split('\n')
      .slice(0, -1)
      .map((line) => Number(line.split(' ').at(-1)));
  const before = (await numbers()).length;
  await waitFor(
    'more output',
    { timeoutMs: 20_000, intervalMs: 50 },
    async () => (await numbers()).length > before + 5,
  );
  expect((await numbers()).findIndex((number, index) => number !== index + 1)).toBe(-1);
  for (const sandbox of service.listSandboxes()) await service.removeSandbox(sandbox.id);
  expect(await folders()).toEqual([]);
});

test('execs leave no open file in the guest, and none here', async () => {
  await using service = await fixture.open();
  const sandboxId = await service.runSandbox(fixture.sandboxConfig('execs'));
  const container = await service.createContainer(
    sandboxId,
    fixture.containerConfig('app', ['sleep', '1000']),
  );
  await service.startContainer(container);
  // All open files of the guest's kernel, its first process among them (proc_sys_fs(5)).
  const openFiles = async (): Promise<number> => {
    const session = await service.exec(container, {
      command: ['cat', '/proc/sys/fs/file-nr'],
      tty: false,
      stdin: false,
    });
    const chunks: Buffer[] = [];
    for await (const chunk of session.stdout) chunks.push(chunk as Buffer);
    await session.exit;
    return Number(Buffer.concat(chunks).toString().split('\t')[0]);
  };
  const before = await openFiles();
  const hereBefore = (await readdir('/proc/self/fd')).length;
  for (let count = 0; count < execs; count++) {
    const session = await service.exec(container, {
      command: ['cat'],
      tty: count % 2 === 1,
      stdin: true,
    });
    session.stdout.resume();
    session.stderr?.resume();
    session.stdin?.end();
    if (count % 2 === 1) await session.close();
    else expect(await session.exit).toBe(0);
  }
  // The kernel counts in batches per processor.
  await waitFor(
    'no more open files than before',
    { timeoutMs: 10_000, intervalMs: 200 },
    async () => (await openFiles()) < before + execs / 2,
  );
  expect((await readdir('/proc/self/fd')).length).toBeLessThan(hereBefore + 10);
  await service.removeSandbox(sandboxId);
});
