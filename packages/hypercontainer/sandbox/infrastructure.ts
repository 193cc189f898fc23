import { callStream, callUnary, clientOptions, unixAddress } from '@hypernetes/foundation/grpc';
import { ChannelCredentials } from '@grpc/grpc-js';
import {
  AttachVolumeRequest,
  DetachVolumeRequest,
  PortsClient,
  ServiceTablesClient,
  SetupPodRequest,
  TeardownPodRequest,
  VolumesClient,
  WatchServicesRequest,
  type Attachment,
  type Port,
  type ServiceTableEvent,
} from '@hypernetes/proto/kubestack';

const callTimeoutMs = 30_000;

/** What a sandbox needs of kubestack.v1 (proto/kubestack/v1): ports, volumes and the service tables of networks. */
export interface PodInfrastructure extends Disposable {
  setupPod(request: Partial<SetupPodRequest>, signal?: AbortSignal): Promise<Port>;
  teardownPod(sandboxId: string): Promise<void>;
  attachVolume(request: Partial<AttachVolumeRequest>, signal?: AbortSignal): Promise<Attachment>;
  detachVolume(volumeId: string, sandboxId: string): Promise<void>;
  /** The first event is the whole table. Ends without an error when the signal fires. */
  watchServices(networkUid: string, signal: AbortSignal): AsyncIterable<ServiceTableEvent>;
}

/** Talks to kubestackd on its unix socket. Connects by itself, again after a restart of the peer; every call has a deadline. */
export function connectInfrastructure(socketPath: string): PodInfrastructure {
  const address = unixAddress(socketPath);
  const credentials = ChannelCredentials.createInsecure();
  const ports = new PortsClient(address, credentials, clientOptions);
  const volumes = new VolumesClient(address, credentials, clientOptions);
  const services = new ServiceTablesClient(address, credentials, clientOptions);
  return {
    setupPod: (request, signal) =>
      callUnary(ports.setupPod.bind(ports), SetupPodRequest.fromPartial(request), callTimeoutMs, signal),
    teardownPod: async (sandboxId) => {
      await callUnary(
        ports.teardownPod.bind(ports),
        TeardownPodRequest.fromPartial({ sandboxId }),
        callTimeoutMs,
      );
    },
    attachVolume: (request, signal) =>
      callUnary(
        volumes.attachVolume.bind(volumes),
        AttachVolumeRequest.fromPartial(request),
        callTimeoutMs,
        signal,
      ),
    detachVolume: async (volumeId, sandboxId) => {
      const request = DetachVolumeRequest.fromPartial({ volumeId, sandboxId });
      await callUnary(volumes.detachVolume.bind(volumes), request, callTimeoutMs);
    },
    watchServices: (networkUid, signal) =>
      callStream(services.watchServices(WatchServicesRequest.fromPartial({ networkUid })), signal),
    [Symbol.dispose]: () => {
      ports.close();
      volumes.close();
      services.close();
    },
  };
}
