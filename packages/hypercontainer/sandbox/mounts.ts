import { createHash } from 'node:crypto';
import { lstat, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { PlatformError } from '@hypernetes/foundation/errors';
import { readFileIfExists } from '@hypernetes/foundation/files';
import type { ContainerMount } from './sandbox-service.ts';

/** Largest single file pushed into a guest. */
export const fileBytesMax = 1 << 20;
/** statfs type of tmpfs (statfs(2)). */
const tmpfsMagic = 0x01021994;
const pushedPlugins = new Set(['configmap', 'secret', 'projected', 'downward-api']);
/** Contents that must not reach a disk. */
const memoryPlugins = new Set(['secret', 'projected']);

/** What a mount of the container becomes in the guest (docs/architecture.md "Mounts"). */
export type MountSource =
  | { readonly kind: 'directVolume'; readonly volume: DirectVolume; readonly subPath: string }
  | {
      readonly kind: 'emptyDir';
      readonly id: string;
      readonly inMemory: boolean;
      readonly groupId: number;
      readonly subPath: string;
    }
  | {
      readonly kind: 'folder';
      readonly hostPath: string;
      readonly inMemory: boolean;
      readonly subPath: string;
    }
  | { readonly kind: 'file'; readonly hostPath: string; readonly writeBack: boolean };

/** A registered block device volume. */
export interface DirectVolume {
  readonly volumeId: string;
  readonly fsType: string;
  readonly readOnly: boolean;
  readonly tenantId: string;
}

/** A host path by its form alone. Pure. */
export interface HostPathForm {
  readonly plugin: string;
  readonly volumeName: string;
  /** The volume's folder. */
  readonly volumePath: string;
  readonly subPath: string;
}

/** The kubelet's volume folders: `.../volumes/kubernetes.io~<plugin>/<name>[/<sub path>]`; undefined for other paths. Pure. */
export function parseVolumePath(hostPath: string): HostPathForm | undefined {
  const found = /^(.*\/volumes\/kubernetes\.io~([a-z-]+)\/([^/]+))(?:\/(.*))?$/.exec(hostPath);
  if (found === null || hostPath.split('/').includes('..')) return undefined;
  const [, volumePath = '', plugin = '', volumeName = '', subPath = ''] = found;
  return { plugin, volumeName, volumePath, subPath: subPath.replace(/\/+$/, '') };
}

/** Is the volume's folder one of this pod's (`.../pods/<uid>/volumes/kubernetes.io~<plugin>/<name>`)? Pure. */
export function isVolumeOfPod(form: HostPathForm, podUid: string): boolean {
  const tail = `/pods/${podUid}/volumes/kubernetes.io~${form.plugin}/${form.volumeName}`;
  return podUid !== '' && form.volumePath.endsWith(tail);
}

/** The part of a path below the pod's folder of the kubelet (`.../pods/<uid>/...`), undefined when it is not below. Pure. */
export function podFilePath(hostPath: string, podUid: string): string | undefined {
  if (podUid === '' || hostPath.split('/').includes('..')) return undefined;
  const marker = `/pods/${podUid}/`;
  const at = hostPath.indexOf(marker);
  return at < 0 ? undefined : hostPath.slice(at + marker.length);
}

/** Finds out what a mount is. Invalid for anything that would share the host's files with the guest. */
export async function resolveMount(
  mount: ContainerMount,
  podUid: string,
  directVolumesDir: string,
): Promise<MountSource> {
  // A hostPath volume may name any path: the volumes of other pods are theirs.
  const parsed = parseVolumePath(mount.hostPath);
  const form = parsed !== undefined && isVolumeOfPod(parsed, podUid) ? parsed : undefined;
  const direct = await findDirectVolume(mount.hostPath, form, directVolumesDir);
  if (direct !== undefined) return direct;
  if (form?.plugin === 'empty-dir') return await resolveEmptyDir(form);
  if (form !== undefined && pushedPlugins.has(form.plugin))
    return {
      kind: 'folder',
      hostPath: form.volumePath,
      inMemory: memoryPlugins.has(form.plugin),
      subPath: form.subPath,
    };
  const below = podFilePath(mount.hostPath, podUid);
  const found = below === undefined ? undefined : await lstat(mount.hostPath).catch(() => undefined);
  if (below !== undefined && found?.isFile() === true) {
    if (found.size > fileBytesMax)
      throw new PlatformError('Invalid', `mount ${mount.hostPath}: ${found.size} bytes, more than 1 MiB`);
    // The kubelet keeps a container's termination log below containers/, and wants back what the container wrote.
    return { kind: 'file', hostPath: mount.hostPath, writeBack: below.startsWith('containers/') };
  }
  throw new PlatformError(
    'Invalid',
    `mount ${mount.hostPath} at ${mount.containerPath}: pods are virtual machines and share no files of the host; use a volume, emptyDir, configMap or secret`,
  );
}

async function findDirectVolume(
  hostPath: string,
  form: HostPathForm | undefined,
  directVolumesDir: string,
): Promise<MountSource | undefined> {
  const exact = await readDirectVolume(hostPath, directVolumesDir);
  if (exact !== undefined) return { kind: 'directVolume', volume: exact, subPath: '' };
  if (form === undefined || form.volumePath === hostPath) return undefined;
  const volume = await readDirectVolume(form.volumePath, directVolumesDir);
  return volume === undefined ? undefined : { kind: 'directVolume', volume, subPath: form.subPath };
}

async function readDirectVolume(
  hostPath: string,
  directVolumesDir: string,
): Promise<DirectVolume | undefined> {
  const name = createHash('sha256').update(hostPath).digest('hex');
  const text = await readFileIfExists(join(directVolumesDir, `${name}.json`));
  if (text === undefined) return undefined;
  const value = JSON.parse(text) as Partial<Record<keyof DirectVolume, unknown>>;
  if (typeof value.volumeId !== 'string' || value.volumeId === '')
    throw new PlatformError('Invalid', `direct volume ${hostPath}: its entry names no volumeId`);
  return {
    volumeId: value.volumeId,
    fsType: typeof value.fsType === 'string' && value.fsType !== '' ? value.fsType : 'ext4',
    readOnly: value.readOnly === true,
    tenantId: typeof value.tenantId === 'string' ? value.tenantId : '',
  };
}

async function resolveEmptyDir(form: HostPathForm): Promise<MountSource> {
  const marker = await stat(join(form.volumePath, '.medium-memory')).catch(() => undefined);
  const onMemory = await statfs(form.volumePath).then(
    async (found) => found.type === tmpfsMagic && (await isMountPoint(form.volumePath)),
    () => false,
  );
  const folder = await stat(form.volumePath).catch(() => undefined);
  return {
    kind: 'emptyDir',
    id: form.volumeName,
    inMemory: marker !== undefined || onMemory,
    groupId: folder?.gid ?? 0,
    subPath: form.subPath,
  };
}

async function isMountPoint(path: string): Promise<boolean> {
  const [here, above] = await Promise.all([stat(path), stat(join(path, '..'))]);
  return here.dev !== above.dev;
}
