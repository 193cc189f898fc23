import type { Duplex } from 'node:stream';
import { PlatformError } from '@hypernetes/foundation/errors';
import { withDeadline } from '@hypernetes/foundation/lifecycle';
import type { RemoteCommandStreams } from './remote-command.ts';
import { SpdySession, type SpdyStream } from './spdy-session.ts';
import { formatStatus } from './status.ts';

const openTimeoutMs = 30_000;
// A client that has read the status hangs up. To close before it did could lose what is still on the way to it.
const lingerMs = 10_000;

/** What a client said it wants of a command. */
export interface StreamFlags {
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly tty: boolean;
}

/** Subprotocols of remote commands over SPDY, newest first; the version decides the form of the error stream. */
export const spdyCommandProtocols: Readonly<Record<string, number>> = {
  'v5.channel.k8s.io': 5,
  'v4.channel.k8s.io': 4,
  'v3.channel.k8s.io': 3,
  'v2.channel.k8s.io': 2,
  'channel.k8s.io': 1,
};

function expectedTypes(flags: StreamFlags, version: number): ReadonlySet<string> {
  const types = ['error'];
  if (flags.stdin) types.push('stdin');
  if (flags.stdout) types.push('stdout');
  // A terminal has one output; the resize stream came with version 3.
  if (flags.stderr && !flags.tty) types.push('stderr');
  if (flags.tty && version >= 3) types.push('resize');
  return new Set(types);
}

async function end(stream: SpdyStream | undefined, last?: string): Promise<void> {
  if (stream === undefined || stream.destroyed) return;
  await new Promise<void>((resolve) => {
    stream.once('close', resolve);
    stream.end(last ?? '', () => resolve());
  });
}

async function linger(session: SpdySession): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const timeout = new Promise<void>((resolve) => (timer = setTimeout(resolve, lingerMs)));
  await Promise.race([session.closed, timeout]);
  clearTimeout(timer);
  await session[Symbol.asyncDispose]();
}

/** Takes the streams a client of exec or attach opens on a SPDY connection: one per kind, named by the header `streamtype`. */
export async function acceptSpdyCommand(
  transport: Duplex,
  flags: StreamFlags,
  version: number,
): Promise<RemoteCommandStreams> {
  const expected = expectedTypes(flags, version);
  const streams = new Map<string, SpdyStream>();
  let complete: () => void = () => undefined;
  const isComplete = new Promise<void>((resolve) => (complete = resolve));
  const session = new SpdySession(transport, {
    role: 'server',
    onStream: (stream) => {
      const type = stream.headers['streamtype'] ?? '';
      if (!expected.has(type) || streams.has(type)) {
        stream.reset();
        return;
      }
      streams.set(type, stream);
      if (streams.size === expected.size) complete();
    },
  });
  const abort = new AbortController();
  void session.closed.then(() => abort.abort());
  try {
    await withDeadline('streams of the client', openTimeoutMs, async () => {
      await Promise.race([
        isComplete,
        session.closed.then(() => {
          throw new PlatformError('Canceled', 'streaming: the client is gone');
        }),
      ]);
    });
  } catch (error) {
    await session[Symbol.asyncDispose]();
    throw error;
  }
  const [stdin, stdout, stderr, resize, error] = ['stdin', 'stdout', 'stderr', 'resize', 'error'].map(
    (type) => streams.get(type),
  );
  return {
    stdin,
    stdout,
    stderr,
    resizes: resize,
    signal: abort.signal,
    async finish(status) {
      stdin?.resume();
      await Promise.all([end(stdout), end(stderr), end(error, formatStatus(status, version))]);
      await linger(session);
    },
  };
}
