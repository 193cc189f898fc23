import { isIP } from 'node:net';
import {
  resources,
  type EndpointSlice,
  type Endpoints,
  type KubeObject,
  type Resource,
  type Service,
} from '../../client/index.ts';

export const kubernetesClusterIp = '10.96.0.1';
export const dnsClusterIp = '10.96.0.10';

/** Where pods reach the API server: an address of the host, not loopback. */
export interface AdvertisedAddress {
  readonly address: string;
  readonly port: number;
}

/** An object that has to exist; `keep` fields are also kept as they are here. */
export interface BootstrapObject {
  readonly resource: Resource;
  readonly object: KubeObject;
  readonly enforced: boolean;
}

const namespaces = ['default', 'kube-system', 'kube-public', 'kube-node-lease'];

function kubernetesService(): Service {
  return {
    metadata: {
      name: 'kubernetes',
      namespace: 'default',
      labels: { component: 'apiserver', provider: 'kubernetes' },
    },
    spec: {
      type: 'ClusterIP',
      clusterIP: kubernetesClusterIp,
      clusterIPs: [kubernetesClusterIp],
      sessionAffinity: 'None',
      ports: [{ name: 'https', protocol: 'TCP', port: 443, targetPort: 6443 }],
    },
  };
}

/** Without selector: each network's own gateway answers at this address (docs/architecture.md). */
function dnsService(): Service {
  return {
    metadata: {
      name: 'kube-dns',
      namespace: 'kube-system',
      labels: { 'k8s-app': 'kube-dns', 'kubernetes.io/name': 'CoreDNS' },
    },
    spec: {
      type: 'ClusterIP',
      clusterIP: dnsClusterIp,
      clusterIPs: [dnsClusterIp],
      sessionAffinity: 'None',
      ports: [
        { name: 'dns', protocol: 'UDP', port: 53, targetPort: 53 },
        { name: 'dns-tcp', protocol: 'TCP', port: 53, targetPort: 53 },
      ],
    },
  };
}

function kubernetesEndpoints({ address, port }: AdvertisedAddress): Endpoints {
  return {
    metadata: {
      name: 'kubernetes',
      namespace: 'default',
      labels: { 'endpointslice.kubernetes.io/skip-mirror': 'true' },
    },
    subsets: [{ addresses: [{ ip: address }], ports: [{ name: 'https', protocol: 'TCP', port }] }],
  };
}

function kubernetesSlice({ address, port }: AdvertisedAddress): EndpointSlice {
  return {
    metadata: {
      name: 'kubernetes',
      namespace: 'default',
      labels: { 'kubernetes.io/service-name': 'kubernetes' },
    },
    addressType: isIP(address) === 6 ? 'IPv6' : 'IPv4',
    endpoints: [{ addresses: [address], conditions: { ready: true } }],
    ports: [{ name: 'https', protocol: 'TCP', port }],
  };
}

/** Everything a cluster has from its first minute. Without an advertised address the API server's endpoints are left to it. */
export function bootstrapObjects(advertised: AdvertisedAddress | undefined): BootstrapObject[] {
  const made = (resource: Resource, object: KubeObject, enforced = false): BootstrapObject => ({
    resource,
    object,
    enforced,
  });
  return [
    ...namespaces.map((name) =>
      made(resources.namespaces, { metadata: { name, labels: { 'kubernetes.io/metadata.name': name } } }),
    ),
    made(resources.services, kubernetesService()),
    made(resources.services, dnsService()),
    ...(advertised === undefined
      ? []
      : [
          made(resources.endpoints, kubernetesEndpoints(advertised), true),
          made(resources.endpointSlices, kubernetesSlice(advertised), true),
        ]),
  ];
}
