import { mkdtemp, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import { makeGenericClientConstructor, credentials, type ServiceDefinition } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { PlatformError } from '../errors/index.ts';
import { createLogger } from '../logging/index.ts';
import { sleep, waitFor } from '../lifecycle/index.ts';
import {
  callStream,
  callUnary,
  clientOptions,
  handleServerStream,
  handleUnary,
  startGrpcServer,
  unixAddress,
  type RunningGrpcServer,
} from './index.ts';

const codec = {
  serialize: (value: string) => Buffer.from(value),
  deserialize: (bytes: Buffer) => bytes.toString(),
};
const method = (name: string, responseStream: boolean) => ({
  path: `/test.Echo/${name}`,
  requestStream: false,
  responseStream,
  requestSerialize: codec.serialize,
  requestDeserialize: codec.deserialize,
  responseSerialize: codec.serialize,
  responseDeserialize: codec.deserialize,
});
const definition = {
  unary: method('Unary', false),
  stream: method('Stream', true),
} satisfies ServiceDefinition;
const log = createLogger('test');

interface EchoClient {
  unary: Parameters<typeof callUnary<string, string>>[0];
  stream: (request: string) => Parameters<typeof callStream<string>>[0];
  close: () => void;
}

describe('gRPC on a unix socket', () => {
  let folder = '';
  let server: RunningGrpcServer;
  let client: EchoClient;
  let streamEnded = false;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'hn-grpc-'));
    streamEnded = false;
    server = await startGrpcServer(join(folder, 's.sock'), (grpc) => {
      grpc.addService(definition, {
        unary: handleUnary<string, string>(log, 'unary', async (request, signal) => {
          if (request === 'slow') await sleep(5_000, signal);
          if (request === 'bad') throw new PlatformError('Precondition', 'not now');
          return `echo ${request}`;
        }),
        stream: handleServerStream<string, string>(log, 'stream', async function* (request, signal) {
          try {
            for (let i = 0; !signal.aborted; i++) {
              if (request === 'bad' && i === 2) throw new PlatformError('Expired', 'too old');
              yield `${request} ${i}`;
              await sleep(1);
            }
          } finally {
            streamEnded = true;
          }
        }),
      });
    });
    const Client = makeGenericClientConstructor(definition, 'Echo');
    client = new Client(
      unixAddress(server.socketPath),
      credentials.createInsecure(),
      clientOptions,
    ) as unknown as EchoClient;
  });

  afterEach(async () => {
    client.close();
    await server[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  const unary = async (request: string, timeoutMs = 2_000): Promise<string> =>
    await callUnary(client.unary.bind(client), request, timeoutMs);

  it('is for root only', async () => {
    expect((await stat(server.socketPath)).mode & 0o777).toBe(0o600);
  });

  it('answers, carries reasons gRPC has no code for, keeps deadlines', async () => {
    expect(await unary('hello')).toBe('echo hello');
    await expect(unary('bad')).rejects.toMatchObject({ reason: 'Precondition', message: 'not now' });
    await expect(unary('slow', 50)).rejects.toMatchObject({ reason: 'DeadlineExceeded' });
  });

  it('streams; leaving the loop ends the work of the server; errors arrive after what was sent', async () => {
    const seen: string[] = [];
    for await (const message of callStream(client.stream('a'))) {
      seen.push(message);
      if (seen.length === 3) break;
    }
    expect(seen).toEqual(['a 0', 'a 1', 'a 2']);
    await waitFor(
      'the end of the stream on the server',
      { timeoutMs: 2_000, intervalMs: 5 },
      () => streamEnded,
    );
    const until = async (): Promise<void> => {
      for await (const message of callStream(client.stream('bad'))) seen.push(message);
    };
    await expect(until()).rejects.toMatchObject({ reason: 'Expired' });
    expect(seen.slice(3)).toEqual(['bad 0', 'bad 1']);
  });
});
