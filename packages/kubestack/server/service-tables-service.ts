import { isIP } from 'node:net';
import { PlatformError } from '@hypernetes/foundation/errors';
import { handleServerStream, handleUnary } from '@hypernetes/foundation/grpc';
import { createLogger } from '@hypernetes/foundation/logging';
import type {
  ApplyServicesRequest,
  NamedEndpoint,
  Service,
  ServiceKey,
  ServicePort,
  ServiceTablesServer,
  ServiceTarget,
} from '@hypernetes/proto/kubestack';
import { defaultNetworkUid, type NetworkProvider } from '../provider-api/index.ts';
import type { ServiceChange, ServiceTables } from '../service-tables/index.ts';
import { checkCount, checkPort, optionalIdentifier, toPodReference } from './validation.ts';

const log = createLogger('kubestack:server');
const servicesMax = 20_000;
const portsMax = 1_000;
const endpointsMax = 10_000;
const clusterIpsMax = 2;
const labelPattern = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/;
const dnsNamePattern =
  /^(?=.{1,253}\.?$)[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*\.?$/;
const protocols = ['TCP', 'UDP', 'SCTP'];

function refuse(field: string, why: string): never {
  throw new PlatformError('Invalid', `${field}: ${why}`);
}

function checkLabel(field: string, value: string): string {
  if (!labelPattern.test(value)) refuse(field, `"${value.slice(0, 64)}": is no DNS label`);
  return value;
}

export function checkAddress(field: string, value: string): string {
  if (isIP(value) === 0) refuse(field, `"${value.slice(0, 64)}": is no IP address`);
  return value;
}

function parseKey(key: ServiceKey | undefined): ServiceKey {
  if (key === undefined) return refuse('service.key', 'is missing');
  return {
    namespace: checkLabel('service.key.namespace', key.namespace),
    name: checkLabel('service.key.name', key.name),
  };
}

export function parseTarget(target: ServiceTarget): ServiceTarget {
  return {
    address: checkAddress('target.address', target.address),
    port: checkPort('target.port', target.port),
  };
}

function parseServicePort(port: ServicePort): ServicePort {
  if (!protocols.includes(port.protocol))
    refuse('port.protocol', `"${port.protocol.slice(0, 16)}": is none of ${protocols.join(', ')}`);
  return {
    name: port.name === '' ? '' : checkLabel('port.name', port.name),
    protocol: port.protocol,
    port: checkPort('port.port', port.port),
    targets: checkCount('port.targets', port.targets, endpointsMax).map(parseTarget),
  };
}

function parseEndpoint(endpoint: NamedEndpoint): NamedEndpoint {
  return {
    address: checkAddress('endpoint.address', endpoint.address),
    hostname: endpoint.hostname === '' ? '' : checkLabel('endpoint.hostname', endpoint.hostname),
    ready: endpoint.ready,
    pod: toPodReference(endpoint.pod),
  };
}

function parseService(service: Service): Service {
  if (service.externalName !== '' && !dnsNamePattern.test(service.externalName)) {
    refuse('service.external_name', 'is no DNS name');
  }
  return {
    key: parseKey(service.key),
    clusterIps: checkCount('service.cluster_ips', service.clusterIps, clusterIpsMax).map((address) =>
      checkAddress('service.cluster_ips', address),
    ),
    ports: checkCount('service.ports', service.ports, portsMax).map(parseServicePort),
    affinityTimeoutS: service.affinityTimeoutS,
    externalName: service.externalName,
    publishNotReady: service.publishNotReady,
    endpoints: checkCount('service.endpoints', service.endpoints, endpointsMax).map(parseEndpoint),
  };
}

function parseChange(request: ApplyServicesRequest): ServiceChange {
  return {
    networkUid: optionalIdentifier('network_uid', request.networkUid) || defaultNetworkUid,
    full: request.full,
    upserts: checkCount('upserts', request.upserts, servicesMax).map(parseService),
    removals: checkCount('removals', request.removals, servicesMax).map(parseKey),
  };
}

/** kubestack.v1 ServiceTables. The network must exist: NotFound otherwise. */
export function serviceTablesService(tables: ServiceTables, networks: NetworkProvider): ServiceTablesServer {
  return {
    applyServices: handleUnary(log, 'ApplyServices', async (request) => {
      const change = parseChange(request);
      await networks.getNetwork(change.networkUid);
      return { generation: BigInt(tables.apply(change)) };
    }),
    watchServices: handleServerStream(log, 'WatchServices', async function* (request, signal) {
      const networkUid = optionalIdentifier('network_uid', request.networkUid) || defaultNetworkUid;
      await networks.getNetwork(networkUid);
      yield* tables.watch(networkUid, signal);
    }),
  };
}
