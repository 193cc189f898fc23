import { startGrpcServer, type RunningGrpcServer } from '@hypernetes/foundation/grpc';
import type { Logger } from '@hypernetes/foundation/logging';
import { ImageServiceService, RuntimeServiceService } from '@hypernetes/proto/cri';
import { createImageService } from './image-service.ts';
import { createRuntimeService, type RuntimeServiceOptions } from './runtime-service.ts';
import type { ImageStore } from '../image-store/index.ts';

export interface CriServerOptions extends RuntimeServiceOptions {
  readonly socketPath: string;
  readonly images: ImageStore;
  readonly log: Logger;
}

/** Serves CRI v1, both services, on a unix socket that only root can open. */
export async function startCriServer(options: CriServerOptions): Promise<RunningGrpcServer> {
  return await startGrpcServer(options.socketPath, (server) => {
    server.addService(RuntimeServiceService, createRuntimeService(options));
    server.addService(ImageServiceService, createImageService(options));
  });
}
