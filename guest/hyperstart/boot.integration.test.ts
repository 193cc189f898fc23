import { createHash } from 'node:crypto';
import { copyFile, mkdir, mkdtemp, open, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '@hypernetes/foundation/process';
import { expectResult, type Operation } from '@hypernetes/hypercontainer/guest-agent';
import {
  ConfigureSandbox,
  CreateContainer,
  Mount,
  Process,
  VirtualServiceKey_Protocol,
  type ProcessExited,
} from '@hypernetes/proto/hyperstart';
import { assembleGuest, GuestMachine, guestFolder } from './test/guest-machine.ts';

const mebibyte = 1024 * 1024;
const scratchLun = 0;
const toolsLun = 1;
const layerLun = 2;
const upperLayerLun = 3;
const dataLun = 4;
const foreignLun = 5;
const xfsLun = 6;

let work: string;
let machine: GuestMachine;
const machines: GuestMachine[] = [];
let nextStream = 1;
let nextContainer = 1;

async function makeImage(name: string, sizeBytes: number): Promise<string> {
  const path = join(work, name);
  const file = await open(path, 'w');
  await file.truncate(sizeBytes);
  await file.close();
  return path;
}

/** Two layers: the lower one has the probe and the accounts, the upper one hides a file of the lower one. */
async function makeLayers(): Promise<{ lower: string; upper: string }> {
  await run('make', ['-s', '-C', join(guestFolder, 'probe'), `BUILD=${work}/probe`]);
  const root = join(work, 'lower');
  await mkdir(join(root, 'bin'), { recursive: true });
  await mkdir(join(root, 'etc'));
  await mkdir(join(root, 'tmp'), { mode: 0o1777 });
  await copyFile(join(work, 'probe/probe'), join(root, 'bin/probe'));
  await writeFile(join(root, 'etc/passwd'), 'root:x:0:0::/root:/bin/sh\nweb:x:33:33::/srv:/bin/sh\n');
  await writeFile(join(root, 'etc/group'), 'root:x:0:\nwww:x:33:\nlogs:x:44:web,other\n');
  await writeFile(join(root, 'etc/hidden'), 'lower\n');
  await writeFile(join(root, 'not-a-program'), 'text\n', { mode: 0o755 });
  await symlink('/bin/probe', join(root, 'bin/alias'));
  await mkdir(join(work, 'upper/etc'), { recursive: true });
  await writeFile(join(work, 'upper/etc/hidden'), 'upper\n');
  for (const name of ['lower', 'upper']) {
    await run('mksquashfs', [
      join(work, name),
      join(work, `${name}.squashfs`),
      '-all-root',
      '-noappend',
      '-quiet',
    ]);
  }
  return { lower: join(work, 'lower.squashfs'), upper: join(work, 'upper.squashfs') };
}

beforeAll(async () => {
  const images = await assembleGuest();
  work = await mkdtemp(join(tmpdir(), 'hn-guest-images-'));
  const layers = await makeLayers();
  const scratch = await makeImage('scratch.img', 64 * mebibyte);
  await run('mkfs.ext4', ['-q', '-F', scratch]);
  const foreign = await makeImage('foreign.img', 8 * mebibyte);
  await run('mkswap', [foreign]);
  machine = await GuestMachine.start(images, [
    { lun: scratchLun, path: scratch, readOnly: false },
    { lun: toolsLun, path: images.tools, readOnly: true },
    { lun: layerLun, path: layers.lower, readOnly: true },
  ]);
  machines.push(machine);
  await machine.agent.waitConnected(60_000);
  await machine.plug({ lun: upperLayerLun, path: layers.upper, readOnly: true });
  await machine.plug({ lun: dataLun, path: await makeImage('data.img', 48 * mebibyte), readOnly: false });
  await machine.plug({ lun: xfsLun, path: await makeImage('xfs.img', 310 * mebibyte), readOnly: false });
  await machine.plug({ lun: foreignLun, path: foreign, readOnly: false });
});

afterAll(async () => {
  for (const each of machines) await each[Symbol.asyncDispose]();
  await rm(work, { recursive: true, force: true });
});

const emptyVolume = {
  volumeId: '',
  address: { target: 0, lun: dataLun },
  fsType: '',
  readOnly: false,
  formatIfBlank: false,
  options: [],
  toolsVolumeId: '',
};

interface Output {
  text: string;
  readonly done: Promise<boolean>;
}

function collect(stream: number): Output {
  const output: Output = {
    text: '',
    done: machine.agent.receive(stream, 0, (data) => {
      output.text += data.toString();
      return Promise.resolve(data.length);
    }).finished,
  };
  return output;
}

interface Started {
  readonly id: string;
  readonly stdout: Output;
  readonly stderr: Output;
  readonly stdinStream: number;
}

async function create(
  args: readonly string[],
  changes: Partial<CreateContainer> = {},
  process: Partial<Process> = {},
): Promise<Started> {
  const id = `container-${nextContainer++}`;
  const [stdinStream, stdoutStream, stderrStream] = [nextStream++, nextStream++, nextStream++];
  const stdout = collect(stdoutStream);
  const stderr = collect(stderrStream);
  const value = CreateContainer.fromPartial({
    containerId: id,
    layerVolumeIds: ['lower', 'upper'],
    process: { args: [...args], env: ['PATH=/bin'], ...process },
    stdinStream,
    stdoutStream,
    stderrStream: process.terminal === true ? 0 : stderrStream,
    ...changes,
  });
  await machine.request({ $case: 'createContainer', value });
  return { id, stdout, stderr, stdinStream };
}

async function start(id: string): Promise<void> {
  await machine.request({ $case: 'startContainer', value: { containerId: id } });
}

async function remove(id: string): Promise<void> {
  await machine.request({ $case: 'removeContainer', value: { containerId: id } });
}

async function exitOf(id: string, execId = ''): Promise<ProcessExited> {
  const event = await machine.waitForEvent(
    ({ kind }) =>
      kind?.$case === 'processExited' && kind.value.containerId === id && kind.value.execId === execId,
  );
  if (event.kind?.$case !== 'processExited') throw new Error('unreachable');
  return event.kind.value;
}

/** Runs a container to its end. */
async function runContainer(
  args: readonly string[],
  changes: Partial<CreateContainer> = {},
  process: Partial<Process> = {},
) {
  const started = await create(args, changes, process);
  await start(started.id);
  const exit = await exitOf(started.id);
  await started.stdout.done;
  await remove(started.id);
  return { exit, stdout: started.stdout.text, stderr: started.stderr.text };
}

async function execute(containerId: string, process: Partial<Process>, stdin?: string) {
  const execId = `exec-${nextStream}`;
  const [stdinStream, stdoutStream, stderrStream] = [nextStream++, nextStream++, nextStream++];
  const stdout = collect(stdoutStream);
  const stderr = collect(stderrStream);
  await machine.request({
    $case: 'exec',
    value: {
      containerId,
      execId,
      process: Process.fromPartial(process),
      stdinStream: stdin === undefined ? 0 : stdinStream,
      stdoutStream,
      stderrStream: process.terminal === true ? 0 : stderrStream,
    },
  });
  if (stdin !== undefined) machine.agent.sendStream(stdinStream).end(stdin);
  const exit = await exitOf(containerId, execId);
  await stdout.done;
  return { exit, stdout: stdout.text, stderr: stderr.text };
}

async function mountVolume(
  volumeId: string,
  lun: number,
  fsType: string,
  more: { format?: boolean; readOnly?: boolean } = {},
) {
  const result = await machine.request({
    $case: 'mountVolume',
    value: {
      volumeId,
      address: { target: 0, lun },
      fsType,
      readOnly: more.readOnly ?? false,
      formatIfBlank: more.format ?? false,
      options: [],
      toolsVolumeId: 'tools',
    },
  });
  return expectResult(result, 'mountVolume');
}

describe('hyperstart in a machine', () => {
  it('says hello with a clock that can be trusted', async () => {
    const reply = await machine.agent.waitConnected(60_000);
    expect(reply.protocolVersion).toBe(1);
    expect(reply.clockSource).toBe('tsc');
    expect(reply.tickless).toBe(true);
    expect(reply.configured).toBe(false);
    expect(reply.memoryTotalBytes).toBeGreaterThan(100n * BigInt(mebibyte));
  });

  it('configures the sandbox', async () => {
    const before = BigInt(Date.now()) * 1_000_000n;
    const result = await machine.request({
      $case: 'configureSandbox',
      value: {
        hostname: 'pod-one',
        domainname: 'example',
        entropy: Buffer.alloc(64, 7),
        clockRealtimeNs: before,
        machineId: 'a'.repeat(32),
        interfaces: [
          {
            mac: '52:54:00:12:34:56',
            name: 'eth0',
            addresses: ['10.9.0.5/24', 'fd09::5/64'],
            mtu: 1400,
            index: 0,
          },
        ],
        routes: [
          { destination: '0.0.0.0/0', gateway: '10.9.0.1', interface: 'eth0' },
          { destination: '10.8.0.0/16', gateway: '', interface: 'eth0' },
        ],
        resolvConf: 'nameserver 10.9.0.1\n',
        hosts: '127.0.0.1 localhost\n10.9.0.5 pod-one\n',
        sysctls: { 'net.ipv4.ip_local_port_range': '40000 41000', 'no.such.thing': '1' },
        scratch: { address: { target: 0, lun: scratchLun } },
        sharedPidNamespace: false,
        shmSizeBytes: 0n,
      },
    });
    const { warnings } = expectResult(result, 'configureSandbox');
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toContain('no.such.thing');
    const { reply } = await machine.agent.readClock(10_000);
    expect(reply.configured).toBe(true);
    expect(Number((reply.clockRealtimeNs - before) / 1_000_000n)).toBeLessThan(20_000);
  });

  it('mounts layers and runs a process to its exit code', async () => {
    await mountVolume('tools', toolsLun, 'squashfs', { readOnly: true });
    await mountVolume('lower', layerLun, 'squashfs', { readOnly: true });
    await mountVolume('upper', upperLayerLun, 'squashfs', { readOnly: true });
    const cat = await runContainer(['probe', 'cat', '/etc/hidden']);
    expect(cat.stdout).toBe('upper\n');
    const result = await runContainer(['probe', 'exit', '7']);
    expect(result.exit).toMatchObject({ exitCode: 7, signal: 0, oomKilled: false });
  });

  it('gives a process its identity, names, places and limits', async () => {
    const { stdout, stderr } = await runContainer(
      ['probe', 'report'],
      {
        mounts: [
          Mount.fromPartial({
            destination: '/cache',
            source: { $case: 'tmpfs', value: 'size=1m,mode=0700' },
          }),
        ],
        maskedPaths: ['/proc/kcore', '/proc/acpi'],
        readOnlyPaths: ['/proc/sys'],
      },
      {
        user: { name: 'web', uid: 0, gid: 0, gidSet: false, supplementalGroups: [1234], strictGroups: false },
        cwd: '/work',
        capabilities: { bounding: ['CAP_CHOWN'], effective: [], permitted: [], inheritable: [], ambient: [] },
        noNewPrivileges: true,
        rlimits: [{ type: 'RLIMIT_NOFILE', soft: 100n, hard: 200n }],
        oomScoreAdj: 500,
      },
    );
    expect(stderr).toBe('');
    const report = JSON.parse(stdout) as Record<string, unknown>;
    expect(report).toMatchObject({
      uid: 33,
      gid: 33,
      groups: [44, 1234],
      pid: 1,
      processes: [1],
      hostname: 'pod-one',
      domainname: 'example',
      cwd: '/work',
      capEff: '0000000000000000',
      capBnd: '0000000000000001',
      noNewPrivs: '1',
      oomScoreAdj: ['500'],
      cgroup: ['0::/'],
    });
    expect(report['env']).toEqual(['PATH=/bin', 'HOME=/srv']);
    expect((report['limits'] as string[]).find((line) => line.startsWith('Max open files'))).toMatch(
      /100 +200/,
    );
    const mounts = (report['mounts'] as string[]).map((line) => line.split(' '));
    const options = (place: string): string =>
      mounts.filter(([, at]) => at === place).at(-1)?.[3] ?? 'missing';
    expect(options('/')).toMatch(/^rw/);
    expect(options('/sys')).toMatch(/^ro/);
    expect(options('/sys/fs/cgroup')).toMatch(/^ro/);
    expect(options('/proc/sys')).toMatch(/^ro/);
    expect(options('/cache')).toMatch(/size=1024k/);
    for (const place of [
      '/dev/pts',
      '/dev/shm',
      '/dev/mqueue',
      '/etc/hosts',
      '/etc/resolv.conf',
      '/proc/kcore',
    ]) {
      expect(options(place)).not.toBe('missing');
    }
  });

  it('reports a command that is missing or no program as such, at start and at exec', async () => {
    const missing = await create(['no-such-program']);
    await expect(start(missing.id)).rejects.toThrow(/no-such-program/);
    await remove(missing.id);
    const text = await create(['/not-a-program']);
    await expect(start(text.id)).rejects.toThrow(/not-a-program/);
    await remove(text.id);
    await expect(
      create(
        ['probe', 'exit', '0'],
        {},
        {
          user: {
            name: 'nobody-here',
            uid: 0,
            gid: 0,
            gidSet: false,
            supplementalGroups: [],
            strictGroups: false,
          },
        },
      ),
    ).rejects.toThrow(/nobody-here/);
  });

  it('executes in a running container with input, output and a terminal', async () => {
    const container = await create(['probe', 'sleep']);
    await start(container.id);
    const echo = await execute(container.id, { args: ['probe', 'cat'] }, 'through and through');
    expect(echo).toMatchObject({ stdout: 'through and through', exit: { exitCode: 0 } });
    const report = await execute(container.id, {
      args: ['alias', 'report'],
      terminal: true,
      rows: 24,
      columns: 80,
    });
    expect(JSON.parse(report.stdout)).toMatchObject({ tty: true, hostname: 'pod-one' });
    const code = await execute(container.id, { args: ['probe', 'exit', '3'] });
    expect(code.exit.exitCode).toBe(3);
    await expect(execute(container.id, { args: ['nope'] })).rejects.toThrow(/nope/);
    await machine.request({
      $case: 'signalProcess',
      value: { containerId: container.id, execId: '', signal: 15, all: false },
    });
    expect((await exitOf(container.id)).exitCode).toBe(0);
    await expect(execute(container.id, { args: ['probe', 'exit', '0'] })).rejects.toThrow(/not running/);
    await remove(container.id);
  });

  it('kills what does not listen, and says by which signal', async () => {
    const container = await create(['probe', 'serve', '8080', 'hello']);
    await start(container.id);
    await machine.request({
      $case: 'signalProcess',
      value: { containerId: container.id, execId: '', signal: 9, all: true },
    });
    expect(await exitOf(container.id)).toMatchObject({ exitCode: 137, signal: 9, oomKilled: false });
    await remove(container.id);
  });

  it('loses and doubles nothing of a flood over reconnections', async () => {
    const bytes = 3 * mebibyte;
    const container = `container-${nextContainer++}`;
    const stream = nextStream++;
    let taken = 0;
    const hash = createHash('sha256');
    const consume = (data: Buffer): Promise<number> => {
      hash.update(data);
      taken += data.length;
      return Promise.resolve(data.length);
    };
    let receiver = machine.agent.receive(stream, 0, consume);
    await machine.request({
      $case: 'createContainer',
      value: CreateContainer.fromPartial({
        containerId: container,
        layerVolumeIds: ['lower'],
        process: { args: ['/bin/probe', 'flood', `${bytes}`] },
        stdoutStream: stream,
      }),
    });
    await start(container);
    for (const limit of [100_000, 900_000, 2_000_000]) {
      while (taken < limit) await new Promise((resolve) => setTimeout(resolve, 1));
      await machine.replaceAgent();
      receiver = machine.agent.receive(stream, taken, consume);
      await machine.agent.waitConnected(20_000);
    }
    expect(await receiver.finished).toBe(true);
    expect(taken).toBe(bytes);
    const expected = createHash('sha256');
    for (let line = 0; line < bytes / 64; line++) expected.update(`${line}`.padStart(63, '0') + '\n');
    expect(hash.digest('hex')).toBe(expected.digest('hex'));
    expect((await exitOf(container)).exitCode).toBe(0);
    await remove(container);
  });

  it('holds back a process whose output nobody takes, and keeps running meanwhile', async () => {
    const container = `container-${nextContainer++}`;
    const stream = nextStream++;
    let released = false;
    let taken = 0;
    const receiver = machine.agent.receive(stream, 0, async (data) => {
      while (!released) await new Promise((resolve) => setTimeout(resolve, 5));
      taken += data.length;
      return data.length;
    });
    await machine.request({
      $case: 'createContainer',
      value: CreateContainer.fromPartial({
        containerId: container,
        layerVolumeIds: ['lower'],
        process: { args: ['/bin/probe', 'flood', `${mebibyte}`] },
        stdoutStream: stream,
      }),
    });
    await start(container);
    await new Promise((resolve) => setTimeout(resolve, 500));
    const state = expectResult(await machine.request({ $case: 'getState', value: {} }), 'state');
    expect(state.containers.find(({ containerId }) => containerId === container)?.phase).toBe(2);
    expect(
      machine.events.some(
        ({ kind }) => kind?.$case === 'processExited' && kind.value.containerId === container,
      ),
    ).toBe(false);
    released = true;
    await receiver.finished;
    expect(taken).toBe(mebibyte);
    await exitOf(container);
    await remove(container);
  });

  it('serves connections into the pod', async () => {
    const container = await create(['probe', 'serve', '8080', 'hello from the pod']);
    await start(container.id);
    while (!container.stdout.text.includes('listening'))
      await new Promise((resolve) => setTimeout(resolve, 10));
    const [toGuest, toHost] = [nextStream++, nextStream++];
    const answer = collect(toHost);
    const sender = machine.agent.sendStream(toGuest);
    await machine.request({
      $case: 'openConnection',
      value: { host: '10.9.0.5', port: 8080, streamToGuest: toGuest, streamToHost: toHost, timeoutMs: 5000 },
    });
    sender.end('GET / HTTP/1.0\r\n\r\n');
    expect(await answer.done).toBe(true);
    expect(answer.text).toContain('hello from the pod');
    await expect(
      machine.request({
        $case: 'openConnection',
        value: {
          host: '127.0.0.1',
          port: 1,
          streamToGuest: nextStream++,
          streamToHost: nextStream++,
          timeoutMs: 5000,
        },
      }),
    ).rejects.toThrow(/refused/i);
    await remove(container.id);
  });

  it('balances services, refuses those without servers at once, and updates them by deltas', async () => {
    const server = await create(['probe', 'serve', '8080', 'served']);
    await start(server.id);
    const key = (address: string, port: number) => ({
      address,
      port,
      protocol: VirtualServiceKey_Protocol.TCP,
    });
    await machine.request({
      $case: 'updateServices',
      value: {
        baseGeneration: 0n,
        generation: 1n,
        full: true,
        upserts: [
          {
            key: key('10.96.0.1', 80),
            servers: [{ address: '10.9.0.5', port: 8080, weight: 1 }],
            affinityTimeoutS: 0,
          },
          { key: key('10.96.0.2', 80), servers: [], affinityTimeoutS: 0 },
          {
            key: key('fd96::1', 80),
            servers: [{ address: 'fd09::5', port: 8080, weight: 1 }],
            affinityTimeoutS: 60,
          },
        ],
        removals: [],
      },
    });
    const get = (url: string) => execute(server.id, { args: ['probe', 'get', url] });
    expect(await get('http://10.96.0.1/')).toMatchObject({ stdout: 'served', exit: { exitCode: 0 } });
    const before = Date.now();
    const refused = await execute(server.id, { args: ['probe', 'tcp', '10.96.0.2', '80'] });
    expect(refused.stderr).toContain('refused');
    expect(Date.now() - before).toBeLessThan(3000);
    expect(await execute(server.id, { args: ['probe', 'tcp', 'fd96::1', '80'] })).toMatchObject({
      stdout: 'connected\n',
    });
    const delta = (base: bigint) =>
      machine.request({
        $case: 'updateServices',
        value: {
          baseGeneration: base,
          generation: base + 1n,
          full: false,
          upserts: [
            {
              key: key('10.96.0.2', 80),
              servers: [{ address: '10.9.0.5', port: 8080, weight: 1 }],
              affinityTimeoutS: 0,
            },
          ],
          removals: [key('10.96.0.1', 80)],
        },
      });
    await expect(delta(41n)).rejects.toThrow(/generation/);
    await delta(1n);
    expect(await get('http://10.96.0.2/')).toMatchObject({ stdout: 'served' });
    expect((await get('http://10.96.0.1/')).exit.exitCode).toBe(1);
    await remove(server.id);
  });

  it('pushes file sets, swaps them at once in running containers and reads files back', async () => {
    const put = (generation: bigint, files: Record<string, string>) =>
      machine.request({
        $case: 'putFiles',
        value: {
          setId: 'config',
          generation,
          commit: true,
          inMemory: false,
          files: Object.entries(files).map(([path, text]) => ({
            path,
            mode: 0o644,
            uid: 0,
            gid: 0,
            offset: 0n,
            data: Buffer.from(text),
            symlinkTarget: '',
          })),
        },
      });
    await put(1n, { key: 'one', 'folder/inner': 'deep', old: 'goes away' });
    await expect(put(2n, { '../escape': 'x' })).rejects.toThrow(/escape/);
    const container = await create(['probe', 'sleep'], {
      mounts: [
        Mount.fromPartial({ destination: '/config', source: { $case: 'fileSetId', value: 'config' } }),
        Mount.fromPartial({
          destination: '/etc/single',
          source: { $case: 'fileSetId', value: 'config' },
          subPath: 'key',
        }),
        Mount.fromPartial({
          destination: '/data',
          source: { $case: 'emptyDirId', value: 'shared' },
          fsGroup: 44n,
        }),
        Mount.fromPartial({
          destination: '/memory',
          source: { $case: 'memoryDirId', value: 'ram' },
          sizeBytes: 1048576n,
        }),
      ],
    });
    await start(container.id);
    const cat = async (path: string) =>
      (await execute(container.id, { args: ['probe', 'cat', path] })).stdout;
    expect(await cat('/config/key')).toBe('one');
    expect(await cat('/config/folder/inner')).toBe('deep');
    expect(await cat('/etc/single')).toBe('one');
    await put(3n, { key: 'two' });
    await put(2n, { key: 'late' });
    expect(await cat('/config/key')).toBe('two');
    expect(await cat('/config/old')).toBe('');
    await execute(container.id, { args: ['probe', 'write', '/config/..data/key', 'written inside'] });
    const read = await machine.request({
      $case: 'getFile',
      value: { setId: 'config', path: 'key', maxBytes: 6 },
    });
    expect(Buffer.from(expectResult(read, 'getFile').data).toString()).toBe('inside');
    await execute(container.id, { args: ['probe', 'write', '/data/file', 'kept'] });
    const other = await runContainer(['probe', 'cat', '/mnt/file'], {
      mounts: [Mount.fromPartial({ destination: '/mnt', source: { $case: 'emptyDirId', value: 'shared' } })],
    });
    expect(other.stdout).toBe('kept');
    await remove(container.id);
    await machine.request({ $case: 'removeFiles', value: { setId: 'config' } });
  });

  it('formats a blank volume only, keeps its content, and unmounts it', async () => {
    await expect(mountVolume('foreign', foreignLun, 'ext4', { format: true })).rejects.toThrow(/swap area/);
    const made = await mountVolume('data', dataLun, 'ext4', { format: true });
    expect(made).toMatchObject({ formatted: true, fsType: 'ext4', sizeBytes: BigInt(48 * mebibyte) });
    const mounts = [
      Mount.fromPartial({
        destination: '/data',
        source: { $case: 'volumeId', value: 'data' },
        subPath: 'inner',
      }),
    ];
    await runContainer(['probe', 'write', '/data/file', 'persistent'], { mounts });
    const user = await create(['probe', 'sleep'], { mounts });
    await start(user.id);
    const unmount = () =>
      machine.request({ $case: 'unmountVolume', value: { volumeId: 'data', removeDevice: false } });
    await expect(unmount()).rejects.toThrow(/used by a container/);
    await remove(user.id);
    await unmount();
    expect((await mountVolume('data', dataLun, 'ext4', { format: true })).formatted).toBe(false);
    expect((await runContainer(['probe', 'cat', '/data/file'], { mounts })).stdout).toBe('persistent');
    await machine.request({ $case: 'unmountVolume', value: { volumeId: 'data', removeDevice: true } });
    await machine.unplug(dataLun);
  });

  it('bounds memory, tells who ran out of it, and reports usage', async () => {
    const container = await create(['probe', 'allocate', `${64 * mebibyte}`], {
      resources: {
        cpuPeriodUs: 100_000n,
        cpuQuotaUs: 50_000n,
        cpuShares: 1024n,
        memoryLimitBytes: BigInt(24 * mebibyte),
        pidsLimit: 20n,
        cpusetCpus: '',
        memorySwapLimitBytes: 0n,
      },
    });
    await start(container.id);
    expect(await exitOf(container.id)).toMatchObject({ exitCode: 137, oomKilled: true });
    await machine.waitForEvent(
      ({ kind }) => kind?.$case === 'outOfMemory' && kind.value.containerId === container.id,
    );
    await remove(container.id);

    const idle = await create(['probe', 'allocate', `${8 * mebibyte}`]);
    await start(idle.id);
    while (!idle.stdout.text.includes('allocated')) await new Promise((resolve) => setTimeout(resolve, 10));
    await execute(idle.id, { args: ['probe', 'write', '/file', 'x'.repeat(10_000)] });
    const stats = expectResult(await machine.request({ $case: 'getStats', value: {} }), 'stats');
    const own = stats.containers.find(({ containerId }) => containerId === idle.id);
    expect(own?.memoryWorkingSetBytes).toBeGreaterThan(8n * BigInt(mebibyte));
    expect(own?.cpuUsageNs).toBeGreaterThan(0n);
    expect(own?.writableUsedBytes).toBeGreaterThan(10_000n);
    expect(own?.pids).toBe(1n);
    expect(stats.interfaces.map(({ name }) => name)).toEqual(['eth0']);
    expect(stats.scratchSizeBytes).toBeGreaterThan(40n * BigInt(mebibyte));
    await remove(idle.id);
  });

  it('reaches servers of services elsewhere on the network', async () => {
    const client = await create(['probe', 'sleep']);
    await start(client.id);
    await machine.request({
      $case: 'updateServices',
      value: {
        baseGeneration: 0n,
        generation: 3n,
        full: true,
        upserts: [
          {
            key: { address: '10.96.0.9', port: 80, protocol: VirtualServiceKey_Protocol.TCP },
            servers: [{ address: '10.9.0.100', port: 80, weight: 1 }],
            affinityTimeoutS: 0,
          },
        ],
        removals: [],
      },
    });
    const direct = await execute(client.id, { args: ['probe', 'get', 'http://10.9.0.100/'] });
    expect(direct).toMatchObject({ stdout: 'from afar' });
    const balanced = await execute(client.id, { args: ['probe', 'get', 'http://10.96.0.9/'] });
    expect(balanced).toMatchObject({ stdout: 'from afar', stderr: '' });
    await remove(client.id);
  });

  it('changes addresses and names of a running pod', async () => {
    const client = await create(['probe', 'sleep']);
    await start(client.id);
    await machine.request({
      $case: 'configureNetwork',
      value: {
        interfaces: [
          { mac: '52:54:00:12:34:57', name: 'eth0', addresses: ['10.9.0.6/24'], mtu: 1300, index: 0 },
        ],
        routes: [{ destination: '0.0.0.0/0', gateway: '10.9.0.2', interface: 'eth0' }],
        resolvConf: 'nameserver 10.9.0.3\n',
        hosts: '10.9.0.6 pod-one\n',
      },
    });
    const cat = async (path: string) => (await execute(client.id, { args: ['probe', 'cat', path] })).stdout;
    expect(await cat('/etc/resolv.conf')).toBe('nameserver 10.9.0.3\n');
    expect(await cat('/etc/hosts')).toBe('10.9.0.6 pod-one\n');
    expect(await cat('/sys/class/net/eth0/address')).toBe('52:54:00:12:34:57\n');
    expect(await cat('/sys/class/net/eth0/mtu')).toBe('1300\n');
    const trie = await cat('/proc/net/fib_trie');
    expect(trie).toContain('10.9.0.6');
    expect(trie).not.toContain('10.9.0.5');
    const routes = (await cat('/proc/net/route')).trim().split('\n').slice(1);
    expect(routes.map((line) => line.split('\t').slice(0, 3))).toEqual([
      ['eth0', '00000000', '0200090A'],
      ['eth0', '0000090A', '00000000'],
    ]);
    const balanced = await execute(client.id, { args: ['probe', 'get', 'http://10.96.0.9/'] });
    expect(balanced).toMatchObject({ stdout: 'from afar', stderr: '' });
    await remove(client.id);
  });

  it('keeps a read-only root, a seccomp filter and the rights of a privileged container', async () => {
    const readOnly = await runContainer(['probe', 'write', '/file', 'x'], { readOnlyRootfs: true });
    expect(readOnly.exit.exitCode).toBe(1);
    expect(readOnly.stderr).toContain('Read-only file system');

    // if (syscall == uname) errno EPERM else allow
    const filter = Buffer.concat(
      [
        [0x20, 0, 0, 0],
        [0x15, 0, 1, 63],
        [0x06, 0, 0, 0x00050001],
        [0x06, 0, 0, 0x7fff0000],
      ].map(([code, yes, no, value]) => {
        const instruction = Buffer.alloc(8);
        instruction.writeUInt16LE(code!, 0);
        instruction.writeUInt8(yes!, 2);
        instruction.writeUInt8(no!, 3);
        instruction.writeUInt32LE(value!, 4);
        return instruction;
      }),
    );
    for (const noNewPrivileges of [false, true]) {
      const filtered = await runContainer(
        ['probe', 'report'],
        {},
        { seccompFilter: filter, noNewPrivileges },
      );
      expect(JSON.parse(filtered.stdout)).toMatchObject({ seccomp: '2', hostname: '' });
    }

    const privileged = await runContainer(['probe', 'report'], { privileged: true });
    const report = JSON.parse(privileged.stdout) as { capEff: string; mounts: string[] };
    expect(report.capEff).toBe('000001ffffffffff');
    expect(report.mounts.some((line) => line.startsWith('devtmpfs /dev '))).toBe(true);
    expect(report.mounts.find((line) => line.startsWith('sysfs /sys '))).toMatch(/ rw,/);
  });

  it('hands a raw disk to a container as a device', async () => {
    await mountVolume('raw', foreignLun, '');
    const { stdout } = await runContainer(['probe', 'cat', '/dev/disk'], {
      devices: [
        { path: '/dev/disk', volumeId: 'raw', type: '', major: 0, minor: 0, mode: 0, uid: 0, gid: 0 },
      ],
    });
    expect(stdout).toContain('SWAPSPACE2');
    await machine.request({ $case: 'unmountVolume', value: { volumeId: 'raw', removeDevice: true } });
  });

  it('makes and mounts xfs from the tools image', async () => {
    const made = await mountVolume('xfs', xfsLun, 'xfs', { format: true });
    expect(made.formatted).toBe(true);
    const mounts = [Mount.fromPartial({ destination: '/data', source: { $case: 'volumeId', value: 'xfs' } })];
    await runContainer(['probe', 'write', '/data/file', 'x'], { mounts });
    expect((await runContainer(['probe', 'cat', '/data/file'], { mounts })).stdout).toBe('x');
    await machine.request({ $case: 'unmountVolume', value: { volumeId: 'xfs', removeDevice: true } });
  });

  it('survives requests that make no sense', async () => {
    const refused = async (operation: Operation, reason: RegExp) =>
      await expect(machine.request(operation)).rejects.toThrow(reason);
    const container = (changes: Partial<CreateContainer>): Operation => ({
      $case: 'createContainer',
      value: CreateContainer.fromPartial({
        containerId: 'bad',
        layerVolumeIds: ['lower'],
        process: { args: ['/bin/probe', 'exit', '0'] },
        ...changes,
      }),
    });
    await refused(container({ containerId: '../x' }), /container id/);
    await refused(container({ layerVolumeIds: ['none'] }), /not mounted/);
    await refused(container({ layerVolumeIds: [] }), /layers/);
    await refused(container({ process: undefined }), /needs a command/);
    await refused(container({ process: Process.fromPartial({ args: [''] }) }), /needs a command/);
    await refused(container({ mounts: [Mount.fromPartial({ destination: 'relative' })] }), /absolute/);
    await refused(container({ mounts: [Mount.fromPartial({ destination: '/x' })] }), /no source/);
    await refused(
      container({
        mounts: [Mount.fromPartial({ destination: '/x', source: { $case: 'kernelFs', value: 'debugfs' } })],
      }),
      /debugfs/,
    );
    await refused({ $case: 'startContainer', value: { containerId: 'unknown' } }, /does not exist/);
    await refused(
      { $case: 'mountVolume', value: { ...emptyVolume, volumeId: 'x', fsType: 'ntfs' } },
      /not one of/,
    );
    await refused(
      { $case: 'mountVolume', value: { ...emptyVolume, volumeId: 'x', address: undefined } },
      /address/,
    );
    await machine.request({ $case: 'removeContainer', value: { containerId: 'unknown' } });
    expect((await runContainer(['probe', 'exit', '5'])).exit.exitCode).toBe(5);
  });

  it('repeats requests without repeating their effect', async () => {
    const value = CreateContainer.fromPartial({
      containerId: 'twice',
      layerVolumeIds: ['lower'],
      process: { args: ['/bin/probe', 'sleep'] },
    });
    await machine.request({ $case: 'createContainer', value });
    await machine.request({ $case: 'createContainer', value });
    await expect(
      machine.request({ $case: 'createContainer', value: { ...value, readOnlyRootfs: true } }),
    ).rejects.toThrow(/another content/);
    const first = await machine.request({ $case: 'startContainer', value: { containerId: 'twice' } });
    expect(await machine.request({ $case: 'startContainer', value: { containerId: 'twice' } })).toEqual(
      first,
    );
    await remove('twice');
    await remove('twice');
    const state = expectResult(await machine.request({ $case: 'getState', value: {} }), 'state');
    expect(state.containers).toEqual([]);
    expect(state.volumeIds.toSorted()).toEqual(['lower', 'tools', 'upper']);
    expect(state.servicesGeneration).toBe(3n);
  });

  it('powers off on request', async () => {
    await machine.request({ $case: 'shutdown', value: { timeoutMs: 5000 } });
    const deadline = Date.now() + 10_000;
    while (!machine.exited && Date.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 20));
    expect(machine.exited, machine.consoleText).toBe(true);
  });
});

