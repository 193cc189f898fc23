import { describe, expect, test } from 'vitest';
import { isPlatformError, type PlatformError } from '@hypernetes/foundation/errors';
import { createKubeClient, resources, type Pod } from './index.ts';
import { Http2Fixture } from './http2-server.fixture.ts';

const pod = (name: string, resourceVersion = '1'): Pod => ({
  metadata: { name, namespace: 'ns', resourceVersion },
});
const event = (type: string, object: unknown): string => `${JSON.stringify({ type, object })}\n`;

async function failure(work: Promise<unknown>): Promise<PlatformError> {
  try {
    await work;
  } catch (error) {
    if (isPlatformError(error)) return error;
    throw error;
  }
  throw new Error('did not fail');
}

describe('calls', () => {
  test('verbs become paths, bodies and content types', async () => {
    await using server = await Http2Fixture.start(() => ({ body: pod('a') }));
    await using client = createKubeClient({ server: server.url, token: 'secret', userAgent: 'test' });
    await client.get(resources.pods, { namespace: 'ns', name: 'a' });
    await client.create(resources.pods, pod('a'));
    await client.create(resources.pods, { ...pod('a'), target: {} } as Pod, 'binding');
    await client.update(resources.pods, pod('a'), 'status');
    await client.patch(resources.pods, { namespace: 'ns', name: 'a' }, 'strategic', { x: 1 });
    await client.delete(resources.pods, { namespace: 'ns', name: 'a' }, { uid: 'u', gracePeriodSeconds: 0 });
    await client.get(resources.deployments, { namespace: 'ns', name: 'd' });
    await client.get(resources.nodes, { name: 'n' });
    expect(server.requests.map(({ method, path }) => `${method} ${path}`)).toEqual([
      'GET /api/v1/namespaces/ns/pods/a',
      'POST /api/v1/namespaces/ns/pods',
      'POST /api/v1/namespaces/ns/pods/a/binding',
      'PUT /api/v1/namespaces/ns/pods/a/status',
      'PATCH /api/v1/namespaces/ns/pods/a',
      'DELETE /api/v1/namespaces/ns/pods/a',
      'GET /apis/apps/v1/namespaces/ns/deployments/d',
      'GET /api/v1/nodes/n',
    ]);
    expect(server.requests[0]?.headers['authorization']).toBe('Bearer secret');
    expect(server.requests[1]?.body).toMatchObject({ apiVersion: 'v1', kind: 'Pod' });
    expect(server.requests[4]?.headers['content-type']).toBe('application/strategic-merge-patch+json');
    expect(server.requests[5]?.body).toMatchObject({ preconditions: { uid: 'u' }, gracePeriodSeconds: 0 });
    expect(server.sessionsTotal).toBe(1);
  });

  test.each([
    [404, 'NotFound', 'NotFound', false],
    [409, 'AlreadyExists', 'AlreadyExists', false],
    [409, 'Conflict', 'Conflict', true],
    [410, 'Expired', 'Expired', false],
    [422, 'Invalid', 'Invalid', false],
    [403, 'Forbidden', 'Forbidden', false],
    [429, 'TooManyRequests', 'Exhausted', true],
    [500, 'InternalError', 'Internal', false],
    [503, '', 'Unavailable', true],
  ])('Status %i %s becomes %s', async (code, said, reason, retryable) => {
    const status = { kind: 'Status', reason: said, code, message: 'because', details: { name: 'a' } };
    await using server = await Http2Fixture.start(() => ({ status: code, body: status }));
    await using client = createKubeClient({ server: server.url });
    const error = await failure(client.get(resources.pods, { namespace: 'ns', name: 'a' }));
    expect(error).toMatchObject({ reason, retryable, details: { status, httpStatus: code } });
    expect(error.message).toContain('because');
  });

  test('no server: Unavailable; a silent server: DeadlineExceeded', async () => {
    await using client = createKubeClient({ server: 'http://127.0.0.1:1' });
    expect(await failure(client.get(resources.nodes, { name: 'n' }))).toMatchObject({
      reason: 'Unavailable',
    });
    await using server = await Http2Fixture.start(() => undefined);
    await using patient = createKubeClient({ server: server.url, timeoutMs: 50 });
    expect(await failure(patient.get(resources.nodes, { name: 'n' }))).toMatchObject({
      reason: 'DeadlineExceeded',
    });
  });

  test('a cut connection is made again; a read goes through, a write says Unavailable', async () => {
    let cutNext = true;
    await using server = await Http2Fixture.start((request) => {
      if (!cutNext) return { body: pod('a') };
      cutNext = false;
      request.stream.session?.destroy();
      return undefined;
    });
    await using client = createKubeClient({ server: server.url });
    await client.get(resources.pods, { namespace: 'ns', name: 'a' });
    expect(server.sessionsTotal).toBe(2);
    cutNext = true;
    expect(await failure(client.create(resources.pods, pod('a')))).toMatchObject({ reason: 'Unavailable' });
    await client.create(resources.pods, pod('a'));
  });
});

