// Checks the dependency rules, and first that the check itself can fail: a fixture breaks one rule on purpose.
import { spawnSync } from 'node:child_process';

const cruise = (...paths) =>
  spawnSync('node_modules/.bin/depcruise', ['--config', '.dependency-cruiser.cjs', '--output-type', 'err', ...paths], { encoding: 'utf8' });

const mustFail = cruise('tests/style/fixtures/layers');
if (mustFail.status === 0 || !mustFail.stdout.includes('kubestack-knows-no-other-house')) {
  console.error('the layer check does not notice its must-fail fixture:\n' + mustFail.stdout + mustFail.stderr);
  process.exit(1);
}
const real = cruise('packages', 'apps');
process.stdout.write(real.stdout);
process.stderr.write(real.stderr);
process.exit(real.status ?? 1);
