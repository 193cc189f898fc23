import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { QmpClient } from './qmp-client.ts';

let folder: string;
let path: string;
let server: Server;
let sockets: Socket[];
let onCommand: (socket: Socket, message: { execute: string; id: number }) => void;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hn-qmp-'));
  path = join(folder, 'qmp.sock');
  sockets = [];
  onCommand = (socket, { id }) => socket.write(`{"return": {}, "id": ${id}}\r\n`);
  server = createServer((socket) => {
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.write('{"QMP": {"version": {}, "capabilities": []}}\r\n');
    socket.on('data', (data) => {
      for (const line of String(data).trim().split('\n'))
        onCommand(socket, JSON.parse(line) as { execute: string; id: number });
    });
  });
});

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  server.close();
  await rm(folder, { recursive: true });
});

describe('QmpClient', () => {
  it('waits for the socket, negotiates and matches answers to commands', async () => {
    setTimeout(() => server.listen(path), 30);
    using client = await QmpClient.connect(path, { timeoutMs: 2_000 });
    const held: number[] = [];
    onCommand = (socket, { id }) => {
      held.push(id);
      if (held.length === 2)
        for (const each of held.toReversed()) socket.write(`{"return": ${each}, "id": ${each}}\n`);
    };
    const answers = await Promise.all([client.execute('one'), client.execute('two')]);
    expect(answers).toEqual(held);
  });

  it('turns refusals and the end of the monitor into errors', async () => {
    server.listen(path);
    using client = await QmpClient.connect(path, { timeoutMs: 2_000 });
    onCommand = (socket, { id }) =>
      socket.write(`{"error": {"class": "GenericError", "desc": "no such disk"}, "id": ${id}}\n`);
    await expect(client.execute('device_del')).rejects.toMatchObject({
      reason: 'Internal',
      message: expect.stringContaining('no such disk'),
    });
    onCommand = (socket) => socket.destroy();
    await expect(client.execute('quit')).rejects.toMatchObject({ reason: 'Unavailable' });
    await expect(client.execute('again')).rejects.toMatchObject({ reason: 'Unavailable' });
  });

  it('delivers events, and gives up on a peer that does not speak QMP', async () => {
    server.listen(path);
    using client = await QmpClient.connect(path, { timeoutMs: 2_000 });
    const deleted = client.waitForEvent((event) => event.data['device'] === 'd', 'unplug', 1_000);
    sockets[0]!.write('{"event": "DEVICE_DELETED", "data": {"device": "d"}, "timestamp": {}}\n');
    await deleted;
    await expect(client.waitForEvent(() => true, 'nothing', 20)).rejects.toMatchObject({
      reason: 'DeadlineExceeded',
    });
    onCommand = (socket) => socket.write('not json\n');
    await expect(client.execute('x')).rejects.toMatchObject({ reason: 'Unavailable' });
  });

  it('ends the wait for a socket nobody serves', async () => {
    await expect(QmpClient.connect(path, { timeoutMs: 50 })).rejects.toMatchObject({
      reason: 'DeadlineExceeded',
    });
    await expect(QmpClient.connect(path, { timeoutMs: 5_000, isAlive: () => false })).rejects.toMatchObject({
      reason: 'Unavailable',
    });
  });
});
