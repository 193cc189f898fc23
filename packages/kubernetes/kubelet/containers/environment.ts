import { PlatformError } from '@hypernetes/foundation/errors';
import type { ConfigMap, Secret, Service } from '../../client/index.ts';
import type { Container, Pod } from '../kube-types.ts';
import { expandReferences } from './expansion.ts';
import { readFieldPath, readResourceField, type PodFacts } from './field-path.ts';

export interface EnvironmentSources {
  readonly facts: PodFacts;
  readonly services: readonly Service[];
  /** undefined: there is none. */
  readonly getConfigMap: (namespace: string, name: string) => Promise<ConfigMap | undefined>;
  readonly getSecret: (namespace: string, name: string) => Promise<Secret | undefined>;
}

const variableName = /^[^=\0\s][^=\0]*$/;

/**
 * The environment of a container, in its order: Services, envFrom, env, later ones winning. A reference to something that does not
 * exist and is not optional is an Invalid error with the text users know from CreateContainerConfigError.
 */
export async function makeEnvironment(
  pod: Pod,
  container: Container,
  sources: EnvironmentSources,
): Promise<Map<string, string>> {
  const result = new Map<string, string>(
    serviceVariables(sources.services, pod.metadata.namespace, pod.spec.enableServiceLinks ?? true),
  );
  for (const [name, value] of await variablesFromObjects(pod, container, sources)) result.set(name, value);
  for (const variable of container.env ?? []) {
    const value = await valueOf(pod, container, variable, sources, result);
    if (value !== undefined) result.set(variable.name, value);
  }
  return result;
}

async function variablesFromObjects(
  pod: Pod,
  container: Container,
  sources: EnvironmentSources,
): Promise<[string, string][]> {
  const { namespace } = pod.metadata;
  const result: [string, string][] = [];
  for (const { prefix = '', configMapRef, secretRef } of container.envFrom ?? []) {
    let values: Iterable<[string, string]> = [];
    if (configMapRef?.name !== undefined) {
      const found = await sources.getConfigMap(namespace, configMapRef.name);
      if (found === undefined && configMapRef.optional !== true)
        throw missing('configmap', configMapRef.name);
      values = Object.entries(found?.data ?? {});
    } else if (secretRef?.name !== undefined) {
      const found = await sources.getSecret(namespace, secretRef.name);
      if (found === undefined && secretRef.optional !== true) throw missing('secret', secretRef.name);
      values = Object.entries(found?.data ?? {}).map(([key, value]) => [key, decode(value)]);
    }
    for (const [key, value] of values) {
      if (variableName.test(prefix + key)) result.push([prefix + key, value]);
    }
  }
  return result;
}

async function valueOf(
  pod: Pod,
  container: Container,
  variable: NonNullable<Container['env']>[number],
  sources: EnvironmentSources,
  before: ReadonlyMap<string, string>,
): Promise<string | undefined> {
  const from = variable.valueFrom;
  if (from === undefined) return expandReferences(variable.value ?? '', before);
  if (from.fieldRef !== undefined) return readFieldPath(pod, from.fieldRef.fieldPath, sources.facts);
  if (from.resourceFieldRef !== undefined) {
    const { containerName } = from.resourceFieldRef;
    const about = pod.spec.containers.find(({ name }) => name === containerName) ?? container;
    return readResourceField(about, from.resourceFieldRef, sources.facts);
  }
  const { configMapKeyRef, secretKeyRef } = from;
  if (configMapKeyRef !== undefined) {
    const object = await sources.getConfigMap(pod.metadata.namespace, configMapKeyRef.name ?? '');
    return pick('configmap', 'ConfigMap', pod, configMapKeyRef, object?.data, object !== undefined);
  }
  if (secretKeyRef !== undefined) {
    const object = await sources.getSecret(pod.metadata.namespace, secretKeyRef.name ?? '');
    const value = pick('secret', 'Secret', pod, secretKeyRef, object?.data, object !== undefined);
    return value === undefined ? undefined : decode(value);
  }
  return undefined;
}

function pick(
  resource: string,
  kind: string,
  pod: Pod,
  reference: { readonly key: string; readonly name?: string; readonly optional?: boolean },
  data: Readonly<Record<string, string>> | undefined,
  exists: boolean,
): string | undefined {
  const value = data?.[reference.key];
  if (value !== undefined || reference.optional === true) return value;
  if (!exists) throw missing(resource, reference.name ?? '');
  throw new PlatformError(
    'Invalid',
    `couldn't find key ${reference.key} in ${kind} ${pod.metadata.namespace}/${reference.name ?? ''}`,
  );
}

function missing(resource: string, name: string): PlatformError {
  return new PlatformError('Invalid', `${resource} "${name}" not found`);
}

function decode(base64: string): string {
  return Buffer.from(base64, 'base64').toString('utf8');
}

function toVariable(name: string): string {
  return name.toUpperCase().replaceAll('-', '_');
}

/**
 * Variables for the Services a pod can name: those of its namespace when service links are on, and always the API server's
 * (Kubernetes documentation, "Discovering services: environment variables").
 */
export function serviceVariables(
  services: readonly Service[],
  namespace: string,
  links: boolean,
): [string, string][] {
  const chosen = new Map<string, Service>();
  for (const service of services) {
    const master = service.metadata.namespace === 'default' && service.metadata.name === 'kubernetes';
    if (master && !chosen.has('kubernetes')) chosen.set('kubernetes', service);
    if (links && service.metadata.namespace === namespace) chosen.set(service.metadata.name, service);
  }
  return [...chosen.values()].flatMap(variablesOfService);
}

function variablesOfService(service: Service): [string, string][] {
  const address = service.spec?.clusterIP ?? '';
  const ports = service.spec?.ports ?? [];
  const first = ports[0];
  if (address === '' || address === 'None' || first === undefined) return [];
  const prefix = toVariable(service.metadata.name);
  const result: [string, string][] = [
    [`${prefix}_SERVICE_HOST`, address],
    [`${prefix}_SERVICE_PORT`, String(first.port)],
  ];
  for (const { name, port } of ports) {
    if (name !== undefined && name !== '') {
      result.push([`${prefix}_SERVICE_PORT_${toVariable(name)}`, String(port)]);
    }
  }
  for (const [index, { port, protocol = 'TCP' }] of ports.entries()) {
    const url = `${protocol.toLowerCase()}://${address}:${port}`;
    if (index === 0) result.push([`${prefix}_PORT`, url]);
    const base = `${prefix}_PORT_${port}_${protocol.toUpperCase()}`;
    result.push(
      [base, url],
      [`${base}_PROTO`, protocol.toLowerCase()],
      [`${base}_PORT`, String(port)],
      [`${base}_ADDR`, address],
    );
  }
  return result;
}
