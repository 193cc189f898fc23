import { describe, expect, it } from 'vitest';
import { Service } from '@hypernetes/proto/kubestack';
import { makeClusterView, resolveName } from './cluster-names.ts';

const services = [
  Service.fromPartial({
    key: { namespace: 'ns1', name: 'web' },
    clusterIps: ['10.96.0.9'],
    ports: [
      { name: 'http', protocol: 'TCP', port: 80, targets: [] },
      { name: '', protocol: 'TCP', port: 81, targets: [] },
    ],
  }),
  Service.fromPartial({
    key: { namespace: 'ns1', name: 'db' },
    ports: [
      { name: 'sql', protocol: 'TCP', port: 5_432, targets: [{ address: '192.168.0.2', port: 15_432 }] },
    ],
    endpoints: [
      { address: '192.168.0.2', hostname: 'db-0', ready: true },
      { address: '192.168.0.3', ready: true },
      { address: '192.168.0.4', hostname: 'db-2', ready: false },
    ],
  }),
  Service.fromPartial({
    key: { namespace: 'ns1', name: 'early' },
    publishNotReady: true,
    endpoints: [{ address: '192.168.0.4', hostname: 'e-0', ready: false }],
  }),
  Service.fromPartial({ key: { namespace: 'ns1', name: 'down' } }),
  Service.fromPartial({ key: { namespace: 'ns2', name: 'out' }, externalName: 'example.org.' }),
];
const view = makeClusterView(
  'cluster.local',
  {
    generation: 7,
    services: new Map(
      services.map((service) => [`${service.key?.namespace ?? ''}/${service.key?.name ?? ''}`, service]),
    ),
  },
  (address) => address.startsWith('192.168.0.') || address.startsWith('10.96.'),
);

function answers(name: string, type: string): unknown {
  const resolution = resolveName(view, name, type);
  return resolution.kind === 'records'
    ? resolution.answers.map((answer) => ('data' in answer ? answer.data : undefined))
    : resolution.kind;
}

describe('resolveName', () => {
  it.each<[string, string, unknown]>([
    ['web.ns1.svc.cluster.local', 'A', ['10.96.0.9']],
    ['WEB.ns1.SVC.cluster.Local', 'A', ['10.96.0.9']],
    ['web.ns1.svc.cluster.local', 'AAAA', 'no-data'],
    ['web.ns1.svc.cluster.local', 'MX', 'no-data'],
    ['none.ns1.svc.cluster.local', 'A', 'no-name'],
    ['web.ns2.svc.cluster.local', 'A', 'no-name'],
    ['x.web.ns1.svc.cluster.local', 'A', 'no-name'],
    [
      '_http._tcp.web.ns1.svc.cluster.local',
      'SRV',
      [{ priority: 0, weight: 100, port: 80, target: 'web.ns1.svc.cluster.local' }],
    ],
    ['_http._tcp.web.ns1.svc.cluster.local', 'A', 'no-data'],
    ['_http._udp.web.ns1.svc.cluster.local', 'SRV', 'no-name'],
    ['_x._tcp.web.ns1.svc.cluster.local', 'SRV', 'no-name'],
    ['_tcp.web.ns1.svc.cluster.local', 'SRV', 'no-data'],
    ['a._http._tcp.web.ns1.svc.cluster.local', 'SRV', 'no-name'],
    ['db.ns1.svc.cluster.local', 'A', ['192.168.0.2', '192.168.0.3']],
    ['db-0.db.ns1.svc.cluster.local', 'A', ['192.168.0.2']],
    ['192-168-0-3.db.ns1.svc.cluster.local', 'A', ['192.168.0.3']],
    ['db-2.db.ns1.svc.cluster.local', 'A', 'no-name'],
    ['e-0.early.ns1.svc.cluster.local', 'A', ['192.168.0.4']],
    [
      '_sql._tcp.db.ns1.svc.cluster.local',
      'SRV',
      [
        { priority: 0, weight: 100, port: 15_432, target: 'db-0.db.ns1.svc.cluster.local' },
        { priority: 0, weight: 100, port: 5_432, target: '192-168-0-3.db.ns1.svc.cluster.local' },
      ],
    ],
    ['down.ns1.svc.cluster.local', 'A', 'no-name'],
    ['ns1.svc.cluster.local', 'A', 'no-data'],
    ['ns9.svc.cluster.local', 'A', 'no-name'],
    ['svc.cluster.local', 'A', 'no-data'],
    ['cluster.local', 'A', 'no-data'],
    ['cluster.local', 'NS', ['ns.dns.cluster.local']],
    ['other.cluster.local', 'A', 'no-name'],
    ['dns-version.cluster.local', 'TXT', ['1.1.0']],
    ['192-168-0-7.ns1.pod.cluster.local', 'A', ['192.168.0.7']],
    ['8-8-8-8.ns1.pod.cluster.local', 'A', 'no-name'],
    ['nonsense.ns1.pod.cluster.local', 'A', 'no-name'],
    ['9.0.96.10.in-addr.arpa', 'PTR', ['web.ns1.svc.cluster.local']],
    ['2.0.168.192.in-addr.arpa', 'PTR', ['db-0.db.ns1.svc.cluster.local']],
    ['9.0.96.10.in-addr.arpa', 'A', 'no-data'],
    ['250.0.168.192.in-addr.arpa', 'PTR', 'no-name'],
    ['8.8.8.8.in-addr.arpa', 'PTR', 'forward'],
    ['example.org', 'A', 'forward'],
    ['notcluster.local', 'A', 'forward'],
    ['', 'NS', 'forward'],
  ])('%s %s', (name, type, expected) => {
    expect(answers(name, type)).toEqual(expected);
  });

  it('answers an external name with its alias', () => {
    expect(resolveName(view, 'out.ns2.svc.cluster.local', 'A')).toMatchObject({
      kind: 'alias',
      target: 'example.org',
    });
  });

  it('adds the addresses of the targets of SRV records', () => {
    expect(resolveName(view, '_http._tcp.web.ns1.svc.cluster.local', 'SRV')).toMatchObject({
      additionals: [{ type: 'A', name: 'web.ns1.svc.cluster.local', data: '10.96.0.9' }],
    });
  });

  it('answers in the case it was asked in', () => {
    expect(resolveName(view, 'Web.ns1.svc.cluster.local', 'A')).toMatchObject({
      answers: [{ name: 'Web.ns1.svc.cluster.local' }],
    });
  });
});
