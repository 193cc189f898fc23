import { describe, expect, it } from 'vitest';
import { hostRuleset } from './host-ruleset.ts';
import { instanceNames, portNames } from './names.ts';
import { addPortRules, namespaceRuleset, removePortRules } from './namespace-ruleset.ts';
import {
  nothingObserved,
  planHost,
  planNamespace,
  planPort,
  planPortRemoval,
  type DesiredNetwork,
} from './network-plan.ts';

const port = { tap: 't0a1b2c3d', mac: '02:11:22:33:44:55', address: '192.168.0.2', ownerUid: 20_001 };

const desired: DesiredNetwork = {
  uid: 'net-1',
  namespace: 'hn-8f434346',
  uplink: 'hnu8f434346',
  hostAddress: '169.254.64.0',
  namespaceAddress: '169.254.64.1',
  mtu: 1_500,
  gateways: ['192.168.0.1/24'],
  hostRoutes: ['172.30.0.10/32'],
  externalAddresses: ['172.30.0.10'],
  ports: [port],
};

const input = {
  subnetCidrs: ['192.168.0.0/24'],
  gateways: ['192.168.0.1'],
  hostAddress: '169.254.64.0',
  hostReachable: false,
  ports: [port],
  loadBalancers: [
    {
      addresses: ['172.30.0.10'],
      sourceRanges: ['10.0.0.0/8'],
      listeners: [
        {
          name: 'web',
          protocol: 'TCP' as const,
          port: 80,
          members: [{ address: '192.168.0.2', port: 8_080 }],
        },
        {
          name: 'dns',
          protocol: 'UDP' as const,
          port: 53,
          members: [
            { address: '192.168.0.2', port: 53 },
            { address: '192.168.0.3', port: 53 },
          ],
        },
        { name: 'none', protocol: 'UDP' as const, port: 54, members: [] },
      ],
    },
  ],
};

describe('rulesets', () => {
  it("of a tenant network's namespace", async () => {
    await expect(namespaceRuleset(input)).toMatchFileSnapshot('testdata/namespace-tenant.nft');
  });
  it("of the default network's namespace", async () => {
    const text = namespaceRuleset({ ...input, hostReachable: true, ports: [], loadBalancers: [] });
    await expect(text).toMatchFileSnapshot('testdata/namespace-default.nft');
    expect(text).not.toContain('masquerade');
  });
  it('of one port', () => {
    expect(addPortRules(port)).toBe(
      'add element bridge kubestack macs { "t0a1b2c3d" . 02:11:22:33:44:55 }\n' +
        'add element bridge kubestack addresses { "t0a1b2c3d" . 02:11:22:33:44:55 . 192.168.0.2 }\n',
    );
    expect(removePortRules(port)).toContain('delete element bridge kubestack macs');
  });
  it('of the host', async () => {
    const text = hostRuleset({
      table: 'hn-kubestack',
      uplinkPattern: 'hnu*',
      hostServicePorts: [6_443],
      networks: [
        {
          uplink: 'hnu8f434346',
          hostAddress: '169.254.64.0',
          namespaceAddress: '169.254.64.1',
          externalAddresses: ['172.30.0.10'],
          podCidrs: [],
          reachesHostServices: false,
        },
        {
          uplink: 'hnu37a8eec1',
          hostAddress: '169.254.64.2',
          namespaceAddress: '169.254.64.3',
          externalAddresses: [],
          podCidrs: ['10.244.0.0/16'],
          reachesHostServices: true,
        },
      ],
    });
    await expect(text).toMatchFileSnapshot('testdata/host.nft');
  });
});

describe('plans', () => {
  it('make a network out of nothing', async () => {
    const text = `${planHost(desired, nothingObserved).join('\n')}\n---\n${planNamespace(desired, nothingObserved, 'table ip kubestack {}\n')}`;
    await expect(text).toMatchFileSnapshot('testdata/plan-new.txt');
  });
  it('repair what is missing and remove what is too much', async () => {
    const observed = {
      namespaceExists: true,
      hostLinks: new Map([['hnu8f434346', ['169.254.64.0/31']]]),
      hostRoutes: ['172.30.0.99/32'],
      links: new Map([
        ['lo', ['127.0.0.1/8', '172.30.0.99/32']],
        ['br0', ['192.168.0.1/24', '192.168.9.1/24']],
        ['uplink', ['169.254.64.1/31']],
        ['tdeadbeef', []],
      ]),
    };
    const text = `${planHost(desired, observed).join('\n')}\n---\n${planNamespace(desired, observed, 'table ip kubestack {}\n')}`;
    await expect(text).toMatchFileSnapshot('testdata/plan-repair.txt');
  });
  it('make an uplink anew when one end is gone', () => {
    const observed = { ...nothingObserved, namespaceExists: true, hostLinks: new Map([['hnu8f434346', []]]) };
    expect(planHost(desired, observed).slice(0, 2)).toEqual([
      'link delete dev hnu8f434346',
      'link add name hnu8f434346 type veth peer name uplink netns hn-8f434346',
    ]);
  });
  it('plug and unplug a port', async () => {
    const text = `${planPort(port, 1_500, false, addPortRules(port))}---\n${planPortRemoval(port, removePortRules(port))}\n`;
    await expect(text).toMatchFileSnapshot('testdata/plan-port.txt');
    expect(planPort(port, 1_500, true, '')).not.toContain('tuntap');
  });
});

describe('names', () => {
  it('fit the kernel, and tell instances apart', () => {
    const hn = instanceNames('hn');
    const other = instanceNames('hn12ab');
    expect(other.uplinkOf('net-1')).toHaveLength(15);
    expect(hn.namespaceOf('default')).toBe('hn-default');
    expect(hn.isNamespace(other.namespaceOf('net-1'))).toBe(false);
    expect(hn.isUplink(other.uplinkOf('net-1'))).toBe(false);
    expect(hn.isUplink(hn.uplinkOf('net-1'))).toBe(true);
    expect(() => instanceNames('toolong')).toThrow(/instance prefix/);
    expect(() => instanceNames('hn;x')).toThrow(/instance prefix/);
  });
  it('of ports are stable, and differ when asked again', () => {
    expect(portNames('n', 's', 0)).toEqual(portNames('n', 's', 0));
    expect(portNames('n', 's', 1)).not.toEqual(portNames('n', 's', 0));
    expect(portNames('n', 's', 0).mac).toMatch(/^02(:[0-9a-f]{2}){5}$/);
    expect(portNames('n', 's', 0).tap).toMatch(/^t[0-9a-f]{8}$/);
  });
});
