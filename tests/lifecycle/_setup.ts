import type { TestProject } from 'vitest/node';
import { startTestRegistry } from '../fixtures/registry/index.ts';

/** A registry; each file brings up installations of its own, one at a time. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const registry = await startTestRegistry();
  project.provide('registryUrl', registry.url);
  return async () => {
    await registry[Symbol.asyncDispose]();
  };
}
