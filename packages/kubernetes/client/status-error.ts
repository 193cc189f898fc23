import { PlatformError, type Reason } from '@hypernetes/foundation/errors';

/** meta/v1 Status: what the API server answers instead of the object when it refuses. */
export interface Status {
  kind?: string;
  status?: string;
  message?: string;
  reason?: string;
  code?: number;
  details?: {
    name?: string;
    kind?: string;
    retryAfterSeconds?: number;
    causes?: { reason?: string; message?: string; field?: string }[];
  };
}

const byStatusReason: Readonly<Record<string, Reason>> = {
  NotFound: 'NotFound',
  AlreadyExists: 'AlreadyExists',
  Conflict: 'Conflict',
  Invalid: 'Invalid',
  BadRequest: 'Invalid',
  RequestEntityTooLarge: 'Invalid',
  Unauthorized: 'Unauthenticated',
  Forbidden: 'Forbidden',
  Expired: 'Expired',
  Gone: 'Expired',
  TooManyRequests: 'Exhausted',
  Timeout: 'DeadlineExceeded',
  ServerTimeout: 'DeadlineExceeded',
  ServiceUnavailable: 'Unavailable',
  MethodNotAllowed: 'Unimplemented',
  NotAcceptable: 'Unimplemented',
  UnsupportedMediaType: 'Unimplemented',
  InternalError: 'Internal',
};

const byHttpStatus: Readonly<Record<number, Reason>> = {
  400: 'Invalid',
  401: 'Unauthenticated',
  403: 'Forbidden',
  404: 'NotFound',
  405: 'Unimplemented',
  409: 'Conflict',
  410: 'Expired',
  413: 'Invalid',
  422: 'Invalid',
  429: 'Exhausted',
  502: 'Unavailable',
  503: 'Unavailable',
  504: 'DeadlineExceeded',
};

function parseStatus(body: unknown): Status | undefined {
  if (typeof body !== 'object' || body === null || Array.isArray(body)) return undefined;
  const status = body as Status;
  return status.kind === 'Status' ? status : undefined;
}

/** The error a refusal of the server stands for; `doing` names the call. details: `status` (the Status object), `httpStatus`. */
export function errorOfStatus(httpStatus: number, body: unknown, doing: string): PlatformError {
  const status = parseStatus(body);
  const code = httpStatus === 0 ? (status?.code ?? 500) : httpStatus;
  const reason = byStatusReason[status?.reason ?? ''] ?? byHttpStatus[code] ?? 'Internal';
  const said = typeof status?.message === 'string' ? status.message : `HTTP status ${code}`;
  return new PlatformError(reason, `${doing}: ${said}`, {
    details: { httpStatus: code, ...(status === undefined ? {} : { status }) },
  });
}
