import { PlatformError } from '@hypernetes/foundation/errors';

/** The container runtime could not be asked: that says nothing of the container. */
export class RuntimeUnreachable extends PlatformError {
  constructor(message: string, cause?: unknown) {
    super('Unavailable', message, { cause });
  }
}
