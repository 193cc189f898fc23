import { PlatformError } from '@hypernetes/foundation/errors';

/** An image reference in its parts (distribution reference grammar). */
export interface ImageReference {
  /** docker.io when none is written. */
  readonly registry: string;
  readonly repository: string;
  readonly tag: string | undefined;
  readonly digest: string | undefined;
}

const referenceLengthMax = 512;
const component = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const host = /^(?:[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?$/;
const tagForm = /^\w[\w.-]{0,127}$/;
const digestForm = /^[a-z0-9]+(?:[.+_-][a-z0-9]+)*:[0-9a-fA-F]{32,}$/;

/** Throws Invalid with the text users know from InvalidImageName. */
export function parseImageReference(text: string): ImageReference {
  const refuse = (why: string): never => {
    throw new PlatformError(
      'Invalid',
      `Failed to apply default image tag "${text}": couldn't parse image name "${text}": ${why}`,
    );
  };
  if (text.length > referenceLengthMax) refuse('repository name must not be more than 255 characters');
  const [withoutDigest = '', digest, ...more] = text.split('@');
  if (more.length > 0 || (digest !== undefined && !digestForm.test(digest)))
    refuse('invalid reference format');
  const colon = withoutDigest.lastIndexOf(':');
  const hasTag = colon > withoutDigest.lastIndexOf('/');
  const name = hasTag ? withoutDigest.slice(0, colon) : withoutDigest;
  const tag = hasTag ? withoutDigest.slice(colon + 1) : undefined;
  if (tag !== undefined && !tagForm.test(tag)) refuse('invalid reference format');
  const { registry, repository } = splitName(name);
  const lowered = repository.toLowerCase();
  if (repository !== lowered && lowered.split('/').every((part) => component.test(part))) {
    refuse('invalid reference format: repository name must be lowercase');
  }
  const good = host.test(registry) && repository.split('/').every((part) => component.test(part));
  if (!good) refuse('invalid reference format');
  return { registry, repository, tag, digest };
}

function splitName(name: string): { registry: string; repository: string } {
  const slash = name.indexOf('/');
  const first = slash < 0 ? '' : name.slice(0, slash);
  const isHost = first === 'localhost' || /[.:]/.test(first) || first.toLowerCase() !== first;
  if (!isHost) {
    return { registry: 'docker.io', repository: slash < 0 ? `library/${name}` : name };
  }
  return { registry: first, repository: name.slice(slash + 1) };
}

/** What pull policy holds when the pod says nothing: Always for :latest and no tag, else IfNotPresent. */
export function defaultPullPolicy(reference: ImageReference): 'Always' | 'IfNotPresent' {
  const latest = reference.digest === undefined && (reference.tag ?? 'latest') === 'latest';
  return latest ? 'Always' : 'IfNotPresent';
}
