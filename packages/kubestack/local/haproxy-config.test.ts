import { describe, expect, it } from 'vitest';
import { parseServersState, planServers, proxyConfig, type ProxyConfigInput } from './haproxy-config.ts';

const web = { name: 'web', protocol: 'TCP' as const, port: 80 };
const one = { address: '192.168.0.2', port: 8_080 };
const two = { address: '192.168.0.3', port: 8_080 };

function input(members: readonly { address: string; port: number }[]): ProxyConfigInput {
  return {
    socketPath: '/run/hypernetes/lb-8f434346.sock',
    loadBalancers: [
      {
        uid: 'service-1',
        name: 'ns1/web',
        addresses: ['172.30.0.10', '172.30.0.11'],
        listeners: [
          { ...web, members },
          { name: 'dns', protocol: 'UDP', port: 53, members },
        ],
        affinityTimeoutS: 10_800,
        sourceRanges: ['10.0.0.0/8', '192.168.0.0/16'],
      },
    ],
  };
}

describe('proxyConfig', () => {
  it('is this', async () => {
    await expect(proxyConfig(input([one, two])).text).toMatchFileSnapshot('testdata/haproxy.cfg');
  });
  it('has another structure only when more than members change', () => {
    const before = proxyConfig(input([one]));
    expect(proxyConfig(input([one, two])).structure).toBe(before.structure);
    expect(proxyConfig(input([])).structure).toBe(before.structure);
    const balancer = input([one]).loadBalancers[0];
    if (balancer === undefined) throw new Error('no balancer');
    const changed = { ...input([one]), loadBalancers: [{ ...balancer, affinityTimeoutS: 0 }] };
    expect(proxyConfig(changed).structure).not.toBe(before.structure);
  });
  it('is empty when there is nothing for TCP', () => {
    expect(proxyConfig({ socketPath: '/s', loadBalancers: [] }).backends.size).toBe(0);
  });
});

describe('planServers', () => {
  const wanted = proxyConfig(input([one])).backends;
  const backend = [...wanted.keys()][0] ?? '';
  const running = (name: string, inMaintenance = false) => ({ backend, name, inMaintenance });

  it.each([
    ['nothing when all is there', [running('m_192-168-0-2_8080')], []],
    [
      'an addition',
      [],
      [
        `add server ${backend}/m_192-168-0-2_8080 192.168.0.2:8080 check inter 2s fall 2 rise 1`,
        `enable health ${backend}/m_192-168-0-2_8080`,
        `set server ${backend}/m_192-168-0-2_8080 state ready`,
      ],
    ],
    [
      'a return from maintenance',
      [running('m_192-168-0-2_8080', true)],
      [`set server ${backend}/m_192-168-0-2_8080 state ready`],
    ],
    [
      'a removal',
      [running('m_192-168-0-2_8080'), running('m_192-168-0-9_80')],
      [`set server ${backend}/m_192-168-0-9_80 state maint`, `del server ${backend}/m_192-168-0-9_80`],
    ],
    [
      'a removal put off before',
      [running('m_192-168-0-2_8080'), running('m_192-168-0-9_80', true)],
      [`del server ${backend}/m_192-168-0-9_80`],
    ],
  ])('plans %s', (_what, state, commands) => {
    expect(planServers(wanted, state).map((step) => step.command)).toEqual(commands);
  });
});

describe('parseServersState', () => {
  it('finds the columns by name', () => {
    const text =
      '1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight\n' +
      '3 b_1_80 1 m_a 192.168.0.2 2 0 1\n3 b_1_80 2 m_b 192.168.0.3 0 1 1\n\n';
    expect(parseServersState(text)).toEqual([
      { backend: 'b_1_80', name: 'm_a', inMaintenance: false },
      { backend: 'b_1_80', name: 'm_b', inMaintenance: true },
    ]);
  });
});
