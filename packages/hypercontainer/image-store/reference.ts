import { PlatformError } from '@hypernetes/foundation/errors';

/** An image name in its one normal form: registry host, repository path, and a tag or a digest (the digest wins when both are given). */
export interface ImageReference {
  /** `docker.io`, `registry.example:5000`, `127.0.0.1:5000` */
  readonly host: string;
  /** `library/nginx` */
  readonly repository: string;
  /** Absent exactly when a digest is given. */
  readonly tag?: string;
  /** `sha256:...` */
  readonly digest?: string;
}

const defaultHost = 'docker.io';
const hostPattern = /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?$/;
const repositoryPattern =
  /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:\/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*$/;
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const digestPattern = /^sha256:[0-9a-f]{64}$/;
const referenceLengthMax = 1024;

/** `sha256:` and 64 lower-case hexadecimal digits: the one digest algorithm accepted. */
export function isDigest(text: string): boolean {
  return digestPattern.test(text);
}

function invalid(text: string, why: string): PlatformError {
  return new PlatformError('Invalid', `image reference ${JSON.stringify(text.slice(0, 200))}: ${why}`);
}

function splitHost(name: string): { host: string; path: string } {
  const slash = name.indexOf('/');
  const first = slash === -1 ? '' : name.slice(0, slash);
  // Only something that cannot be a repository component is a host: it has a dot, a port, an upper-case letter, or is localhost.
  if (first === 'localhost' || /[.:A-Z]/.test(first)) return { host: first, path: name.slice(slash + 1) };
  return { host: defaultHost, path: name };
}

/** Parses an image name as users type it (`nginx`, `quay.io/a/b:1`, `x@sha256:...`); Invalid says what is wrong with it. */
export function parseReference(text: string): ImageReference {
  if (text.length === 0 || text.length > referenceLengthMax) {
    throw invalid(text, `must have 1 to ${referenceLengthMax} characters`);
  }
  const at = text.indexOf('@');
  const digest = at === -1 ? undefined : text.slice(at + 1);
  if (digest !== undefined && !isDigest(digest))
    throw invalid(text, 'the digest must be sha256:<64 hex digits>');
  const named = at === -1 ? text : text.slice(0, at);
  const colon = named.lastIndexOf(':');
  const hasTag = colon > named.lastIndexOf('/');
  const tag = hasTag ? named.slice(colon + 1) : 'latest';
  if (!tagPattern.test(tag)) throw invalid(text, 'the tag must match [A-Za-z0-9_][A-Za-z0-9_.-]{0,127}');
  const split = splitHost(hasTag ? named.slice(0, colon) : named);
  const host = split.host === 'index.docker.io' ? defaultHost : split.host;
  if (!hostPattern.test(host)) throw invalid(text, 'the registry host is malformed');
  const repository = host === defaultHost && !split.path.includes('/') ? `library/${split.path}` : split.path;
  if (!repositoryPattern.test(repository) || repository.length > 255) {
    throw invalid(
      text,
      'the repository must be lower-case path components of letters, digits, and . _ - between them',
    );
  }
  return digest === undefined ? { host, repository, tag } : { host, repository, digest };
}

/** `docker.io/library/nginx`: the part before tag and digest. */
export function repositoryName(reference: ImageReference): string {
  return `${reference.host}/${reference.repository}`;
}

/** `docker.io/library/nginx:latest` or `docker.io/library/nginx@sha256:...` */
export function formatReference(reference: ImageReference): string {
  return reference.digest === undefined
    ? `${repositoryName(reference)}:${reference.tag ?? 'latest'}`
    : `${repositoryName(reference)}@${reference.digest}`;
}