describe('a pod that shares its process ids', () => {
  it('shows the containers to each other, with one holder as first process', async () => {
    const images = await assembleGuest();
    machine = await GuestMachine.start(images, [
      { lun: layerLun, path: join(work, 'lower.squashfs'), readOnly: true },
    ]);
    machines.push(machine);
    await machine.request({
      $case: 'configureSandbox',
      value: ConfigureSandbox.fromPartial({
        hostname: 'shared',
        entropy: Buffer.alloc(32, 1),
        sharedPidNamespace: true,
      }),
    });
    await machine.request({
      $case: 'mountVolume',
      value: { ...emptyVolume, volumeId: 'lower', address: { target: 0, lun: layerLun }, fsType: 'squashfs' },
    });
    const layerVolumeIds = ['lower'];
    const first = await create(['/bin/probe', 'sleep'], { layerVolumeIds });
    await start(first.id);
    const second = await runContainer(['/bin/probe', 'report'], { layerVolumeIds });
    const seen = JSON.parse(second.stdout) as { pid: number; processes: number[] };
    expect(seen.processes).toHaveLength(3);
    expect(seen.processes[0]).toBe(1);
    expect(seen.pid).toBeGreaterThan(2);
    const alone = await runContainer(['/bin/probe', 'report'], { layerVolumeIds, privatePidNamespace: true });
    expect(JSON.parse(alone.stdout)).toMatchObject({ pid: 1, processes: [1] });
    const executed = await execute(first.id, { args: ['/bin/probe', 'report'] });
    expect((JSON.parse(executed.stdout) as { processes: number[] }).processes).toHaveLength(3);
    await remove(first.id);
  });
});
