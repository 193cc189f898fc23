import { getEventListeners } from 'node:events';
import { describe, expect, it } from 'vitest';
import { PlatformError } from '../errors/index.ts';
import {
  backoffDelayMs,
  DisposalStack,
  KeyedMutex,
  retry,
  sleep,
  waitFor,
  withDeadline,
  WorkQueue,
} from './index.ts';

describe('withDeadline', () => {
  it('answers what the work answers', async () => {
    expect(await withDeadline('work', 1000, async () => Promise.resolve(5))).toBe(5);
  });

  it('fires the signal and fails at the deadline', async () => {
    let fired = false;
    const late = withDeadline('late work', 10, async (signal) => {
      signal.addEventListener('abort', () => (fired = true));
      await sleep(1000);
    });
    await expect(late).rejects.toMatchObject({
      reason: 'DeadlineExceeded',
      message: 'late work: not done after 10 ms',
    });
    expect(fired).toBe(true);
  });

  it('leaves nothing on the outer signal', async () => {
    const outer = new AbortController();
    for (let round = 0; round < 20; round++)
      await withDeadline('work', 1000, async () => Promise.resolve(), outer.signal);
    expect(getEventListeners(outer.signal, 'abort')).toHaveLength(0);
  });

  it('is canceled by the outer signal, also by one that has fired before', async () => {
    const outer = new AbortController();
    let inner: AbortSignal | undefined;
    const work = withDeadline(
      'work',
      1000,
      async (signal) => {
        inner = signal;
        await new Promise(() => undefined);
      },
      outer.signal,
    );
    outer.abort();
    await expect(work).rejects.toMatchObject({ reason: 'Canceled' });
    expect(inner?.aborted).toBe(true);
    let begun = false;
    const second = withDeadline('work', 1000, () => Promise.resolve((begun = true)), outer.signal);
    await expect(second).rejects.toMatchObject({ reason: 'Canceled' });
    expect(begun).toBe(false);
  });
});

describe('waitFor', () => {
  it('quotes the last error and state at the deadline', async () => {
    const never = waitFor(
      'a thing',
      { timeoutMs: 20, intervalMs: 5 },
      () => Promise.reject(new Error('still cold')),
      () => ({ degrees: 3 }),
    );
    await expect(never).rejects.toThrow(
      'a thing: not after 20 ms; last error: still cold; last state: {"degrees":3}',
    );
  });
});

describe('retry', () => {
  it('tries again only while the error is retryable', async () => {
    let attempts = 0;
    const work = async (): Promise<string> => {
      attempts++;
      if (attempts < 3) throw new PlatformError('Unavailable', 'not yet');
      return Promise.resolve('done');
    };
    expect(await retry({ attempts: 5, baseMs: 1 }, work)).toBe('done');
    expect(attempts).toBe(3);
    attempts = 0;
    await expect(
      retry({ attempts: 5, baseMs: 1 }, () => {
        attempts++;
        throw new PlatformError('Invalid', 'never');
      }),
    ).rejects.toThrow('never');
    expect(attempts).toBe(1);
  });

  it('backs off within its bounds', () => {
    for (let attempt = 0; attempt < 40; attempt++) {
      const delay = backoffDelayMs(attempt, 50, 5_000);
      expect(delay).toBeGreaterThanOrEqual(25);
      expect(delay).toBeLessThanOrEqual(5_000);
    }
  });
});

describe('KeyedMutex', () => {
  it('runs one at a time per key, in order, also after a failure', async () => {
    const mutex = new KeyedMutex();
    const order: string[] = [];
    const work = (name: string, ms: number) => async (): Promise<void> => {
      order.push(`${name} begins`);
      await sleep(ms);
      order.push(`${name} ends`);
    };
    const failing = mutex.run('a', () => Promise.reject(new Error('x')));
    await Promise.all([
      expect(failing).rejects.toThrow('x'),
      mutex.run('a', work('first', 10)),
      mutex.run('a', work('second', 0)),
    ]);
    expect(order).toEqual(['first begins', 'first ends', 'second begins', 'second ends']);
  });
});

describe('WorkQueue', () => {
  it('never works on a key twice at once and works again on what changed meanwhile', async () => {
    let running = 0;
    let most = 0;
    let runs = 0;
    await using queue = new WorkQueue(async () => {
      running++;
      most = Math.max(most, running);
      runs++;
      await sleep(5);
      running--;
      return undefined;
    });
    queue.add('a');
    queue.add('a');
    await sleep(1);
    queue.add('a');
    queue.add('a');
    await waitFor('the queue to be idle', { timeoutMs: 1000, intervalMs: 2 }, () => queue.idle);
    expect(most).toBe(1);
    expect(runs).toBe(2);
  });

  it('tries again after a throw', async () => {
    let runs = 0;
    await using queue = new WorkQueue(
      () => {
        runs++;
        return runs < 3 ? Promise.reject(new Error('again')) : Promise.resolve(undefined);
      },
      { baseDelayMs: 1 },
    );
    queue.add('a');
    await waitFor('three runs', { timeoutMs: 1000, intervalMs: 2 }, () => runs === 3);
  });
});

describe('DisposalStack', () => {
  it('disposes in reverse order, all of them, and reports what failed', async () => {
    const order: number[] = [];
    const stack = new DisposalStack();
    stack.defer(() => void order.push(1));
    stack.defer(() => {
      order.push(2);
      throw new Error('second');
    });
    stack.defer(() => void order.push(3));
    await expect(stack[Symbol.asyncDispose]()).rejects.toThrow('disposal failed');
    expect(order).toEqual([3, 2, 1]);
  });
});
