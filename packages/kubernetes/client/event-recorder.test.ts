import { expect, test } from 'vitest';
import { createEventRecorder, createKubeClient, type Event, type Pod } from './index.ts';
import { Http2Fixture } from './http2-server.fixture.ts';

const pod: Pod = { apiVersion: 'v1', kind: 'Pod', metadata: { name: 'a', namespace: 'ns', uid: 'u' } };

test('equal events count up, others are made, a storm is cut off', async () => {
  await using server = await Http2Fixture.start(({ body }) => ({ body }));
  await using client = createKubeClient({ server: server.url });
  {
    await using recorder = createEventRecorder({ client, component: 'test', host: 'h' });
    for (let i = 0; i < 3; i++) recorder.event(pod, 'Warning', 'Failed', 'again');
    recorder.event(pod, 'Normal', 'Pulled', 'done', 'spec.containers{c}');
    for (let i = 0; i < 100; i++) recorder.event(pod, 'Normal', 'Storm', `message ${i}`);
  }
  const made = server.requests.filter(({ method }) => method === 'POST').map(({ body }) => body as Event);
  const counted = server.requests.filter(({ method }) => method === 'PATCH').map(({ body }) => body as Event);
  expect(made[0]).toMatchObject({
    type: 'Warning',
    reason: 'Failed',
    count: 1,
    involvedObject: { kind: 'Pod', name: 'a', namespace: 'ns', uid: 'u' },
    source: { component: 'test', host: 'h' },
  });
  expect(made[1]).toMatchObject({ reason: 'Pulled', involvedObject: { fieldPath: 'spec.containers{c}' } });
  expect(counted.map(({ count }) => count)).toEqual([2, 3]);
  expect(made.length + counted.length).toBe(25);
});
