import type { SandboxServiceOptions } from './options.ts';
import type { SandboxService } from './sandbox-service.ts';
import { SandboxManager } from './sandbox-manager.ts';

/** The one constructor of the sandbox service. Call recover() on what it answers before anything else. */
export function createSandboxService(options: SandboxServiceOptions): SandboxService {
  return new SandboxManager(options);
}
