import type { AuthConfig } from '@hypernetes/proto/cri';
import type { Secret } from '../../client/index.ts';
import type { ImageReference } from './image-reference.ts';

type Credentials = Partial<AuthConfig>;

/**
 * The credentials of the most specific entry that fits the image, from Secrets of type kubernetes.io/dockerconfigjson and dockercfg.
 * Secrets that cannot be read are passed over, as every kubelet does.
 */
export function findCredentials(
  secrets: readonly Secret[],
  reference: ImageReference,
): Credentials | undefined {
  let best: { readonly length: number; readonly credentials: Credentials } | undefined;
  for (const secret of secrets) {
    for (const [pattern, entry] of Object.entries(readEntries(secret))) {
      const normalised = normalise(pattern);
      if (!fits(normalised, reference)) continue;
      const credentials = toCredentials(entry, pattern);
      if (credentials !== undefined && normalised.length > (best?.length ?? -1)) {
        best = { length: normalised.length, credentials };
      }
    }
  }
  return best?.credentials;
}

function readEntries(secret: Secret): Record<string, unknown> {
  const config = parse(secret.data?.['.dockerconfigjson'])['auths'];
  const legacy = parse(secret.data?.['.dockercfg']);
  return { ...legacy, ...(isRecord(config) ? config : {}) };
}

function parse(base64: string | undefined): Record<string, unknown> {
  if (base64 === undefined) return {};
  try {
    const value: unknown = JSON.parse(Buffer.from(base64, 'base64').toString('utf8'));
    return isRecord(value) ? value : {};
  } catch {
    return {};
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** host[:port][/path], without scheme, API version and the old names of the one default registry. */
function normalise(pattern: string): string {
  const bare = pattern.replace(/^https?:\/\//, '').replace(/\/(v1|v2)?\/?$/, '');
  return bare.replace(/^(index|registry-1)\.docker\.io/, 'docker.io');
}

function fits(pattern: string, reference: ImageReference): boolean {
  const slash = pattern.indexOf('/');
  const host = slash < 0 ? pattern : pattern.slice(0, slash);
  const path = slash < 0 ? '' : pattern.slice(slash + 1);
  const wanted = host.split('.');
  const given = reference.registry.split('.');
  const hostFits =
    wanted.length === given.length && wanted.every((label, index) => labelFits(label, given[index] ?? ''));
  const { repository } = reference;
  return hostFits && (path === '' || repository === path || repository.startsWith(`${path}/`));
}

/** `*` stands for any part of one label. */
function labelFits(pattern: string, label: string): boolean {
  const escaped = pattern.split('*').map((part) => part.replace(/[\\^$+?.()|[\]{}]/g, '\\$&'));
  return new RegExp(`^${escaped.join('[^.]*')}$`).test(label);
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function toCredentials(entry: unknown, serverAddress: string): Credentials | undefined {
  if (!isRecord(entry)) return undefined;
  const decoded = Buffer.from(text(entry['auth']), 'base64').toString('utf8');
  const colon = decoded.indexOf(':');
  const username = text(entry['username']) || (colon > 0 ? decoded.slice(0, colon) : '');
  const password = text(entry['password']) || (colon > 0 ? decoded.slice(colon + 1) : '');
  const identityToken = text(entry['identitytoken']);
  const registryToken = text(entry['registrytoken']);
  if (username === '' && identityToken === '' && registryToken === '') return undefined;
  return { username, password, identityToken, registryToken, serverAddress };
}
