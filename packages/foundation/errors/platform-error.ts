/** Every reason an error of ours can have; docs/reference/errors.md explains each. */
export const reasons = [
  'NotFound',
  'AlreadyExists',
  'Conflict',
  'Invalid',
  'Precondition',
  'Unauthenticated',
  'Forbidden',
  'Expired',
  'Exhausted',
  'DeadlineExceeded',
  'Unavailable',
  'Unimplemented',
  'Canceled',
  'Internal',
] as const;

export type Reason = (typeof reasons)[number];

const retryableReasons: ReadonlySet<Reason> = new Set([
  'Conflict',
  'Exhausted',
  'DeadlineExceeded',
  'Unavailable',
]);

/**
 * The one error that crosses a package boundary. The message says what failed, on which object, why, and where it helps what to
 * do; it holds no secret. `details` is machine-readable and may be shown to the user.
 */
export class PlatformError extends Error {
  override readonly name = 'PlatformError';
  readonly reason: Reason;
  readonly details: Readonly<Record<string, unknown>>;
  /** Trying the same again later can succeed without anybody changing anything. */
  readonly retryable: boolean;

  constructor(
    reason: Reason,
    message: string,
    options: {
      readonly cause?: unknown;
      readonly details?: Readonly<Record<string, unknown>>;
      readonly retryable?: boolean;
    } = {},
  ) {
    super(message, 'cause' in options ? { cause: options.cause } : undefined);
    this.reason = reason;
    this.details = options.details ?? {};
    this.retryable = options.retryable ?? retryableReasons.has(reason);
  }
}

export function isPlatformError(value: unknown, reason?: Reason): value is PlatformError {
  return value instanceof PlatformError && (reason === undefined || value.reason === reason);
}

/** The single funnel for anything thrown: a PlatformError stays, everything else becomes Internal (aborts: Canceled). */
export function toPlatformError(thrown: unknown, doing?: string): PlatformError {
  if (thrown instanceof PlatformError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  const reason: Reason = thrown instanceof Error && thrown.name === 'AbortError' ? 'Canceled' : 'Internal';
  return new PlatformError(reason, doing === undefined ? message : `${doing}: ${message}`, { cause: thrown });
}
