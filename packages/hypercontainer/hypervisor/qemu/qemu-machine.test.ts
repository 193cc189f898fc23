import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { startTimeOf } from '@hypernetes/foundation/process';
import { machineFiles } from './command-line.ts';
import { QemuMachine } from './qemu-machine.ts';

let folder: string;
let server: Server;
let connections: Socket[];
let answer: (command: string) => object;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hn-machine-'));
  connections = [];
  answer = () => ({ return: {} });
  server = createServer((socket) => {
    connections.push(socket);
    socket.on('error', () => undefined);
    // As a monitor does: who comes while another is connected is not greeted.
    if (connections.filter(({ destroyed }) => !destroyed).length > 1) return;
    socket.write('{"QMP": {}}\n');
    socket.on('data', (data) => {
      for (const line of String(data).trim().split('\n')) {
        const { execute, id } = JSON.parse(line) as { execute: string; id: number };
        socket.write(`${JSON.stringify({ ...answer(execute), id })}\n`);
      }
    });
  }).listen(join(folder, machineFiles.qmp));
});

afterEach(async () => {
  for (const socket of connections) socket.destroy();
  server.close();
  await rm(folder, { recursive: true });
});

async function machine(): Promise<QemuMachine> {
  const startTime = (await startTimeOf(process.pid)) ?? '';
  return new QemuMachine({
    name: 'm',
    process: { pid: process.pid, startTime },
    runDir: folder,
    isolation: 'tcg',
    cloned: false,
  });
}

test('several who need the monitor at once share one connection', async () => {
  await using found = await machine();
  const monitors = await Promise.all([1, 2, 3].map(async () => await found.connectMonitor()));
  expect(new Set(monitors).size).toBe(1);
  expect(connections).toHaveLength(1);
});

test('an unplug the monitor refuses is an error of the call, and of nothing later', async () => {
  await using found = await machine();
  answer = (command) =>
    command === 'device_del' ? { error: { class: 'GenericError', desc: 'busy' } } : { return: {} };
  await expect(found.unplugDisk({ target: 0, lun: 2 }, 20)).rejects.toThrow('busy');
  // An unhandled rejection would fail the run.
  await new Promise((resolve) => setTimeout(resolve, 50));
});
