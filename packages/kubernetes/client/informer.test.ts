import { describe, expect, test } from 'vitest';
import type { ServerHttp2Stream } from 'node:http2';
import { waitFor } from '@hypernetes/foundation/lifecycle';
import { createInformer, createKubeClient, resources, type Pod } from './index.ts';
import { Http2Fixture, type FixtureRequest } from './http2-server.fixture.ts';

const pod = (name: string, version: string, node = 'n1', uid = `uid-${name}`): Pod => ({
  metadata: { name, namespace: 'ns', uid, resourceVersion: version },
  spec: { nodeName: node, containers: [] },
});

class PodServer {
  items: Pod[] = [];
  version = '10';
  readonly lists: FixtureRequest[] = [];
  readonly watches: { from: string | null; stream: ServerHttp2Stream }[] = [];

  answer(request: FixtureRequest): { body: unknown } | undefined {
    if (request.query.get('watch') === null) {
      this.lists.push(request);
      return { body: { metadata: { resourceVersion: this.version }, items: this.items } };
    }
    request.stream.respond({ ':status': 200 });
    request.stream.write('');
    this.watches.push({ from: request.query.get('resourceVersion'), stream: request.stream });
    return undefined;
  }

  send(type: string, object: unknown): void {
    this.watches.at(-1)?.stream.write(`${JSON.stringify({ type, object })}\n`);
  }
}

function start(server: Http2Fixture) {
  const client = createKubeClient({ server: server.url });
  const informer = createInformer<Pod>(client, resources.pods, {
    indexes: { node: (found) => (found.spec?.nodeName === undefined ? [] : [found.spec.nodeName]) },
  });
  const changes: string[] = [];
  informer.onChange(({ key, old, current }) =>
    changes.push(
      `${key} ${old?.metadata.resourceVersion ?? '-'} ${current?.metadata.resourceVersion ?? '-'}`,
    ),
  );
  return { client, informer, changes };
}

const until = (what: string, probe: () => boolean): Promise<true> =>
  waitFor(what, { timeoutMs: 3_000, intervalMs: 2 }, () => probe() || undefined);

describe('informer', () => {
  test('lists, watches, indexes', async () => {
    const pods = new PodServer();
    pods.items = [pod('a', '1'), pod('b', '2', 'n2')];
    await using server = await Http2Fixture.start((request) => pods.answer(request));
    const { client, informer, changes } = start(server);
    await using _client = client;
    await using _informer = informer;
    await informer.start();
    expect(changes).toEqual(['ns/a - 1', 'ns/b - 2']);
    await until('watch', () => pods.watches.length === 1);
    expect(pods.watches[0]?.from).toBe('10');
    pods.send('MODIFIED', pod('a', '11', 'n2'));
    pods.send('DELETED', pod('b', '12'));
    pods.send('ADDED', pod('c', '13'));
    await until('events', () => changes.length === 5);
    expect(changes.slice(2)).toEqual(['ns/a 1 11', 'ns/b 2 -', 'ns/c - 13']);
    expect(informer.byIndex('node', 'n2').map((found) => found.metadata.name)).toEqual(['a']);
    expect(informer.byIndex('node', 'n1').map((found) => found.metadata.name)).toEqual(['c']);
    const late: string[] = [];
    informer.onChange(({ key }) => late.push(key));
    expect(late.sort()).toEqual(['ns/a', 'ns/c']);
  });

  test('after a cut it watches on from the last version, bookmarks included', async () => {
    const pods = new PodServer();
    await using server = await Http2Fixture.start((request) => pods.answer(request));
    const { client, informer } = start(server);
    await using _client = client;
    await using _informer = informer;
    await informer.start();
    await until('watch', () => pods.watches.length === 1);
    pods.send('ADDED', pod('a', '11'));
    pods.send('BOOKMARK', { metadata: { name: '', resourceVersion: '40' } });
    await until('event', () => informer.list().length === 1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    server.cut();
    await until('second watch', () => pods.watches.length === 2);
    expect(pods.watches[1]?.from).toBe('40');
    expect(pods.lists).toHaveLength(1);
  });

  test('Expired: lists again and tells what it missed, a deletion and a re-creation too', async () => {
    const pods = new PodServer();
    pods.items = [pod('a', '1'), pod('b', '2'), pod('c', '3')];
    await using server = await Http2Fixture.start((request) => pods.answer(request));
    const { client, informer, changes } = start(server);
    await using _client = client;
    await using _informer = informer;
    await informer.start();
    await until('watch', () => pods.watches.length === 1);
    changes.length = 0;
    pods.items = [pod('b', '21', 'n1', 'another'), pod('c', '3')];
    pods.version = '30';
    pods.send('ERROR', { kind: 'Status', code: 410, reason: 'Expired', message: 'too old' });
    await until('second watch', () => pods.watches.length === 2);
    expect(pods.watches[1]?.from).toBe('30');
    expect(changes).toEqual(['ns/a 1 -', 'ns/b 2 -', 'ns/b - 21']);
  });

  test('a page after a page; start waits for a server that comes late', async () => {
    const probe = await Http2Fixture.start(() => undefined);
    const { port } = probe;
    await probe[Symbol.asyncDispose]();
    await using client = createKubeClient({ server: `http://127.0.0.1:${port}` });
    await using informer = createInformer<Pod>(client, resources.pods);
    const started = informer.start();
    await new Promise((resolve) => setTimeout(resolve, 50));
    await using _server = await Http2Fixture.start(
      ({ query, stream }) => {
        if (query.get('watch') !== null) {
          stream.respond({ ':status': 200 });
          return undefined;
        }
        const second = query.get('continue') === 'more';
        const metadata = second ? { resourceVersion: '5' } : { resourceVersion: '5', continue: 'more' };
        return { body: { metadata, items: [pod(second ? 'b' : 'a', '1')] } };
      },
      { port },
    );
    await started;
    expect(informer.list().map((found) => found.metadata.name)).toEqual(['a', 'b']);
  });
});
