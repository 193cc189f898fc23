export type * from './sandbox-service.ts';
export type { SandboxServiceOptions } from './options.ts';
export { connectInfrastructure, type PodInfrastructure } from './infrastructure.ts';
export { createSandboxService } from './create-sandbox-service.ts';
export { releaseSandboxes } from './release-sandboxes.ts';
