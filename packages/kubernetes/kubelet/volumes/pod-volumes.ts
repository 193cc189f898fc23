import { chmod, chown, mkdir, rm, writeFile } from 'node:fs/promises';
import { join, normalize } from 'node:path';
import type {
  PersistentVolume as CorePersistentVolume,
  PersistentVolumeClaim as CoreClaim,
} from 'kubernetes-types/core/v1';
import { isPlatformError, PlatformError, toPlatformError } from '@hypernetes/foundation/errors';
import { writeFileAtomic } from '@hypernetes/foundation/files';
import { resources, type KubeClient, type Typed } from '../../client/index.ts';
import { bytesOf } from '../containers/resource-amounts.ts';
import { expandReferences } from '../containers/expansion.ts';
import type { ContainerMountPoint } from '../containers/container-config.ts';
import { allContainers, type Container, type Pod, type Volume } from '../kube-types.ts';
import { writeFilesAtomically } from './atomic-writer.ts';
import type { PodFolders } from './pod-folders.ts';
import { volumeFiles, type VolumeSources } from './volume-files.ts';

type PersistentVolume = Typed<CorePersistentVolume>;
type PersistentVolumeClaim = Typed<CoreClaim>;

interface CinderSource {
  readonly volumeID: string;
  readonly fsType?: string;
  readonly readOnly?: boolean;
}

/** A volume as it lies on the host, ready to be named in a CRI mount. */
export interface SetUpVolume {
  readonly name: string;
  readonly hostPath: string;
  readonly readOnly: boolean;
  /** For block devices: whose failure to attach the runtime reports by this identifier. */
  readonly volumeId: string | undefined;
}

export type SetUpVolumes = ReadonlyMap<string, SetUpVolume>;

/** A volume that could not be set up; the message is the text of the FailedMount event. */
export class VolumeError extends PlatformError {
  readonly volumeName: string;

  constructor(volumeName: string, cause: unknown) {
    const { reason, message } = toPlatformError(cause);
    super(reason, `MountVolume.SetUp failed for volume "${volumeName}" : ${message}`, { cause });
    this.volumeName = volumeName;
  }
}

const plugins: Readonly<Record<string, string>> = {
  configMap: 'configmap',
  secret: 'secret',
  downwardAPI: 'downward-api',
  projected: 'projected',
};

/** Makes the volumes of pods, and refreshes the files in those made of API objects. */
export class PodVolumes {
  readonly #client: KubeClient;
  readonly #folders: PodFolders;

  constructor(client: KubeClient, folders: PodFolders) {
    this.#client = client;
    this.#folders = folders;
  }

  /** Idempotent. Throws VolumeError for the first volume that cannot be had. */
  async setUp(pod: Pod, sources: VolumeSources): Promise<SetUpVolumes> {
    const used = new Set(
      allContainers(pod.spec).flatMap(({ volumeMounts }) => (volumeMounts ?? []).map(({ name }) => name)),
    );
    const result = new Map<string, SetUpVolume>();
    for (const volume of pod.spec.volumes ?? []) {
      if (!used.has(volume.name)) continue;
      try {
        result.set(volume.name, await this.#setUpOne(pod, volume, sources));
      } catch (error) {
        throw new VolumeError(volume.name, error);
      }
    }
    return result;
  }

  async #setUpOne(pod: Pod, volume: Volume, sources: VolumeSources): Promise<SetUpVolume> {
    const { uid } = pod.metadata;
    const { name } = volume;
    const files = await volumeFiles(pod, volume, sources);
    if (files !== undefined) {
      const kind = Object.keys(plugins).find((key) => key in volume) ?? '';
      const hostPath = this.#folders.volume(uid, plugins[kind] ?? '', name);
      await writeFilesAtomically(hostPath, files, pod.spec.securityContext?.fsGroup);
      return { name, hostPath, readOnly: true, volumeId: undefined };
    }
    if (volume.emptyDir !== undefined) return await this.#emptyDir(pod, name, volume.emptyDir);
    if (volume.cinder !== undefined) return await this.#cinder(pod, name, volume.cinder);
    if (volume.persistentVolumeClaim !== undefined) {
      const { claimName, readOnly } = volume.persistentVolumeClaim;
      return await this.#claim(pod, name, claimName, readOnly === true);
    }
    const kind = Object.keys(volume).find((key) => key !== 'name') ?? 'unknown';
    throw new PlatformError(
      'Invalid',
      `volumes of kind ${kind} are not available: a pod is a virtual machine and shares no files with its host`,
    );
  }

