import { PlatformError, type Reason } from '@hypernetes/foundation/errors';
import { ErrorCode, type Error as WireError } from '@hypernetes/proto/hyperstart';

const reasonOfCode: ReadonlyMap<ErrorCode, Reason> = new Map<ErrorCode, Reason>([
  [ErrorCode.ERROR_NOT_FOUND, 'NotFound'],
  [ErrorCode.ERROR_ALREADY_EXISTS, 'AlreadyExists'],
  [ErrorCode.ERROR_INVALID_ARGUMENT, 'Invalid'],
  [ErrorCode.ERROR_FAILED_PRECONDITION, 'Precondition'],
  [ErrorCode.ERROR_DEADLINE_EXCEEDED, 'DeadlineExceeded'],
  [ErrorCode.ERROR_RESOURCE_EXHAUSTED, 'Exhausted'],
  [ErrorCode.ERROR_COMMAND_NOT_FOUND, 'NotFound'],
  [ErrorCode.ERROR_COMMAND_NOT_EXECUTABLE, 'Precondition'],
]);

// OCI runtimes and shells agree on these two (POSIX 2.8.2).
const exitCodeOfCode: ReadonlyMap<ErrorCode, number> = new Map([
  [ErrorCode.ERROR_COMMAND_NOT_FOUND, 127],
  [ErrorCode.ERROR_COMMAND_NOT_EXECUTABLE, 126],
]);

const messageCharactersMax = 2_000;

/** A refusal of the guest as our error; `details.exitCode` is 126 or 127 when a command could not be executed. */
export function toGuestError(operation: string, error: WireError): PlatformError {
  const exitCode = exitCodeOfCode.get(error.code);
  // The text comes from inside the pod's machine: short, and without control characters.
  const text = error.message.slice(0, messageCharactersMax).replace(/\p{Cc}/gu, ' ');
  return new PlatformError(reasonOfCode.get(error.code) ?? 'Internal', text === '' ? operation : text, {
    details: { operation, ...(exitCode === undefined ? {} : { exitCode }) },
  });
}

/** Exit code a failed start stands for, undefined when the command was not the trouble. */
export function commandExitCode(error: unknown): number | undefined {
  if (!(error instanceof PlatformError)) return undefined;
  const code = error.details['exitCode'];
  return typeof code === 'number' ? code : undefined;
}
