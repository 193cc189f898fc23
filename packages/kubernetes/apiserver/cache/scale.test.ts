import { connect, type ClientHttp2Session, type ClientHttp2Stream } from 'node:http2';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { TestServer } from '../api-server.fixture.ts';

let server: TestServer;
let session: ClientHttp2Session;
beforeAll(async () => {
  server = await TestServer.start();
  await server.createNamespace('s');
  const { admin, caPem } = server.pki;
  session = connect(server.url, { ca: caPem, key: admin.keyPem, cert: admin.certificatePem });
});
afterAll(async () => {
  session.destroy();
  await server[Symbol.asyncDispose]();
});

const maps = '/api/v1/namespaces/s/configmaps';

function open(path: string): ClientHttp2Stream {
  return session.request({ ':path': path });
}

async function status(stream: ClientHttp2Stream): Promise<number> {
  return await new Promise((resolve) =>
    stream.on('response', (headers) => resolve(Number(headers[':status']))),
  );
}

describe('many watches over one HTTP/2 connection', () => {
  test('each sees every change of its own, quickly', async () => {
    const from = (await server.get(maps)).body.metadata.resourceVersion as string;
    const count = 300;
    const streams = Array.from({ length: count }, (_each, index) =>
      open(`${maps}?watch=1&resourceVersion=${from}&fieldSelector=metadata.name%3Dm${index % 3}`),
    );
    const texts = streams.map(() => '');
    for (const [index, stream] of streams.entries()) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        texts[index] = (texts[index] ?? '') + text;
      });
    }
    expect(await Promise.all(streams.map(status))).toEqual(streams.map(() => 200));
    const started = Date.now();
    for (const name of ['m0', 'm1', 'm2']) await server.create(maps, { metadata: { name } });
    while (texts.some((text) => !text.endsWith('\n')) && Date.now() - started < 5_000) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const seen = texts.map((text) => text.split('\n').filter((line) => line !== ''));
    expect(seen.map((lines) => lines.length)).toEqual(streams.map(() => 1));
    const names = seen.map(
      ([line]) =>
        (JSON.parse(line ?? '{}') as { object: { metadata: { name: string } } }).object.metadata.name,
    );
    expect(names).toEqual(streams.map((_each, index) => `m${index % 3}`));
    for (const stream of streams) stream.close();
  });

  test('one that does not read is cut, the others go on', async () => {
    const from = (await server.get(maps)).body.metadata.resourceVersion as string;
    const slow = open(`${maps}?watch=1&resourceVersion=${from}`);
    slow.on('error', () => undefined);
    await status(slow);
    const cut = new Promise<void>((resolve) => slow.on('close', resolve));
    const data = { big: 'x'.repeat(900_000) };
    await server.create(maps, { metadata: { name: 'large' }, data });
    for (let round = 0; round < 90 && !slow.closed; round++) {
      await server.patch(`${maps}/large`, 'merge-patch+json', { data: { round: String(round) } });
    }
    await cut;
    await using other = await server.watch(`${maps}?watch=1&fieldSelector=metadata.name%3Dm0`);
    expect((await other.next()).type).toBe('ADDED');
  });
});
