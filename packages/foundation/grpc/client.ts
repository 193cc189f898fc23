import {
  Metadata,
  type CallOptions,
  type ClientOptions,
  type ClientReadableStream,
  type ClientUnaryCall,
  type ServiceError,
} from '@grpc/grpc-js';
import { PlatformError, reasonOfGrpcCode, reasons, type Reason } from '../errors/index.ts';

type UnaryMethod<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: Partial<CallOptions>,
  callback: (error: ServiceError | null, response: Response) => void,
) => ClientUnaryCall;

/** Channel options every client of ours uses: large messages, quick reconnect (the peer is on this machine and may be restarting). */
export const clientOptions: Partial<ClientOptions> = {
  'grpc.max_receive_message_length': 64 << 20,
  'grpc.max_send_message_length': 64 << 20,
  'grpc.initial_reconnect_backoff_ms': 50,
  'grpc.max_reconnect_backoff_ms': 1_000,
  'grpc.use_local_subchannel_pool': 1,
};

export function unixAddress(path: string): string {
  return `unix://${path}`;
}

function toReason(error: ServiceError): Reason {
  const said = error.metadata.get('hypernetes-reason')[0];
  const known = reasons.find((reason) => reason === said);
  return known ?? reasonOfGrpcCode(error.code);
}

function toError(error: ServiceError, what: string): PlatformError {
  return new PlatformError(
    toReason(error),
    error.details === '' ? `${what}: ${error.message}` : error.details,
    { cause: error },
  );
}

/** A unary call with a deadline; gRPC statuses become PlatformErrors. `callUnary(client.getNetwork.bind(client), request, 5_000)`. */
export async function callUnary<Request, Response>(
  method: UnaryMethod<Request, Response>,
  request: Request,
  timeoutMs: number,
  signal?: AbortSignal,
): Promise<Response> {
  return await new Promise<Response>((resolve, reject) => {
    const call = method(request, new Metadata(), { deadline: Date.now() + timeoutMs }, (error, response) => {
      signal?.removeEventListener('abort', cancel);
      if (error === null) resolve(response);
      else reject(toError(error, 'call'));
    });
    const cancel = (): void => call.cancel();
    signal?.addEventListener('abort', cancel, { once: true });
  });
}

/** A server stream as an async iterable; breaking out of the loop or the signal cancels it. Cancellation ends without an error. */
export async function* callStream<Response>(
  call: ClientReadableStream<Response>,
  signal?: AbortSignal,
): AsyncGenerator<Response> {
  const cancel = (): void => call.cancel();
  signal?.addEventListener('abort', cancel, { once: true });
  try {
    for await (const message of call) yield message as Response;
  } catch (error) {
    if (signal?.aborted === true) return;
    throw toError(error as ServiceError, 'stream');
  } finally {
    signal?.removeEventListener('abort', cancel);
    call.cancel();
  }
}
