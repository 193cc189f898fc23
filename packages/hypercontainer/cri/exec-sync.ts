import type { Readable } from 'node:stream';
import { PlatformError, isPlatformError } from '@hypernetes/foundation/errors';
import { withDeadline } from '@hypernetes/foundation/lifecycle';
import type { SandboxService } from '../sandbox/sandbox-service.ts';

/** What is kept of each stream: the CRI runtimes' common limit. More is read, so that the command can end, and dropped. */
export const execSyncOutputBytesMax = 16 << 20;
// A command without a time limit of its own still ends.
const longestMs = 24 * 3_600_000;

async function collect(stream: Readable | null): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let kept = 0;
  if (stream === null) return Buffer.alloc(0);
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    const part = chunk.subarray(0, execSyncOutputBytesMax - kept);
    if (part.length > 0) chunks.push(part);
    kept += part.length;
  }
  return Buffer.concat(chunks);
}

/** Runs a command in a container to its end. Past its time it is killed and DeadlineExceeded says so. */
export async function execSync(
  sandboxes: SandboxService,
  request: { readonly containerId: string; readonly command: readonly string[]; readonly timeoutMs: number },
  signal: AbortSignal,
): Promise<{ stdout: Buffer; stderr: Buffer; exitCode: number }> {
  const what = `exec in container ${request.containerId.slice(0, 13)}`;
  if (request.command.length === 0) throw new PlatformError('Invalid', `${what}: the command is empty`);
  const timeoutMs = request.timeoutMs === 0 ? longestMs : request.timeoutMs;
  const started = Date.now();
  const session = await sandboxes.exec(request.containerId, {
    command: request.command,
    tty: false,
    stdin: false,
    signal,
  });
  const outcome = Promise.all([collect(session.stdout), collect(session.stderr), session.exit]);
  outcome.catch(() => undefined);
  try {
    const [stdout, stderr, exitCode] = await withDeadline(
      what,
      Math.max(1, timeoutMs - (Date.now() - started)),
      () => outcome,
      signal,
    );
    return { stdout, stderr, exitCode };
  } catch (error) {
    await session.close().catch(() => undefined);
    if (!isPlatformError(error, 'DeadlineExceeded')) throw error;
    throw new PlatformError(
      'DeadlineExceeded',
      `${what}: command timed out after ${timeoutMs / 1_000} s and was killed`,
      {
        cause: error,
      },
    );
  }
}
