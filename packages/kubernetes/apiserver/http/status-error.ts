import {
  httpStatusOf,
  kubernetesReasonOf,
  PlatformError,
  toPlatformError,
  type Reason,
} from '@hypernetes/foundation/errors';
import { statusError, statusOf, type Status, type StatusDetails } from '../../api/index.ts';

/** What a resource is called in messages: pods, deployments.apps. */
export interface ResourceName {
  readonly group: string;
  readonly plural: string;
}

interface StatusOptions {
  readonly code?: number;
  /** The reason word of the Status, where it is not the one of the reason of ours. */
  readonly word?: string;
  readonly details?: StatusDetails;
}

/** An error that is answered with exactly the Status clients of the Kubernetes API expect for it. */
function failure(reason: Reason, message: string, options: StatusOptions = {}): PlatformError {
  return statusError(reason, {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message,
    reason: options.word ?? kubernetesReasonOf(reason),
    ...(options.details === undefined ? {} : { details: options.details }),
    code: options.code ?? httpStatusOf(reason),
  });
}

export function qualifiedName(resource: ResourceName): string {
  return resource.group === '' ? resource.plural : `${resource.plural}.${resource.group}`;
}

function detailsOf(resource: ResourceName, name: string): StatusDetails {
  return {
    ...(name === '' ? {} : { name }),
    ...(resource.group === '' ? {} : { group: resource.group }),
    kind: resource.plural,
  };
}

export function notFound(resource: ResourceName, name: string): PlatformError {
  return failure('NotFound', `${qualifiedName(resource)} "${name}" not found`, {
    details: detailsOf(resource, name),
  });
}

export function alreadyExists(resource: ResourceName, name: string): PlatformError {
  return failure('AlreadyExists', `${qualifiedName(resource)} "${name}" already exists`, {
    details: detailsOf(resource, name),
  });
}

export function conflict(resource: ResourceName, name: string, why: string): PlatformError {
  return failure(
    'Conflict',
    `Operation cannot be fulfilled on ${qualifiedName(resource)} "${name}": ${why}`,
    { details: detailsOf(resource, name) },
  );
}

/** The version the caller's change was made to is no longer the present one. */
export function staleVersion(resource: ResourceName, name: string): PlatformError {
  return conflict(
    resource,
    name,
    'the object has been modified; please apply your changes to the latest version and try again',
  );
}

export function forbidden(resource: ResourceName, name: string, why: string): PlatformError {
  const of = name === '' ? qualifiedName(resource) : `${qualifiedName(resource)} "${name}"`;
  return failure('Forbidden', `${of} is forbidden: ${why}`, { details: detailsOf(resource, name) });
}

/** The object named in the body is another one than the path says: 409 as for a failed precondition. */
export function preconditionFailed(resource: ResourceName, name: string, why: string): PlatformError {
  return conflict(resource, name, `Precondition failed: ${why}`);
}

export function unauthorized(): PlatformError {
  return failure('Unauthenticated', 'Unauthorized');
}

/** The list or watch asks for a version that is no longer kept. */
export function expired(message: string): PlatformError {
  return failure('Expired', message);
}

/** No such path; Kubernetes answers it without naming a resource. */
export function unknownPath(): PlatformError {
  return failure('NotFound', 'the server could not find the requested resource');
}

export function methodNotAllowed(verb: string, resource: ResourceName): PlatformError {
  return failure(
    'Unimplemented',
    `${verb} is not supported on resources of kind "${qualifiedName(resource)}"`,
    { details: detailsOf(resource, '') },
  );
}

export function notAcceptable(supported: readonly string[]): PlatformError {
  return failure('Invalid', `only the following media types are accepted: ${supported.join(', ')}`, {
    code: 406,
    word: 'NotAcceptable',
  });
}

export function unsupportedMediaType(said: string, supported: readonly string[]): PlatformError {
  return failure(
    'Invalid',
    `the body of the request was in an unknown format ${JSON.stringify(said)} - accepted media types include: ${supported.join(', ')}`,
    { code: 415, word: 'UnsupportedMediaType' },
  );
}

export function tooLarge(limitBytes: number): PlatformError {
  return failure('Invalid', `Request entity too large: limit is ${limitBytes}`, {
    code: 413,
    word: 'RequestEntityTooLarge',
  });
}

export function unavailable(message: string): PlatformError {
  return failure('Unavailable', message);
}

/** Whatever was thrown as a Status. Inner faults (500) say no more than that: what they are is for the log. */
export function toStatus(thrown: unknown): Status {
  const error = toPlatformError(thrown);
  if (error.reason === 'Internal' && error.details['status'] === undefined) {
    return statusOf(failure('Internal', 'Internal error occurred: see the log of the API server'));
  }
  return statusOf(error);
}
