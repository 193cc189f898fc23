import { startKubestackd } from '@hypernetes/kubestack/server';
import { serviceCidr, type Installation, type Settings } from '../config/installation.ts';

/** The tenant infrastructure service. */
export async function runKubestackd(
  installation: Installation,
  settings: Settings,
): Promise<AsyncDisposable> {
  return await startKubestackd({
    dataDir: installation.dataDir,
    runDir: installation.runDir,
    instancePrefix: installation.instancePrefix,
    socketPath: installation.kubestackSocket,
    serviceCidr,
    hostServicePorts: [settings.apiPort],
  });
}