  async #emptyDir(
    pod: Pod,
    name: string,
    source: { readonly medium?: string; readonly sizeLimit?: string },
  ): Promise<SetUpVolume> {
    const hostPath = this.#folders.volume(pod.metadata.uid, 'empty-dir', name);
    await mkdir(hostPath, { recursive: true });
    // The runtime gives the folder in the guest the group this one has.
    await chown(
      hostPath,
      process.getuid?.() ?? 0,
      pod.spec.securityContext?.fsGroup ?? process.getgid?.() ?? 0,
    );
    await chmod(hostPath, 0o777);
    const marker = join(hostPath, '.medium-memory');
    // Its content is the size limit in bytes, empty for none.
    const limit = source.sizeLimit === undefined ? '' : String(bytesOf(source.sizeLimit));
    if (source.medium === 'Memory') await writeFile(marker, limit);
    else await rm(marker, { force: true });
    return { name, hostPath, readOnly: false, volumeId: undefined };
  }

  async #cinder(pod: Pod, name: string, source: CinderSource): Promise<SetUpVolume> {
    const hostPath = this.#folders.volume(pod.metadata.uid, 'cinder', name);
    await mkdir(hostPath, { recursive: true });
    const readOnly = source.readOnly === true;
    const entry = {
      volumeId: source.volumeID,
      fsType: source.fsType === undefined || source.fsType === '' ? 'ext4' : source.fsType,
      readOnly,
      tenantId: pod.metadata.annotations?.['hypernetes.io/tenant-id'] ?? '',
    };
    await writeFileAtomic(this.#folders.directVolume(hostPath), `${JSON.stringify(entry)}\n`);
    return { name, hostPath, readOnly, volumeId: source.volumeID };
  }

  async #claim(pod: Pod, name: string, claimName: string, readOnly: boolean): Promise<SetUpVolume> {
    const claim = await this.#getClaim(pod.metadata.namespace, claimName);
    const volumeName = claim.spec?.volumeName;
    if (claim.status?.phase !== 'Bound' || volumeName === undefined) {
      throw new PlatformError('Unavailable', `persistentvolumeclaim "${claimName}" is not bound`);
    }
    const volume = await this.#client.get<PersistentVolume>(resources.persistentVolumes, {
      name: volumeName,
    });
    const cinder = volume.spec?.cinder;
    if (cinder === undefined) {
      throw new PlatformError(
        'Invalid',
        `persistentvolume "${volumeName}" is not a block volume this runtime can attach (cinder)`,
      );
    }
    return await this.#cinder(pod, name, {
      volumeID: cinder.volumeID,
      readOnly: readOnly || cinder.readOnly === true,
      ...(cinder.fsType === undefined ? {} : { fsType: cinder.fsType }),
    });
  }

  async #getClaim(namespace: string, name: string): Promise<PersistentVolumeClaim> {
    try {
      return await this.#client.get(resources.persistentVolumeClaims, { namespace, name });
    } catch (error) {
      if (!isPlatformError(error, 'NotFound')) throw error;
      throw new PlatformError('NotFound', `persistentvolumeclaim "${name}" not found`, { cause: error });
    }
  }
}

/** The CRI mounts of a container's volumeMounts. Invalid for a subPath that leaves its volume. */
export function volumeMountPoints(
  container: Container,
  volumes: SetUpVolumes,
  environment: ReadonlyMap<string, string>,
): ContainerMountPoint[] {
  return (container.volumeMounts ?? []).map((mount) => {
    const volume = volumes.get(mount.name);
    if (volume === undefined) {
      throw new PlatformError('Invalid', `volume "${mount.name}" of a volumeMount is not in the pod`);
    }
    const subPath =
      mount.subPathExpr === undefined
        ? (mount.subPath ?? '')
        : expandReferences(mount.subPathExpr, environment);
    return {
      containerPath: mount.mountPath.startsWith('/') ? mount.mountPath : `/${mount.mountPath}`,
      hostPath: subPath === '' ? volume.hostPath : join(volume.hostPath, safeSubPath(subPath)),
      readOnly: mount.readOnly === true || volume.readOnly,
      ...(mount.mountPropagation === undefined ? {} : { propagation: mount.mountPropagation }),
    };
  });
}

function safeSubPath(subPath: string): string {
  const normal = normalize(subPath);
  if (normal.startsWith('/') || normal === '..' || normal.startsWith('../')) {
    throw new PlatformError('Invalid', `subPath ${JSON.stringify(subPath)} must stay inside its volume`);
  }
  return normal;
}
