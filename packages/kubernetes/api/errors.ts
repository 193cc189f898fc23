import { httpStatusOf, kubernetesReasonOf, PlatformError, type Reason } from '@hypernetes/foundation/errors';
import type { Kind } from './kind.ts';

/** meta/v1 Status of a failure. */
export interface Status {
  readonly kind: 'Status';
  readonly apiVersion: 'v1';
  readonly metadata: Readonly<Record<string, never>>;
  readonly status: 'Failure';
  readonly message: string;
  readonly reason: string;
  readonly details?: StatusDetails;
  readonly code: number;
}

export interface StatusDetails {
  readonly name?: string;
  readonly group?: string;
  /** Of an Invalid status: the kind; of the others: the plural. */
  readonly kind?: string;
  readonly uid?: string;
  readonly causes?: readonly {
    readonly reason: string;
    readonly message: string;
    readonly field?: string;
  }[];
  readonly retryAfterSeconds?: number;
}

/** What is wrong with one field, as Kubernetes' field errors: the reason is the cause's reason in Status details. */
export interface FieldError {
  readonly reason:
    | 'FieldValueNotFound'
    | 'FieldValueRequired'
    | 'FieldValueDuplicate'
    | 'FieldValueInvalid'
    | 'FieldValueNotSupported'
    | 'FieldValueForbidden'
    | 'FieldValueTooLong'
    | 'FieldValueTooMany'
    | 'InternalError';
  /** `spec.containers[0].name`. */
  readonly field: string;
  /** Without the field: `Invalid value: "x": must be ...`. */
  readonly message: string;
}

function failure(code: number, reason: string, message: string, details?: StatusDetails): Status {
  return {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message,
    reason,
    ...(details === undefined ? {} : { details }),
    code,
  };
}

/** 400 BadRequest: the request cannot be understood. PlatformError Invalid whose `details.status` is the Status. */
export function badRequest(message: string, options: { readonly cause?: unknown } = {}): PlatformError {
  return statusError('Invalid', failure(400, 'BadRequest', message), options);
}

/** 422 Invalid with one cause per field error. */
export function invalid(kind: Kind, name: string, errors: readonly FieldError[]): PlatformError {
  const texts = errors.map((error) => `${error.field}: ${error.message}`);
  const list = texts.length === 1 ? (texts[0] ?? '') : `[${texts.join(', ')}]`;
  const qualified = kind.group === '' ? kind.kind : `${kind.kind}.${kind.group}`;
  const status = failure(422, 'Invalid', `${qualified} "${name}" is invalid: ${list}`, {
    name,
    group: kind.group,
    kind: kind.kind,
    causes: errors.map((error) => ({ reason: error.reason, message: error.message, field: error.field })),
  });
  return statusError('Invalid', status);
}

/** A PlatformError that is answered with exactly this Status. */
export function statusError(
  reason: Reason,
  status: Status,
  options: { readonly cause?: unknown } = {},
): PlatformError {
  return new PlatformError(reason, status.message, { ...options, details: { status } });
}

/** The Status to answer for an error: the one in `details.status` if there, else by the reason (wire-mapping.ts). */
export function statusOf(error: PlatformError, details?: StatusDetails): Status {
  const given = error.details['status'] as Status | undefined;
  if (given?.kind === 'Status') return given;
  return failure(httpStatusOf(error.reason), kubernetesReasonOf(error.reason), error.message, details);
}
