import type { Reason } from './platform-error.ts';

interface WireForm {
  readonly http: number;
  readonly kubernetes: string;
  /** gRPC status code, https://grpc.io/docs/guides/status-codes */
  readonly grpc: number;
}

/** One table for every wire (docs/reference/errors.md shows it). */
const wireForms: Readonly<Record<Reason, WireForm>> = {
  NotFound: { http: 404, kubernetes: 'NotFound', grpc: 5 },
  AlreadyExists: { http: 409, kubernetes: 'AlreadyExists', grpc: 6 },
  Conflict: { http: 409, kubernetes: 'Conflict', grpc: 10 },
  Invalid: { http: 422, kubernetes: 'Invalid', grpc: 3 },
  Precondition: { http: 409, kubernetes: 'Conflict', grpc: 9 },
  Unauthenticated: { http: 401, kubernetes: 'Unauthorized', grpc: 16 },
  Forbidden: { http: 403, kubernetes: 'Forbidden', grpc: 7 },
  Expired: { http: 410, kubernetes: 'Expired', grpc: 11 },
  Exhausted: { http: 429, kubernetes: 'TooManyRequests', grpc: 8 },
  DeadlineExceeded: { http: 504, kubernetes: 'Timeout', grpc: 4 },
  Unavailable: { http: 503, kubernetes: 'ServiceUnavailable', grpc: 14 },
  Unimplemented: { http: 405, kubernetes: 'MethodNotAllowed', grpc: 12 },
  Canceled: { http: 499, kubernetes: 'Timeout', grpc: 1 },
  Internal: { http: 500, kubernetes: 'InternalError', grpc: 13 },
};

export function httpStatusOf(reason: Reason): number {
  return wireForms[reason].http;
}

export function kubernetesReasonOf(reason: Reason): string {
  return wireForms[reason].kubernetes;
}

export function grpcCodeOf(reason: Reason): number {
  return wireForms[reason].grpc;
}

/** The reason a gRPC status code of a peer stands for; codes without a reason of ours are Internal. */
export function reasonOfGrpcCode(code: number): Reason {
  for (const [reason, form] of Object.entries(wireForms) as [Reason, WireForm][]) {
    if (form.grpc === code) return reason;
  }
  return 'Internal';
}
