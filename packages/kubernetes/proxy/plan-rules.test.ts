import { describe, expect, it } from 'vitest';
import { planFullRules, planRules } from './plan-rules.ts';
import { emptyState, type ProxyState, type ServicePort } from './proxy-state.ts';

function portOf(overrides: Partial<ServicePort> = {}): ServicePort {
  return {
    name: 'default/web:80',
    id: 'abc',
    protocol: 'tcp',
    addresses: ['10.96.0.20 . tcp . 80'],
    nodePorts: ['tcp . 30080'],
    endpoints: ['10.244.0.2 . 8080', '10.244.0.3 . 8080'],
    affinityS: 0,
    keepsClientAddress: false,
    ...overrides,
  };
}

function stateOf(...ports: readonly ServicePort[]): ProxyState {
  return {
    ports: new Map(ports.map((port) => [port.name, port])),
    clusterAddresses: new Set(ports.map(() => '10.96.0.20')),
  };
}

function lines(text: string): string[] {
  return text.split('\n').filter((line) => line !== '');
}

describe('planRules', () => {
  it('writes a new port: chain, rules, elements', () => {
    expect(lines(planRules('hn', emptyState, stateOf(portOf())))).toEqual([
      'add chain ip hn-proxy service-abc',
      'flush chain ip hn-proxy service-abc',
      'add rule ip hn-proxy service-abc meta mark set meta mark | 0x00004000',
      'add rule ip hn-proxy service-abc meta l4proto tcp dnat ip to numgen random mod 2 map { 0 : 10.244.0.2 . 8080, 1 : 10.244.0.3 . 8080 }',
      'add element ip hn-proxy services { 10.96.0.20 . tcp . 80 : goto service-abc }',
      'add element ip hn-proxy node-ports { tcp . 30080 : goto service-abc }',
      'add element ip hn-proxy cluster-addresses { 10.96.0.20 }',
    ]);
  });

  it('does nothing for the same state', () => {
    expect(planRules('hn', stateOf(portOf()), stateOf(portOf()))).toBe('');
  });

  it('replaces only the rules when endpoints change', () => {
    const next = stateOf(portOf({ endpoints: ['10.244.0.2 . 8080'] }));
    expect(lines(planRules('hn', stateOf(portOf()), next))).toEqual([
      'add chain ip hn-proxy service-abc',
      'flush chain ip hn-proxy service-abc',
      'add rule ip hn-proxy service-abc meta mark set meta mark | 0x00004000',
      'add rule ip hn-proxy service-abc meta l4proto tcp dnat ip to numgen random mod 1 map { 0 : 10.244.0.2 . 8080 }',
    ]);
  });

  it('moves a port that lost its endpoints to the refused', () => {
    const next = stateOf(portOf({ endpoints: [] }));
    expect(lines(planRules('hn', stateOf(portOf()), next))).toEqual([
      'delete element ip hn-proxy services { 10.96.0.20 . tcp . 80 }',
      'delete element ip hn-proxy node-ports { tcp . 30080 }',
      'add chain ip hn-proxy service-abc',
      'flush chain ip hn-proxy service-abc',
      'add rule ip hn-proxy service-abc meta mark set meta mark | 0x00004000',
      'add element ip hn-proxy services-without-endpoints { 10.96.0.20 . tcp . 80 : goto refuse }',
      'add element ip hn-proxy node-ports-without-endpoints { tcp . 30080 : goto refuse }',
    ]);
  });

  it('takes away a port that is gone, its chain last', () => {
    expect(lines(planRules('hn', stateOf(portOf()), emptyState))).toEqual([
      'delete element ip hn-proxy services { 10.96.0.20 . tcp . 80 }',
      'delete element ip hn-proxy node-ports { tcp . 30080 }',
      'flush chain ip hn-proxy service-abc',
      'delete chain ip hn-proxy service-abc',
      'delete element ip hn-proxy cluster-addresses { 10.96.0.20 }',
    ]);
  });

  it('keeps clients with their endpoint when asked to, and keeps their address', () => {
    const sticky = portOf({ affinityS: 60, endpoints: ['10.244.0.2 . 8080'], keepsClientAddress: true });
    const written = lines(planRules('hn', emptyState, stateOf(sticky)));
    expect(written).toContain(
      'add set ip hn-proxy sticky-abc-10.244.0.2.8080 { type ipv4_addr; flags dynamic,timeout; timeout 60s; size 65535; }',
    );
    expect(written).toContain(
      'add rule ip hn-proxy service-abc ip saddr @sticky-abc-10.244.0.2.8080 goto sticky-abc-10.244.0.2.8080',
    );
    expect(written.some((line) => line.includes('meta mark'))).toBe(false);
    const gone = lines(planRules('hn', stateOf(sticky), emptyState));
    expect(gone.indexOf('delete set ip hn-proxy sticky-abc-10.244.0.2.8080')).toBeGreaterThan(
      gone.indexOf('flush chain ip hn-proxy service-abc'),
    );
  });

  it('grows with the change, not with what is there', () => {
    const many = Array.from({ length: 500 }, (_none, index) =>
      portOf({
        name: `default/s${index}:80`,
        id: `id${index}`,
        addresses: [`10.97.${index >> 8}.${index & 255} . tcp . 80`],
        nodePorts: [],
      }),
    );
    const next = [...many.slice(1), portOf({ ...many[0], endpoints: ['10.244.0.7 . 80'] })];
    expect(lines(planRules('hn', stateOf(...many), stateOf(...next))).length).toBeLessThan(6);
  });

  it('replaces the whole table at the start', () => {
    const full = planFullRules('hn', stateOf(portOf()));
    expect(lines(full).slice(0, 3)).toEqual([
      'add table ip hn-proxy',
      'delete table ip hn-proxy',
      'table ip hn-proxy {',
    ]);
    expect(full).toContain('add element ip hn-proxy services { 10.96.0.20 . tcp . 80 : goto service-abc }');
  });
});
