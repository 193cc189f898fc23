import { describe, expect, it } from 'vitest';
import { Broadcast } from './broadcast.ts';

describe('Broadcast', () => {
  it('sends what is, then what comes', async () => {
    const broadcast = new Broadcast<string>();
    const abort = new AbortController();
    const reader = broadcast.subscribe(abort.signal, () => ['present']);
    expect((await reader.next()).value).toBe('present');
    const waiting = reader.next();
    broadcast.send('a');
    broadcast.send('b');
    expect((await waiting).value).toBe('a');
    expect((await reader.next()).value).toBe('b');
    abort.abort();
    expect((await reader.next()).done).toBe(true);
  });

  it('sends what is again to a reader that fell behind, and keeps no more than a bound', async () => {
    const broadcast = new Broadcast<number>();
    let present = 0;
    const reader = broadcast.subscribe(new AbortController().signal, () => [present]);
    expect((await reader.next()).value).toBe(0);
    const waiting = reader.next();
    for (present = 1; present < 2_000; present++) broadcast.send(present);
    // The one it waited for may come first; then the present, once, and nothing of the thousands between.
    const first = (await waiting).value;
    expect([1, 2_000]).toContain(first);
    const after = reader.next();
    broadcast.send(-1);
    expect([2_000, -1]).toContain((await after).value);
  });

  it('ends its readers when closed, also one that waits', async () => {
    const broadcast = new Broadcast<number>();
    const reader = broadcast.subscribe(new AbortController().signal, () => [0]);
    await reader.next();
    const waiting = reader.next();
    broadcast.close();
    expect((await waiting).done).toBe(true);
  });
});
