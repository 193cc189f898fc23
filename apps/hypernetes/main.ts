import { Command, Option } from 'commander';
import { isPlatformError } from '@hypernetes/foundation/errors';
import { addBench } from './commands/bench.ts';
import { addCompletion } from './commands/completion.ts';
import { addDaemons } from './commands/daemon.ts';
import { addDoctor } from './commands/doctor.ts';
import { addDown } from './commands/down.ts';
import { addImage } from './commands/image.ts';
import { addKubeconfig } from './commands/kubeconfig.ts';
import { addLogin } from './commands/login.ts';
import { addStatus } from './commands/status.ts';
import { addTenant } from './commands/tenant.ts';
import { addTest } from './commands/test.ts';
import { addUp } from './commands/up.ts';
import { addVolume } from './commands/volume.ts';

const program = new Command('hypernetes')
  .description('Kubernetes where every pod is its own virtual machine and every tenant its own network')
  .addOption(
    new Option('--data-dir <directory>', 'where the installation keeps its state')
      .env('HYPERNETES_DATA_DIR')
      .default('/var/lib/hypernetes'),
  )
  .showHelpAfterError()
  .addHelpText(
    'after',
    '\nExample:\n  sudo ./hypernetes up && export KUBECONFIG=$(./hypernetes kubeconfig) && kubectl get nodes\n',
  );

addUp(program);
addTest(program);
addStatus(program);
addDoctor(program);
addKubeconfig(program);
addDown(program);
addTenant(program);
addLogin(program);
addVolume(program);
addImage(program);
addBench(program);
addCompletion(program);
addDaemons(program);

try {
  await program.parseAsync();
} catch (error) {
  if (isPlatformError(error)) console.error(`hypernetes: ${error.message}`);
  else console.error('hypernetes: unexpected error:', error);
  process.exitCode = isPlatformError(error, 'Invalid') ? 2 : 1;
}
