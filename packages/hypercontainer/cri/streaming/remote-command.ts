import type { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { toPlatformError } from '@hypernetes/foundation/errors';
import type { ProcessSession } from '../../sandbox/sandbox-service.ts';
import { statusOfError, statusOfExit, type RemoteStatus } from './status.ts';

const resizeBytesMax = 4_096;
const cellsMax = 0xffff;

/** The client's ends of a remote command, whatever protocol carries them. Absent: the client did not ask for it. */
export interface RemoteCommandStreams {
  readonly stdin: Readable | undefined;
  readonly stdout: Writable | undefined;
  readonly stderr: Writable | undefined;
  /** JSON objects {"Width", "Height"}, one after the other. */
  readonly resizes: Readable | undefined;
  /** Fires when the client is gone. */
  readonly signal: AbortSignal;
  /** Tells the client how it ended and closes its streams; it has everything that was written before. */
  finish(status: RemoteStatus): Promise<void>;
}

/** Sizes out of a stream of JSON objects, however it is cut. What is no size is skipped. */
export async function* parseResizes(
  stream: AsyncIterable<Buffer>,
): AsyncGenerator<{ rows: number; columns: number }> {
  let pending = '';
  for await (const chunk of stream) {
    pending += chunk.toString('latin1');
    for (let end = pending.indexOf('}'); end !== -1; end = pending.indexOf('}')) {
      const size = parseSize(pending.slice(0, end + 1));
      pending = pending.slice(end + 1);
      if (size !== undefined) yield size;
    }
    if (pending.length > resizeBytesMax) return;
  }
}

function parseSize(text: string): { rows: number; columns: number } | undefined {
  try {
    const { Width: columns, Height: rows } = JSON.parse(text) as { Width?: unknown; Height?: unknown };
    const isCount = (value: unknown): value is number =>
      typeof value === 'number' && Number.isInteger(value) && value > 0 && value <= cellsMax;
    return isCount(columns) && isCount(rows) ? { rows, columns } : undefined;
  } catch {
    return undefined;
  }
}

async function copyInput(from: Readable, session: ProcessSession): Promise<void> {
  const { stdin } = session;
  if (stdin === null) {
    from.resume();
    return;
  }
  try {
    await pipeline(from, stdin);
  } catch {
    // Either the client is gone, which the signal tells, or the process reads no more: then the rest is thrown away.
    from.resume();
  }
}

async function copyOutput(from: Readable | null, to: Writable | undefined): Promise<void> {
  if (from === null) return;
  if (to === undefined) {
    from.resume();
    return;
  }
  // The client's stream stays open until finish: its end would tell the client that all is over.
  await pipeline(from, to, { end: false });
}

async function copyResizes(from: Readable, session: ProcessSession): Promise<void> {
  try {
    for await (const { rows, columns } of parseResizes(from as AsyncIterable<Buffer>)) {
      await session.resize(rows, columns);
    }
  } catch {
    // The client or the process is gone: the rest of the session tells.
  }
}

async function follow(session: ProcessSession, streams: RemoteCommandStreams): Promise<RemoteStatus> {
  if (streams.stdin !== undefined) void copyInput(streams.stdin, session);
  if (streams.resizes !== undefined) void copyResizes(streams.resizes, session);
  const output = Promise.all([
    copyOutput(session.stdout, streams.stdout),
    copyOutput(session.stderr, streams.stderr),
  ]);
  output.catch(() => undefined);
  const exitCode = await session.exit;
  await output;
  return statusOfExit(exitCode);
}

/** Joins a process and a client until one of them ends. A client that goes away ends an exec's process (attach: only leaves it). */
export async function runRemoteCommand(
  open: (signal: AbortSignal) => Promise<ProcessSession>,
  streams: RemoteCommandStreams,
): Promise<void> {
  let session: ProcessSession;
  try {
    session = await open(streams.signal);
  } catch (thrown) {
    await streams.finish(statusOfError(thrown));
    return;
  }
  const gone = new Promise<RemoteStatus>((resolve) => {
    const leave = (): void => resolve(statusOfError(toPlatformError(new Error('the client is gone'))));
    if (streams.signal.aborted) leave();
    streams.signal.addEventListener('abort', leave, { once: true });
  });
  const followed = follow(session, streams).catch((thrown: unknown) => statusOfError(thrown));
  const status = await Promise.race([followed, gone]);
  await session.close().catch(() => undefined);
  await streams.finish(status);
}
