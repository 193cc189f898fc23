// Builds build/: one bundle per app (esbuild) and what is generated from packages (schemas). Run by ./hypernetes when a source is newer.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
process.chdir(root);
mkdirSync('build', { recursive: true });
const startedAt = new Date();

const result = await build({
  entryPoints: { hypernetes: 'apps/hypernetes/main.ts' },
  outdir: 'build/next',
  outExtension: { '.js': '.mjs' },
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'esm',
  sourcemap: 'linked',
  // Native code and code that looks for files beside itself stay in node_modules.
  external: ['better-sqlite3', 'pino'],
  banner: {
    js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
  },
  logLevel: 'warning',
  metafile: true,
});
if (result.errors.length > 0) process.exit(1);

const generator = 'tools/generate-schemas.mjs';
if (existsSync(generator)) {
  const inputs = [generator, 'node_modules/@kubernetes/client-node/package.json'];
  const key = createHash('sha256')
    .update(inputs.map((file) => readFileSync(file)).join('\0'))
    .digest('hex');
  const keyFile = 'build/schemas.key';
  if (!existsSync('build/schemas.json') || !existsSync(keyFile) || readFileSync(keyFile, 'utf8') !== key) {
    const generated = spawnSync(process.execPath, [generator], { stdio: ['ignore', 'inherit', 'inherit'] });
    if (generated.status !== 0) process.exit(1);
    writeFileSync(keyFile, key);
  }
}

// The bundle's hash is the version of a build: `up` restarts daemons that run another one.
const code = readFileSync('build/next/hypernetes.mjs');
writeFileSync('build/next/build-id', createHash('sha256').update(code).digest('hex').slice(0, 12));
for (const file of ['hypernetes.mjs', 'hypernetes.mjs.map', 'build-id'])
  renameSync(join('build/next', file), join('build', file));
writeFileSync('build/.stamp', startedAt.toISOString());
const { utimesSync } = await import('node:fs');
utimesSync('build/.stamp', startedAt, startedAt);
