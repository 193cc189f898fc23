import { setTimeout as delay } from 'node:timers/promises';
import { PlatformError } from '../errors/index.ts';

/** Resolves after the time, rejects with Canceled when the signal fires. The timer does not keep the process alive by itself. */
export async function sleep(durationMs: number, signal?: AbortSignal): Promise<void> {
  try {
    await delay(durationMs, undefined, signal === undefined ? {} : { signal });
  } catch (cause) {
    throw new PlatformError('Canceled', 'wait canceled', { cause });
  }
}

/** Exponential backoff with full jitter in the upper half: attempt 0 waits around baseMs, never more than maxMs. */
export function backoffDelayMs(attempt: number, baseMs: number, maxMs: number): number {
  const ceiling = Math.min(maxMs, baseMs * 2 ** Math.min(attempt, 30));
  return ceiling / 2 + Math.random() * (ceiling / 2);
}

/** Runs the work with a signal that fires at the deadline (or with the outer signal); late work is a DeadlineExceeded error. */
export async function withDeadline<T>(
  what: string,
  timeoutMs: number,
  work: (signal: AbortSignal) => Promise<T>,
  outer?: AbortSignal,
): Promise<T> {
  if (outer?.aborted === true) throw new PlatformError('Canceled', `${what}: canceled`);
  const end = new AbortController();
  let fail: (error: PlatformError) => void = () => undefined;
  const ended = new Promise<never>((_resolve, reject) => {
    fail = (error) => {
      reject(error);
      end.abort();
    };
  });
  const timeout = setTimeout(
    () => fail(new PlatformError('DeadlineExceeded', `${what}: not done after ${timeoutMs} ms`)),
    timeoutMs,
  );
  const onAbort = (): void => fail(new PlatformError('Canceled', `${what}: canceled`));
  outer?.addEventListener('abort', onAbort);
  try {
    return await Promise.race([work(end.signal), ended]);
  } finally {
    clearTimeout(timeout);
    // The outer signal may live as long as the process: nothing of this call stays on it.
    outer?.removeEventListener('abort', onAbort);
  }
}

/** Polls until the probe answers something else than undefined or false; at the deadline the error quotes the last state. */
export async function waitFor<T>(
  what: string,
  options: { readonly timeoutMs: number; readonly intervalMs?: number; readonly signal?: AbortSignal },
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  describe?: () => unknown,
): Promise<T> {
  const end = Date.now() + options.timeoutMs;
  let lastError: unknown;
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined && value !== false) return value;
      lastError = undefined;
    } catch (error) {
      lastError = error;
    }
    if (Date.now() >= end) {
      const state = describe === undefined ? '' : `; last state: ${JSON.stringify(describe())}`;
      const because = lastError instanceof Error ? `; last error: ${lastError.message}` : '';
      throw new PlatformError(
        'DeadlineExceeded',
        `${what}: not after ${options.timeoutMs} ms${because}${state}`,
        {
          cause: lastError,
        },
      );
    }
    await sleep(options.intervalMs ?? 100, options.signal);
  }
}

/** Tries again while the error says it is retryable, with backoff, at most `attempts` times. */
export async function retry<T>(
  options: {
    readonly attempts: number;
    readonly baseMs?: number;
    readonly maxMs?: number;
    readonly signal?: AbortSignal;
  },
  work: (attempt: number) => Promise<T>,
): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await work(attempt);
    } catch (error) {
      const again = error instanceof PlatformError && error.retryable && attempt + 1 < options.attempts;
      if (!again) throw error;
      await sleep(backoffDelayMs(attempt, options.baseMs ?? 50, options.maxMs ?? 5_000), options.signal);
    }
  }
}
