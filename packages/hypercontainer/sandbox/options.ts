import type { Logger } from '@hypernetes/foundation/logging';
import type { ImageStore } from '../image-store/image-store.ts';
import type { PodInfrastructure } from './infrastructure.ts';

/** Everything a sandbox service needs to know and use; paths are absolute. */
export interface SandboxServiceOptions {
  /** State lives in `<dataDir>/hyperd`. The folder must be reachable (x) by the unprivileged virtual machine monitors. */
  readonly dataDir: string;
  /** Sockets (`<runDir>/vm`) and the direct volume registry (`<runDir>/direct-volumes`); the path must be short (unix sockets). */
  readonly runDir: string;
  /** Guest artifacts are read from `<cacheDir>/guest/current.json` (guest/README.md); the accelerator's proof is remembered in it. */
  readonly cacheDir: string;
  /** Prefix of every kernel object and machine name of this installation (docs/architecture.md "Places"): `hn`. */
  readonly instancePrefix: string;
  readonly nodeName: string;
  readonly images: ImageStore;
  /** The kubestack.v1 side: connectInfrastructure(socket), or a test's own. */
  readonly infrastructure: PodInfrastructure;
  readonly accelerator: 'auto' | 'kvm' | 'tcg';
  /** Size of a pod's ephemeral disk (sparse); default 10 GiB. */
  readonly scratchSizeBytes?: number;
  /** First user id of the monitors: each machine runs as base + slot; default 200000. */
  readonly monitorUidBase?: number;
  /** Templates (memory images) are kept here; default `/dev/shm/<instancePrefix>-templates`. */
  readonly templateDir?: string;
  readonly log?: Logger;
}
