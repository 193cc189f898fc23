import { chmod, rm } from 'node:fs/promises';
import {
  Metadata,
  Server,
  ServerCredentials,
  type handleServerStreamingCall,
  type handleUnaryCall,
  type ServerWritableStream,
} from '@grpc/grpc-js';
import { grpcCodeOf, toPlatformError } from '../errors/index.ts';
import type { Logger } from '../logging/index.ts';

function toStatus(thrown: unknown, log: Logger, method: string) {
  const error = toPlatformError(thrown);
  if (error.reason === 'Internal') log.error({ err: thrown, method }, 'call failed');
  else log.debug({ reason: error.reason, message: error.message, method }, 'call refused');
  const metadata = new Metadata();
  metadata.set('hypernetes-reason', error.reason);
  return { code: grpcCodeOf(error.reason), details: error.message, metadata };
}

/** An async function as a unary handler: what it throws becomes a gRPC status by the one table of wire forms. */
export function handleUnary<Request, Response>(
  log: Logger,
  method: string,
  work: (request: Request, signal: AbortSignal) => Promise<Response>,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    const abort = new AbortController();
    call.on('cancelled', () => abort.abort());
    work(call.request, abort.signal).then(
      (response) => callback(null, response),
      (thrown: unknown) => callback(toStatus(thrown, log, method)),
    );
  };
}

/** An async generator function as a server-streaming handler, with back-pressure; the signal fires when the client goes. */
export function handleServerStream<Request, Response>(
  log: Logger,
  method: string,
  work: (request: Request, signal: AbortSignal) => AsyncIterable<Response>,
): handleServerStreamingCall<Request, Response> {
  return (call) => {
    const abort = new AbortController();
    call.on('cancelled', () => abort.abort());
    call.on('error', () => abort.abort());
    pump(call, work(call.request, abort.signal), abort.signal).then(
      () => call.end(),
      (thrown: unknown) => {
        if (!abort.signal.aborted) call.emit('error', toStatus(thrown, log, method));
      },
    );
  };
}

async function pump<Request, Response>(
  call: ServerWritableStream<Request, Response>,
  messages: AsyncIterable<Response>,
  signal: AbortSignal,
): Promise<void> {
  for await (const message of messages) {
    if (signal.aborted) return;
    if (call.write(message)) continue;
    await new Promise<void>((resolve) => {
      call.once('drain', resolve);
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
  }
}

export interface RunningGrpcServer extends AsyncDisposable {
  readonly socketPath: string;
}

/** Serves on a unix socket only root can open (mode 0600), replacing a dead one. */
export async function startGrpcServer(
  socketPath: string,
  addServices: (server: Server) => void,
): Promise<RunningGrpcServer> {
  const server = new Server({
    'grpc.max_receive_message_length': 64 << 20,
    'grpc.max_send_message_length': 64 << 20,
  });
  addServices(server);
  await rm(socketPath, { force: true });
  const before = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      server.bindAsync(`unix://${socketPath}`, ServerCredentials.createInsecure(), (error) => {
        if (error === null) resolve();
        else reject(error);
      });
    });
  } finally {
    process.umask(before);
  }
  await chmod(socketPath, 0o600);
  return {
    socketPath,
    async [Symbol.asyncDispose]() {
      await new Promise<void>((resolve) => {
        const force = setTimeout(() => {
          server.forceShutdown();
          resolve();
        }, 2_000);
        server.tryShutdown(() => {
          clearTimeout(force);
          resolve();
        });
      });
    },
  };
}
