import {
  handleServerStream,
  handleUnary,
  startGrpcServer,
  type RunningGrpcServer,
} from '@hypernetes/foundation/grpc';
import { createLogger } from '@hypernetes/foundation/logging';
import {
  PortsService,
  ServiceTablesService,
  VolumesService,
  type AttachVolumeRequest,
  type DetachVolumeRequest,
  type SetupPodRequest,
  type TeardownPodRequest,
  type WatchServicesRequest,
} from '@hypernetes/proto/kubestack';
import type { PodInfrastructure } from '../../sandbox/index.ts';

const log = createLogger('test:kubestack');

/** Serves a test's infrastructure as kubestack.v1, as far as hyperd asks for it. */
export async function serveKubestack(
  socketPath: string,
  infrastructure: PodInfrastructure,
): Promise<RunningGrpcServer> {
  return await startGrpcServer(socketPath, (server) => {
    server.addService(PortsService, {
      setupPod: handleUnary(
        log,
        'SetupPod',
        async (request: SetupPodRequest) => await infrastructure.setupPod(request),
      ),
      teardownPod: handleUnary(log, 'TeardownPod', async (request: TeardownPodRequest) => {
        await infrastructure.teardownPod(request.sandboxId);
        return {};
      }),
    });
    server.addService(VolumesService, {
      attachVolume: handleUnary(
        log,
        'AttachVolume',
        async (request: AttachVolumeRequest) => await infrastructure.attachVolume(request),
      ),
      detachVolume: handleUnary(log, 'DetachVolume', async (request: DetachVolumeRequest) => {
        await infrastructure.detachVolume(request.volumeId, request.sandboxId);
        return {};
      }),
    });
    server.addService(ServiceTablesService, {
      watchServices: handleServerStream(log, 'WatchServices', (request: WatchServicesRequest, signal) =>
        infrastructure.watchServices(request.networkUid, signal),
      ),
    });
  });
}
