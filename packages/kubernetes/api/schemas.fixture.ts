// eslint-disable-next-line no-restricted-imports -- test support: must be done before the first test, synchronously
import { execFileSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { loadSchemas, type Schemas } from './schemas.ts';

const root = join(import.meta.dirname, '../../..');

/** For tests of any package: the schemas of this source tree, generated when they are missing or older than their generator. */
export function schemasForTests(): Schemas {
  const path = join(root, 'build/schemas.json');
  const generator = join(root, 'tools/generate-schemas.mjs');
  if (modified(path) < modified(generator)) execFileSync(process.execPath, [generator, path]);
  return loadSchemas(path);
}

function modified(path: string): number {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
}
