import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestServer } from '../api-server.fixture.ts';

let server: TestServer;
beforeAll(async () => {
  server = await TestServer.start();
  await server.createNamespace('w');
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const maps = '/api/v1/namespaces/w/configmaps';

async function version(): Promise<string> {
  return (await server.get(maps)).body.metadata.resourceVersion as string;
}

const labelled = (name: string, value: string) => ({ metadata: { name, labels: { l: value } } });

describe('watch', () => {
  test('from a version: what came after it, each change once and in order', async () => {
    const from = await version();
    await server.create(maps, labelled('a', '1'));
    await using watch = await server.watch(`${maps}?watch=1&resourceVersion=${from}`);
    const added = await watch.next();
    expect(added).toMatchObject({ type: 'ADDED', object: { kind: 'ConfigMap', metadata: { name: 'a' } } });
    await server.patch(`${maps}/a`, 'merge-patch+json', { data: { x: '1' } });
    const modified = await watch.next();
    expect(modified).toMatchObject({ type: 'MODIFIED', object: { data: { x: '1' } } });
    await server.request('DELETE', `${maps}/a`);
    const deleted = await watch.next();
    expect(deleted).toMatchObject({ type: 'DELETED', object: { metadata: { name: 'a' } } });
    const versions = [added, modified, deleted].map((event) => Number(event.object.metadata.resourceVersion));
    expect(versions).toEqual([...versions].sort((left, right) => left - right));
    expect(new Set(versions).size).toBe(3);
  });

  test('without a version: what is there first', async () => {
    await server.create(maps, labelled('there', '1'));
    await using watch = await server.watch(`${maps}?watch=true&fieldSelector=metadata.name%3Dthere`);
    expect(await watch.next()).toMatchObject({ type: 'ADDED', object: { metadata: { name: 'there' } } });
    await server.request('DELETE', `${maps}/there`);
    expect((await watch.next()).type).toBe('DELETED');
  });

  test('an object that comes into the selector is added, one that leaves it is deleted', async () => {
    const from = await version();
    await using watch = await server.watch(`${maps}?watch=1&resourceVersion=${from}&labelSelector=l%3Dyes`);
    await server.create(maps, labelled('moves', 'no'));
    await server.patch(`${maps}/moves`, 'merge-patch+json', { metadata: { labels: { l: 'yes' } } });
    expect(await watch.next()).toMatchObject({
      type: 'ADDED',
      object: { metadata: { labels: { l: 'yes' } } },
    });
    const left = await server.patch(`${maps}/moves`, 'merge-patch+json', {
      metadata: { labels: { l: 'no' } },
    });
    const deleted = await watch.next();
    expect(deleted).toMatchObject({ type: 'DELETED', object: { metadata: { labels: { l: 'yes' } } } });
    expect(deleted.object.metadata.resourceVersion).toBe(left.body.metadata.resourceVersion);
    await server.request('DELETE', `${maps}/moves`);
  });

  test('of all namespaces, of one object by its path, and in the old form', async () => {
    const from = await version();
    await using all = await server.watch(`/api/v1/configmaps?watch=1&resourceVersion=${from}`);
    await using one = await server.watch(`${maps}/single?watch=1&resourceVersion=${from}`);
    await using old = await server.watch(
      `/api/v1/watch/namespaces/w/configmaps/single?resourceVersion=${from}`,
    );
    await server.create(maps, labelled('other', '1'));
    await server.create(maps, labelled('single', '1'));
    expect((await all.next()).object.metadata.name).toBe('other');
    expect((await all.next()).object.metadata.name).toBe('single');
    expect((await one.next()).object.metadata.name).toBe('single');
    expect((await old.next()).object.metadata.name).toBe('single');
  });

  test('as Table', async () => {
    const from = await version();
    const headers = { accept: 'application/json;as=Table;v=v1;g=meta.k8s.io' };
    await using watch = await server.watch(`${maps}?watch=1&resourceVersion=${from}`, { headers });
    await server.create(maps, labelled('row', '1'));
    const event = await watch.next();
    expect(event).toMatchObject({ type: 'ADDED', object: { kind: 'Table' } });
    expect(event.object.rows?.[0]?.cells.slice(0, 2)).toEqual(['row', 0]);
  });

  test('the list streamed: initial events, then the bookmark that ends them', async () => {
    const query = 'watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true';
    await using watch = await server.watch(`${maps}?${query}&labelSelector=l%3Dstream`);
    const bookmark = await watch.next();
    expect(bookmark.type).toBe('BOOKMARK');
    expect(bookmark.object.metadata.annotations).toEqual({ 'k8s.io/initial-events-end': 'true' });
    const listed = await version();
    expect(Number(bookmark.object.metadata.resourceVersion)).toBeLessThanOrEqual(Number(listed));
    const wrong = await server.get(`${maps}?watch=1&sendInitialEvents=true`);
    expect(wrong.body).toMatchObject({ code: 422, reason: 'Invalid' });
  });

  test('ends after timeoutSeconds with a last bookmark', async () => {
    const from = await version();
    const query = `watch=1&resourceVersion=${from}&timeoutSeconds=1&allowWatchBookmarks=true`;
    await using watch = await server.watch(`${maps}?${query}`);
    expect(await watch.next()).toMatchObject({ type: 'BOOKMARK', object: { kind: 'ConfigMap' } });
    await watch.ended;
  });

  test('goes on from before a restart', async () => {
    const from = await version();
    await server.create(maps, labelled('before-restart', '1'));
    await server.restart();
    await using watch = await server.watch(`${maps}?watch=1&resourceVersion=${from}`);
    expect((await watch.next()).object.metadata.name).toBe('before-restart');
  });

  test('of a namespace ends with it, and its past is not for the one that takes the name', async () => {
    const place = '/api/v1/namespaces/again';
    const secrets = `${place}/secrets`;
    const remove = async (): Promise<void> => {
      await server.request('DELETE', place);
      const finalize = { apiVersion: 'v1', kind: 'Namespace', metadata: { name: 'again' }, spec: {} };
      await server.request('PUT', `${place}/finalize`, { body: finalize });
      expect((await server.get(place)).code).toBe(404);
    };
    await server.create('/api/v1/namespaces', { metadata: { name: 'again' } });
    await server.create(secrets, { metadata: { name: 'old' } });
    const from = (await server.get(secrets)).body.metadata.resourceVersion as string;
    const page = `${secrets}?limit=1`;
    await server.create(secrets, { metadata: { name: 'old2' } });
    const token = (await server.get(page)).body.metadata.continue as string;
    await using watch = await server.watch(`${secrets}?watch=1&resourceVersion=${from}`);
    expect((await watch.next()).object.metadata.name).toBe('old2');
    for (const name of ['old', 'old2']) await server.request('DELETE', `${secrets}/${name}`);
    await remove();
    await watch.ended;
    await server.create('/api/v1/namespaces', { metadata: { name: 'again' } });
    await server.create(secrets, { metadata: { name: 'new' } });
    for (const query of [
      `watch=1&resourceVersion=${from}`,
      `resourceVersion=${from}&resourceVersionMatch=Exact`,
      `limit=1&continue=${token}`,
    ]) {
      expect((await server.get(`${secrets}?${query}`)).body).toMatchObject({ code: 410, reason: 'Expired' });
    }
    const now = (await server.get(secrets)).body;
    expect(now.items).toHaveLength(1);
    const exact = `resourceVersion=${now.metadata.resourceVersion}&resourceVersionMatch=Exact`;
    expect((await server.get(`${secrets}?${exact}`)).body.items).toHaveLength(1);
  });
});
