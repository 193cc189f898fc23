import { describe, expect, it } from 'vitest';
import type { EndpointSlice, Namespace, Service } from '../client/index.ts';
import { compileState } from './proxy-state.ts';

function serviceOf(name: string, spec: NonNullable<Service['spec']>, namespace = 'default'): Service {
  return { metadata: { name, namespace }, spec };
}

function sliceOf(service: string, endpoints: EndpointSlice['endpoints'], name = ''): EndpointSlice {
  return {
    metadata: {
      name: `${service}-1`,
      namespace: 'default',
      labels: { 'kubernetes.io/service-name': service },
    },
    addressType: 'IPv4',
    endpoints,
    ports: [{ name, port: 8080, protocol: 'TCP' }],
  };
}

const web = serviceOf('web', { clusterIP: '10.96.0.20', ports: [{ port: 80 }] });

describe('compileState', () => {
  it('joins a Service with the ready endpoints of its slices', () => {
    const slices = [
      sliceOf('web', [
        { addresses: ['10.244.0.3'], conditions: { ready: true } },
        { addresses: ['10.244.0.2'] },
        { addresses: ['10.244.0.4'], conditions: { ready: false } },
      ]),
      sliceOf('other', [{ addresses: ['10.244.0.9'] }]),
    ];
    const { ports, clusterAddresses } = compileState([web], slices, []);
    const port = ports.get('default/web:80');
    expect(port?.addresses).toEqual(['10.96.0.20 . tcp . 80']);
    expect(port?.endpoints).toEqual(['10.244.0.2 . 8080', '10.244.0.3 . 8080']);
    expect([...clusterAddresses]).toEqual(['10.96.0.20']);
  });

  it('falls back to endpoints that end but still serve', () => {
    const ending = { ready: false, serving: true, terminating: true };
    const state = compileState(
      [web],
      [sliceOf('web', [{ addresses: ['10.244.0.2'], conditions: ending }])],
      [],
    );
    expect(state.ports.get('default/web:80')?.endpoints).toEqual(['10.244.0.2 . 8080']);
  });

  it('leaves out namespaces with a Network, headless and named-elsewhere Services', () => {
    const namespaces: Namespace[] = [{ metadata: { name: 'tenant' }, spec: { network: 'net1' } }];
    const services = [
      serviceOf('a', { clusterIP: '10.96.0.21', ports: [{ port: 80 }] }, 'tenant'),
      serviceOf('b', { clusterIP: 'None', ports: [{ port: 80 }] }),
      serviceOf('c', { type: 'ExternalName', externalName: 'example.org', ports: [{ port: 80 }] }),
      serviceOf('d', { clusterIP: '10.96.0.300', ports: [{ port: 80 }] }),
    ];
    expect(compileState(services, [], namespaces).ports.size).toBe(0);
  });

  it('knows node ports, external and load balancer addresses, and gives a contested one to the first', () => {
    const first = serviceOf('a', {
      clusterIP: '10.96.0.21',
      externalIPs: ['172.30.0.10'],
      ports: [{ port: 80, nodePort: 30080 }],
      sessionAffinity: 'ClientIP',
    });
    const second: Service = {
      ...serviceOf('b', {
        clusterIP: '10.96.0.22',
        externalIPs: ['172.30.0.10'],
        externalTrafficPolicy: 'Local',
        ports: [{ name: 'dns', port: 80, protocol: 'TCP' }],
      }),
      status: { loadBalancer: { ingress: [{ ip: '172.30.0.11' }] } },
    };
    const { ports } = compileState([second, first], [], [{ metadata: { name: 'default' } }]);
    expect(ports.get('default/a:80')).toMatchObject({
      addresses: ['10.96.0.21 . tcp . 80', '172.30.0.10 . tcp . 80'],
      nodePorts: ['tcp . 30080'],
      affinityS: 10_800,
      keepsClientAddress: false,
    });
    expect(ports.get('default/b:dns')).toMatchObject({
      addresses: ['10.96.0.22 . tcp . 80', '172.30.0.11 . tcp . 80'],
      keepsClientAddress: true,
    });
  });

  it("gives a tenant's Service no address outside the Service range, and nobody another Service's", () => {
    const tenants: Namespace = {
      metadata: { name: 'a-tenant', annotations: { 'hypernetes.io/tenant-id': 't1' } },
    };
    const ports = [{ port: 443 }];
    const kubernetes = serviceOf('kubernetes', { clusterIP: '10.96.0.1', ports });
    const thief: Service = {
      ...serviceOf('a', { clusterIP: '10.96.9.9', externalIPs: ['8.8.8.8', '10.96.0.1'], ports }, 'a-tenant'),
      status: { loadBalancer: { ingress: [{ ip: '8.8.4.4' }] } },
    };
    const careless = serviceOf('a', { clusterIP: '10.96.9.8', externalIPs: ['10.96.0.1'], ports });
    const unknown = serviceOf('x', { clusterIP: '10.96.9.7', externalIPs: ['9.9.9.9'], ports }, 'unseen');
    const state = compileState(
      [kubernetes, thief, careless, unknown],
      [],
      [tenants, { metadata: { name: 'default' } }],
    );
    const addressesOf = (name: string) => state.ports.get(name)?.addresses;
    expect(addressesOf('a-tenant/a:443')).toEqual(['10.96.9.9 . tcp . 443']);
    expect(addressesOf('default/a:443')).toEqual(['10.96.9.8 . tcp . 443']);
    expect(addressesOf('default/kubernetes:443')).toEqual(['10.96.0.1 . tcp . 443']);
    expect(addressesOf('unseen/x:443')).toEqual(['10.96.9.7 . tcp . 443']);
  });
});
