import { readFile, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { spawnChild } from '@hypernetes/foundation/process';
import { repositoryRoot } from '../config/installation.ts';

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

interface Stage {
  readonly name: string;
  readonly command: readonly [string, ...string[]];
  /** A vitest run counts its tests from this report; any other stage is one check. */
  readonly report?: string;
}

/** Cheapest first: a mistake in formatting should not wait for virtual machines. */
function stages(only: string | undefined): readonly Stage[] {
  const vitest = (project: string): Stage => {
    const report = join('build', 'test-reports', `${project}.json`);
    return {
      name: `${project} tests`,
      command: [
        join('node_modules', '.bin', 'vitest'),
        'run',
        '--project',
        project,
        '--reporter=default',
        '--reporter=json',
        `--outputFile.json=${report}`,
        '--passWithNoTests',
        ...(only === undefined ? [] : [only]),
      ],
      report,
    };
  };
  const suites = [vitest('unit'), vitest('integration'), vitest('lifecycle'), vitest('e2e')];
  if (only !== undefined) return suites;
  const bin = (name: string): string => join('node_modules', '.bin', name);
  return [
    { name: 'format', command: [bin('prettier'), '--check', '--log-level', 'warn', '.'] },
    { name: 'types', command: [bin('tsc'), '-p', 'tsconfig.json'] },
    { name: 'layers', command: [process.execPath, join('tools', 'check-layers.mjs')] },
    { name: 'lint', command: [bin('eslint'), '.'] },
    {
      name: 'hyperstart unit tests (ASan, UBSan)',
      command: ['make', '-s', '-C', join('guest', 'hyperstart'), 'test'],
    },
    ...suites,
  ];
}

/** Runs every stage whatever the earlier ones gave, prints the closing counts, answers the exit code. */
export async function runTests(only: string | undefined): Promise<number> {
  const total: Counts = { passed: 0, failed: 0, skipped: 0 };
  const root = repositoryRoot();
  await mkdir(join(root, 'build', 'test-reports'), { recursive: true });
  const summary: string[] = [];
  for (const stage of stages(only)) {
    const begin = Date.now();
    console.log(`\n=== ${stage.name}`);
    const exitCode = await runStage(root, stage);
    const counts = await countsOf(root, stage, exitCode, begin);
    total.passed += counts.passed;
    total.failed += counts.failed;
    total.skipped += counts.skipped;
    const seconds = ((Date.now() - begin) / 1000).toFixed(1);
    summary.push(
      `${counts.failed === 0 ? 'ok  ' : 'FAIL'} ${stage.name}: ${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped in ${seconds} s`,
    );
  }
  console.log(`\n${summary.join('\n')}\n`);
  console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
  return total.failed === 0 && total.passed > 0 ? 0 : 1;
}

async function runStage(root: string, stage: Stage): Promise<number> {
  const [program, ...args] = stage.command;
  return await new Promise((resolve) => {
    const child = spawnChild(program, args, {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, FORCE_COLOR: '0', HN_LOG: process.env['HN_LOG'] ?? 'error' },
    });
    child.on('error', (error) => {
      console.error(`${program}: ${error.message}`);
      resolve(127);
    });
    child.on('exit', (code) => resolve(code ?? 1));
  });
}

async function countsOf(root: string, stage: Stage, exitCode: number, begin: number): Promise<Counts> {
  if (stage.report === undefined)
    return { passed: exitCode === 0 ? 1 : 0, failed: exitCode === 0 ? 0 : 1, skipped: 0 };
  try {
    const report = JSON.parse(await readFile(join(root, stage.report), 'utf8')) as {
      startTime: number;
      numPassedTests: number;
      numFailedTests: number;
      numPendingTests: number;
      numTodoTests: number;
    };
    if (report.startTime < begin - 1000) throw new Error('the report is of an earlier run');
    // A file that could not even be loaded fails no test, but the run.
    const failed = report.numFailedTests === 0 && exitCode !== 0 ? 1 : report.numFailedTests;
    return { passed: report.numPassedTests, failed, skipped: report.numPendingTests + report.numTodoTests };
  } catch {
    return { passed: 0, failed: exitCode === 0 ? 0 : 1, skipped: 0 };
  }
}
