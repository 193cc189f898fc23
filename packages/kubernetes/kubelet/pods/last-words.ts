import { open } from 'node:fs/promises';
import { criAnnotations } from '../runtime/labels.ts';
import type { RuntimeContainer } from '../runtime/pod-runtime.ts';

const messageBytesMax = 4_096;
const logBytesMax = 2_048;
const logLinesMax = 80;

/**
 * The termination message of an exited container: what it left in its termination log, or (policy FallbackToLogsOnError, and it failed)
 * the end of its log. Empty when there is neither.
 */
export async function readLastWords(exited: RuntimeContainer, terminationLog: string): Promise<string> {
  const left = await readEnd(terminationLog, messageBytesMax, 'start');
  if (left !== '') return left;
  if (exited.message !== '') return exited.message;
  const policy = exited.annotations[criAnnotations.terminationMessagePolicy];
  if (policy !== 'FallbackToLogsOnError' || exited.exitCode === 0) return '';
  // Lines in the log carry a time, a stream and a tag that the message has not: read more than is shown.
  const lines = (await readEnd(exited.logPath, logBytesMax * 4, 'end')).split('\n');
  return lines
    .slice(-logLinesMax - 1)
    .map((line) => line.replace(/^\S+ (stdout|stderr) \S+ /, ''))
    .join('\n')
    .slice(-logBytesMax);
}

async function readEnd(path: string, bytesMax: number, side: 'start' | 'end'): Promise<string> {
  let file;
  try {
    file = await open(path, 'r');
  } catch {
    return '';
  }
  try {
    const { size } = await file.stat();
    const length = Math.min(size, bytesMax);
    const position = side === 'start' ? 0 : size - length;
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, position);
    return buffer.subarray(0, bytesRead).toString('utf8');
  } finally {
    await file.close();
  }
}
