import { describe, expect, it } from 'vitest';
import { Service } from '@hypernetes/proto/kubestack';
import { planChanges, updateMessages, virtualServicesOf } from './service-portal.ts';

const service = (name: string, address: string, targets: string[]) =>
  Service.fromPartial({
    key: { namespace: 'ns', name },
    clusterIps: [address],
    ports: [
      { protocol: 'TCP', port: 80, targets: targets.map((target) => ({ address: target, port: 8080 })) },
    ],
  });

const table = (...services: Service[]) =>
  new Map(services.flatMap(virtualServicesOf).map((entry) => [entry.key!.address, entry]));

const generations = () => {
  let last = 10n;
  return () => ++last;
};

describe('service portal', () => {
  it('makes a virtual service per cluster address and port; headless ones make none', () => {
    expect(virtualServicesOf(service('a', '10.96.0.1', ['10.0.0.1']))).toEqual([
      {
        key: { address: '10.96.0.1', port: 80, protocol: 6 },
        servers: [{ address: '10.0.0.1', port: 8080, weight: 1 }],
        affinityTimeoutS: 0,
      },
    ]);
    expect(virtualServicesOf(Service.fromPartial({ ports: [{ protocol: 'TCP', port: 80 }] }))).toEqual([]);
  });

  it('plans only what differs', () => {
    const before = table(service('a', '10.96.0.1', ['x']), service('b', '10.96.0.2', ['y']));
    const after = table(service('a', '10.96.0.1', ['x']), service('c', '10.96.0.3', []));
    expect([...planChanges(before, after).keys()].sort()).toEqual(['10.96.0.2', '10.96.0.3']);
    expect(planChanges(after, after).size).toBe(0);
  });

  it('sends a whole table first, deltas on its generation after', () => {
    const changes = planChanges(new Map(), table(service('a', '10.96.0.1', ['x']))).values();
    const [whole] = updateMessages(changes, undefined, generations());
    expect(whole).toMatchObject({ full: true, baseGeneration: 0n, generation: 11n });
    const [delta] = updateMessages([], 11n, generations());
    expect(delta).toMatchObject({ full: false, baseGeneration: 11n });
  });

  it('cuts a table that is too large for one frame', () => {
    const many = Array.from({ length: 300 }, (_, index) =>
      service(
        `s${index}`,
        `10.96.1.${index}`,
        Array.from({ length: 40 }, (_entry, at) => `10.0.0.${at}`),
      ),
    );
    const messages = updateMessages(
      planChanges(new Map(), table(...many)).values(),
      undefined,
      generations(),
    );
    expect(messages.length).toBeGreaterThan(1);
    expect(messages.map((message) => message.full)).toEqual([true, ...messages.slice(1).map(() => false)]);
    expect(messages[1]!.baseGeneration).toBe(messages[0]!.generation);
    expect(messages.flatMap((message) => message.upserts)).toHaveLength(300);
  });
});
