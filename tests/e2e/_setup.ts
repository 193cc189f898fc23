import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { run } from '@hypernetes/foundation/process';
import { startTestRegistry } from '../fixtures/registry/index.ts';
import { TestInstallation } from '../fixtures/installation.ts';

declare module 'vitest' {
  export interface ProvidedContext {
    dataDir: string;
    registryUrl: string;
  }
}

/** One cluster and one registry for the whole end-to-end run; test files use namespaces and tenants of their own. */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  // The image `probe` is made of it.
  await run('make', ['-C', join(import.meta.dirname, '..', '..', 'guest', 'probe')]);
  const registry = await startTestRegistry();
  const installation = await TestInstallation.create(['--registry-mirror', `docker.io=${registry.url}`]);
  console.log(await installation.up());
  project.provide('dataDir', installation.dataDir);
  project.provide('registryUrl', registry.url);
  return async () => {
    if (process.env['HYPERNETES_KEEP'] === '1') return; // for looking at a failure: the cluster stays
    await installation[Symbol.asyncDispose]();
    await registry[Symbol.asyncDispose]();
  };
}
