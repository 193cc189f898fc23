// Checks the dependency rules, and first that the check itself can fail: a fixture breaks one rule on purpose.
import { spawnSync } from 'node:child_process';

const cruise = (...paths) =>
  spawnSync(
    'node_modules/.bin/depcruise',
    ['--config', '.dependency-cruiser.cjs', '--output-type', 'err', ...paths],
    { encoding: 'utf8' },
  );

const mustFail = cruise('tests/style/fixtures/layers');
const found = mustFail.stdout.split('\n').filter((line) => line.includes('kubestack-knows-no-other-house'));
// One import by path, one by package name: the second is what a rule misses that looks at the wrong side of the symbolic link.
if (mustFail.status === 0 || found.length !== 2) {
  console.error(
    'the layer check does not notice its must-fail fixture:\n' + mustFail.stdout + mustFail.stderr,
  );
  process.exit(1);
}
const real = cruise('packages', 'apps');
process.stdout.write(real.stdout);
process.stderr.write(real.stderr);
process.exit(real.status ?? 1);
