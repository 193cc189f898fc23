import type { Logger } from '@hypernetes/foundation/logging';
import type { Hypervisor } from '../hypervisor/index.ts';
import type { ImageStore } from '../image-store/image-store.ts';
import type { PodInfrastructure } from './infrastructure.ts';
import type { SandboxFolders } from './records.ts';
import type { SandboxEvent } from './sandbox-service.ts';
import type { ServicePortals } from './service-portal.ts';

/** What all sandboxes of the service share. */
export interface SandboxContext {
  readonly hypervisor: Hypervisor;
  readonly infrastructure: PodInfrastructure;
  readonly images: ImageStore;
  readonly folders: SandboxFolders;
  readonly portals: ServicePortals;
  readonly log: Logger;
  readonly nodeName: string;
  readonly instancePrefix: string;
  readonly monitorUidBase: number;
  /** Parent of the machines' run folders. */
  readonly machineRunDir: string;
  readonly directVolumesDir: string;
  readonly emit: (kind: SandboxEvent['kind'], sandboxId: string, containerId: string) => void;
}
