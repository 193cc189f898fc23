import { PlatformError } from '@hypernetes/foundation/errors';
import type { ConfigMap, Secret } from '../../client/index.ts';
import { readFieldPath, readResourceField, type PodFacts } from '../containers/field-path.ts';
import { allContainers, type Pod, type Volume } from '../kube-types.ts';
import { assertSafePath, type VolumeFile } from './atomic-writer.ts';

const defaultFileMode = 0o644;

/** What volumes of API objects are made from. Objects that do not exist are undefined. */
export interface VolumeSources {
  readonly facts: PodFacts;
  readonly getConfigMap: (name: string) => Promise<ConfigMap | undefined>;
  readonly getSecret: (name: string) => Promise<Secret | undefined>;
  readonly getToken: (request: {
    readonly audience: string | undefined;
    readonly expirationSeconds: number;
  }) => Promise<string>;
}

interface KeyToPath {
  readonly key: string;
  readonly path: string;
  readonly mode?: number;
}

type Projection = NonNullable<NonNullable<NonNullable<Volume['projected']>['sources']>[number]>;

/** The files of a configMap, secret, downwardAPI or projected volume; undefined for any other kind of volume. */
export async function volumeFiles(
  pod: Pod,
  volume: Volume,
  sources: VolumeSources,
): Promise<Map<string, VolumeFile> | undefined> {
  const { configMap, secret, downwardAPI, projected } = volume;
  if (configMap !== undefined) {
    return await projectAll(pod, [{ configMap }], configMap.defaultMode, sources);
  }
  if (secret !== undefined) {
    const { secretName: name, ...rest } = secret;
    const projection: Projection = { secret: { ...rest, ...(name === undefined ? {} : { name }) } };
    return await projectAll(pod, [projection], secret.defaultMode, sources);
  }
  if (downwardAPI !== undefined) {
    return await projectAll(pod, [{ downwardAPI }], downwardAPI.defaultMode, sources);
  }
  if (projected !== undefined) {
    return await projectAll(pod, projected.sources ?? [], projected.defaultMode, sources);
  }
  return undefined;
}

async function projectAll(
  pod: Pod,
  projections: readonly Projection[],
  mode: number | undefined,
  sources: VolumeSources,
): Promise<Map<string, VolumeFile>> {
  const files = new Map<string, VolumeFile>();
  for (const projection of projections) {
    for (const [path, file] of await project(pod, projection, mode ?? defaultFileMode, sources)) {
      assertSafePath(path);
      files.set(path, file);
    }
  }
  return files;
}

async function project(
  pod: Pod,
  projection: Projection,
  mode: number,
  sources: VolumeSources,
): Promise<[string, VolumeFile][]> {
  const { configMap, secret, downwardAPI, serviceAccountToken } = projection;
  if (configMap !== undefined) {
    const object = await sources.getConfigMap(configMap.name ?? '');
    const values =
      object === undefined
        ? undefined
        : new Map([...textValues(object.data), ...base64Values(object.binaryData)]);
    return select('configmap', configMap, values, mode);
  }
  if (secret !== undefined) {
    const object = await sources.getSecret(secret.name ?? '');
    const values = object === undefined ? undefined : new Map(base64Values(object.data));
    return select('secret', secret, values, mode);
  }
  if (downwardAPI !== undefined) {
    return (downwardAPI.items ?? []).map((item) => [
      item.path,
      { content: Buffer.from(downwardValue(pod, item, sources.facts)), mode: item.mode ?? mode },
    ]);
  }
  if (serviceAccountToken !== undefined) {
    const token = await sources.getToken({
      audience: serviceAccountToken.audience,
      expirationSeconds: serviceAccountToken.expirationSeconds ?? 3_600,
    });
    return [[serviceAccountToken.path, { content: Buffer.from(token), mode }]];
  }
  throw new PlatformError('Invalid', 'this kind of projected volume source is not available here');
}

function textValues(data: Readonly<Record<string, string>> | undefined): [string, Buffer][] {
  return Object.entries(data ?? {}).map(([key, value]) => [key, Buffer.from(value, 'utf8')]);
}

function base64Values(data: Readonly<Record<string, string>> | undefined): [string, Buffer][] {
  return Object.entries(data ?? {}).map(([key, value]) => [key, Buffer.from(value, 'base64')]);
}

/** All keys under their own names, or the listed ones under the listed paths. */
function select(
  resource: string,
  source: { readonly name?: string; readonly optional?: boolean; readonly items?: readonly KeyToPath[] },
  values: ReadonlyMap<string, Buffer> | undefined,
  mode: number,
): [string, VolumeFile][] {
  const optional = source.optional === true;
  const name = source.name ?? '';
  if (values === undefined) {
    if (optional) return [];
    throw new PlatformError('NotFound', `${resource} "${name}" not found`);
  }
  if (source.items === undefined) return [...values].map(([key, content]) => [key, { content, mode }]);
  const result: [string, VolumeFile][] = [];
  for (const item of source.items) {
    const content = values.get(item.key);
    if (content !== undefined) result.push([item.path, { content, mode: item.mode ?? mode }]);
    else if (!optional) {
      throw new PlatformError('NotFound', `references non-existent ${resource} key: ${item.key}`);
    }
  }
  return result;
}

function downwardValue(
  pod: Pod,
  item: NonNullable<NonNullable<Volume['downwardAPI']>['items']>[number],
  facts: PodFacts,
): string {
  if (item.fieldRef !== undefined) return readFieldPath(pod, item.fieldRef.fieldPath, facts);
  const reference = item.resourceFieldRef;
  const container = allContainers(pod.spec).find(({ name }) => name === reference?.containerName);
  if (reference === undefined || container === undefined) {
    throw new PlatformError('Invalid', `downward API item ${item.path} names no field or container`);
  }
  return readResourceField(container, reference, facts);
}
