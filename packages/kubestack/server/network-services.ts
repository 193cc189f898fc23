import { handleUnary } from '@hypernetes/foundation/grpc';
import { createLogger } from '@hypernetes/foundation/logging';
import {
  Network_State,
  type EnsureNetworkRequest,
  type Network as NetworkMessage,
  type NetworksServer,
  type Port as PortMessage,
  type PortsServer,
  type SetupPodRequest,
  type Subnet as SubnetMessage,
} from '@hypernetes/proto/kubestack';
import {
  defaultNetworkUid,
  type IdentityProvider,
  type Network,
  type NetworkProvider,
  type NetworkSpec,
  type Port,
  type PortSpec,
  type SubnetSpec,
} from '../provider-api/index.ts';
import {
  checkCount,
  checkText,
  checkUserId,
  optionalIdentifier,
  requireIdentifier,
  toPodReference,
} from './validation.ts';

const log = createLogger('kubestack:server');
const subnetsMax = 64;
const entriesMax = 64;

const states = {
  Active: Network_State.ACTIVE,
  Pending: Network_State.PENDING,
  Failed: Network_State.FAILED,
} as const;

function parseSubnet(subnet: SubnetMessage): SubnetSpec {
  checkCount('subnet.dns_servers', subnet.dnsServers, entriesMax);
  checkCount('subnet.host_routes', subnet.hostRoutes, entriesMax);
  return {
    name: checkText('subnet.name', subnet.name),
    cidr: checkText('subnet.cidr', subnet.cidr),
    gateway: checkText('subnet.gateway', subnet.gateway),
    dnsServers: subnet.dnsServers.map((server) => checkText('subnet.dns_servers', server)),
    hostRoutes: subnet.hostRoutes.map((route) => ({
      destination: checkText('subnet.host_routes.destination', route.destination),
      nextHop: checkText('subnet.host_routes.next_hop', route.nextHop),
    })),
  };
}

function parseNetwork(request: EnsureNetworkRequest): NetworkSpec {
  return {
    uid: requireIdentifier('uid', request.uid),
    name: checkText('name', request.name),
    tenantId: optionalIdentifier('tenant_id', request.tenantId),
    subnets: checkCount('subnets', request.subnets, subnetsMax).map(parseSubnet),
    providerNetworkId: optionalIdentifier('provider_network_id', request.providerNetworkId),
  };
}

function formatSubnet(subnet: SubnetSpec): SubnetMessage {
  return {
    ...subnet,
    dnsServers: [...subnet.dnsServers],
    hostRoutes: subnet.hostRoutes.map((route) => ({ ...route })),
  };
}

function formatNetwork(network: Network): NetworkMessage {
  return {
    ...network,
    subnets: network.subnets.map((status) => ({ ...status, subnet: formatSubnet(status.subnet) })),
    state: states[network.state],
  };
}

function parsePort(request: SetupPodRequest): PortSpec {
  return {
    sandboxId: requireIdentifier('sandbox_id', request.sandboxId),
    networkUid: optionalIdentifier('network_uid', request.networkUid) || defaultNetworkUid,
    pod: toPodReference(request.pod),
    tapOwnerUid: checkUserId('tap_owner_uid', request.tapOwnerUid),
    fixedAddress: checkText('fixed_address', request.fixedAddress),
    nodeName: checkText('node_name', request.nodeName),
  };
}

function formatPort(port: Port): PortMessage {
  return {
    ...port,
    addresses: [...port.addresses],
    dnsServers: [...port.dnsServers],
    routes: port.routes.map((route) => ({ ...route })),
    tap: { ...port.tap },
    pod: port.pod,
  };
}

/** kubestack.v1 Networks. A tenant that does not exist is NotFound before the provider is asked; `onDeleted` forgets what others keep. */
export function networksService(
  networks: NetworkProvider,
  identity: IdentityProvider,
  onDeleted: (uid: string) => void,
): NetworksServer {
  return {
    ensureNetwork: handleUnary(log, 'EnsureNetwork', async (request) => {
      const spec = parseNetwork(request);
      if (spec.tenantId !== '') await identity.getTenant(spec.tenantId);
      return formatNetwork(await networks.ensureNetwork(spec));
    }),
    getNetwork: handleUnary(log, 'GetNetwork', async ({ uid }) =>
      formatNetwork(await networks.getNetwork(requireIdentifier('uid', uid))),
    ),
    listNetworks: handleUnary(log, 'ListNetworks', async () => ({
      networks: (await networks.listNetworks()).map(formatNetwork),
    })),
    deleteNetwork: handleUnary(log, 'DeleteNetwork', async ({ uid }) => {
      await networks.deleteNetwork(requireIdentifier('uid', uid));
      onDeleted(uid);
      return {};
    }),
  };
}

/** kubestack.v1 Ports. */
export function portsService(networks: NetworkProvider): PortsServer {
  return {
    setupPod: handleUnary(log, 'SetupPod', async (request) =>
      formatPort(await networks.setupPort(parsePort(request))),
    ),
    getPort: handleUnary(log, 'GetPort', async ({ sandboxId }) =>
      formatPort(await networks.getPort(requireIdentifier('sandbox_id', sandboxId))),
    ),
    listPorts: handleUnary(log, 'ListPorts', async ({ networkUid }) => ({
      ports: (await networks.listPorts(optionalIdentifier('network_uid', networkUid) || undefined)).map(
        formatPort,
      ),
    })),
    teardownPod: handleUnary(log, 'TeardownPod', async ({ sandboxId }) => {
      await networks.teardownPort(requireIdentifier('sandbox_id', sandboxId));
      return {};
    }),
  };
}