describe('watch', () => {
  test('events split anywhere, many watches over one connection', async () => {
    await using server = await Http2Fixture.start(({ stream }) => {
      stream.respond({ ':status': 200 });
      const bytes = Buffer.from(event('ADDED', pod('ü')) + event('BOOKMARK', pod('', '7')));
      const middle = bytes.indexOf('ü') + 1;
      stream.write(bytes.subarray(0, middle));
      setTimeout(() => stream.end(bytes.subarray(middle)), 5);
      return undefined;
    });
    await using client = createKubeClient({ server: server.url });
    const watchOnce = async (): Promise<string[]> => {
      const seen: string[] = [];
      const events = client.watch(resources.pods, { resourceVersion: '1' }, new AbortController().signal);
      for await (const { type, object } of events) seen.push(`${type} ${object.metadata.name}`);
      return seen;
    };
    const all = await Promise.all(Array.from({ length: 50 }, watchOnce));
    expect(new Set(all.map((seen) => seen.join()))).toEqual(new Set(['ADDED ü,BOOKMARK ']));
    expect(server.sessionsTotal).toBe(1);
    expect(server.requests[0]?.query.get('allowWatchBookmarks')).toBe('true');
  });

  test('a server with few streams gets further connections instead of a standstill', async () => {
    await using server = await Http2Fixture.start(
      ({ stream, query }) => {
        if (query.get('watch') === null) return { body: pod('a') };
        stream.respond({ ':status': 200 });
        stream.write(event('BOOKMARK', pod('a')));
        return undefined;
      },
      { maxConcurrentStreams: 4 },
    );
    await using client = createKubeClient({ server: server.url });
    const abort = new AbortController();
    const watches = Array.from({ length: 6 }, () =>
      client.watch(resources.pods, { resourceVersion: '1' }, abort.signal)[Symbol.asyncIterator](),
    );
    for (const watch of watches) expect((await watch.next()).done).toBe(false);
    await client.get(resources.pods, { namespace: 'ns', name: 'a' });
    expect(server.sessionsTotal).toBe(2);
    abort.abort();
    for (const watch of watches) expect((await watch.next()).done).toBe(true);
  });

  test.each([
    [
      'an error event',
      event('ERROR', { kind: 'Status', code: 410, reason: 'Expired', message: 'old' }),
      'Expired',
    ],
    ['something else', 'hello\n', 'Internal'],
    ['an unknown type', event('NEW', {}), 'Internal'],
  ])('%s ends it with an error', async (_what, text, reason) => {
    await using server = await Http2Fixture.start(({ stream }) => {
      stream.respond({ ':status': 200 });
      stream.end(text);
      return undefined;
    });
    await using client = createKubeClient({ server: server.url });
    const events = client.watch(resources.pods, { resourceVersion: '1' }, new AbortController().signal);
    const error = await failure(events[Symbol.asyncIterator]().next());
    expect(error.reason).toBe(reason);
  });

  test('a lost connection ends it with Unavailable', async () => {
    await using server = await Http2Fixture.start(({ stream }) => {
      stream.respond({ ':status': 200 });
      stream.write(event('ADDED', pod('a')));
      return undefined;
    });
    await using client = createKubeClient({ server: server.url });
    const events = client.watch(resources.pods, { resourceVersion: '1' }, new AbortController().signal);
    const watch = events[Symbol.asyncIterator]();
    await watch.next();
    server.cut();
    expect(await failure(watch.next())).toMatchObject({ reason: 'Unavailable' });
  });
});
