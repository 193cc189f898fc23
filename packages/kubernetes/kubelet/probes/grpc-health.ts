import { connect } from 'node:http2';
import type { Duplex } from 'node:stream';
import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { PlatformError } from '@hypernetes/foundation/errors';

const answerBytesMax = 64 << 10;
const serving = 1;
const statusNames = ['UNKNOWN', 'SERVING', 'NOT_SERVING', 'SERVICE_UNKNOWN'];

/** grpc.health.v1.Health/Check over a connection that is there already. Answers undefined when serving, else what was wrong. */
export async function checkGrpcHealth(
  connection: Duplex,
  service: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const session = connect('http://pod', { createConnection: () => connection });
  try {
    return await new Promise<string | undefined>((resolve, reject) => {
      const fail = (cause: Error): void =>
        reject(
          cause instanceof PlatformError ? cause : new PlatformError('Unavailable', cause.message, { cause }),
        );
      connection.on('error', fail);
      session.on('error', fail);
      const stream = session.request(
        {
          ':method': 'POST',
          ':path': '/grpc.health.v1.Health/Check',
          'content-type': 'application/grpc',
          te: 'trailers',
          'user-agent': 'kube-probe/1.33',
        },
        { signal },
      );
      let answer = Buffer.alloc(0);
      let code: string | undefined;
      const readCode = (headers: Readonly<Record<string, unknown>>): void => {
        const value = headers['grpc-status'];
        if (typeof value === 'string') code = value;
      };
      stream.on('response', readCode);
      stream.on('trailers', readCode);
      stream.on('error', fail);
      stream.on('data', (chunk: Buffer) => {
        answer = Buffer.concat([answer, chunk]);
        if (answer.length > answerBytesMax) stream.destroy(new Error('answer is too long'));
      });
      stream.on('end', () => resolve(judge(code, answer)));
      stream.end(frame(new BinaryWriter().uint32(10).string(service).finish()));
    });
  } finally {
    session.destroy();
    connection.destroy();
  }
}

/** gRPC over HTTP/2, "Length-Prefixed-Message". */
function frame(message: Uint8Array): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  return Buffer.concat([prefix, message]);
}

function judge(code: string | undefined, answer: Buffer): string | undefined {
  if (code !== '0') return `health rpc failed: grpc status ${code ?? 'missing'}`;
  const reader = new BinaryReader(answer.subarray(5));
  let status = 0;
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 1 && wireType === WireType.Varint) status = reader.int32();
    else reader.skip(wireType);
  }
  return status === serving
    ? undefined
    : `service unhealthy (responded with "${statusNames[status] ?? status}")`;
}
