import { httpStatusOf, kubernetesReasonOf, toPlatformError } from '@hypernetes/foundation/errors';

/** metav1.Status, as far as the error stream of a remote command needs it. */
export interface RemoteStatus {
  readonly metadata: object;
  readonly status: 'Success' | 'Failure';
  readonly message?: string;
  readonly reason?: string;
  readonly details?: { readonly causes: readonly { readonly reason?: string; readonly message: string }[] };
  readonly code?: number;
}

/** How a process ended: a code other than 0 is a cause of type ExitCode, which kubectl exits with. */
export function statusOfExit(exitCode: number): RemoteStatus {
  if (exitCode === 0) return { metadata: {}, status: 'Success' };
  return {
    metadata: {},
    status: 'Failure',
    message: `command terminated with non-zero exit code: exit status ${exitCode}`,
    reason: 'NonZeroExitCode',
    details: { causes: [{ reason: 'ExitCode', message: String(exitCode) }] },
  };
}

/** Why a process did not run or could not be followed to its end. */
export function statusOfError(thrown: unknown): RemoteStatus {
  const error = toPlatformError(thrown);
  return {
    metadata: {},
    status: 'Failure',
    message: error.message,
    reason: kubernetesReasonOf(error.reason),
    details: { causes: [{ message: error.message }] },
    code: httpStatusOf(error.reason),
  };
}

/** The status in the form of a protocol version: JSON since v4, before that a plain message, and nothing for success. */
export function formatStatus(status: RemoteStatus, version: number): string {
  if (version >= 4) return JSON.stringify(status);
  return status.status === 'Success' ? '' : (status.message ?? 'failed');
}
