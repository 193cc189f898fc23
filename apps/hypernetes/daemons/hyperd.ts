import { startHyperd } from '@hypernetes/hypercontainer/cri';
import { nodeName, type Installation, type Settings } from '../config/installation.ts';

/** The container runtime. */
export async function runHyperd(installation: Installation, settings: Settings): Promise<AsyncDisposable> {
  return await startHyperd({
    dataDir: installation.dataDir,
    runDir: installation.runDir,
    cacheDir: installation.cacheDir,
    socketPath: installation.hyperdSocket,
    kubestackSocket: installation.kubestackSocket,
    instancePrefix: installation.instancePrefix,
    nodeName: nodeName(),
    accelerator: settings.accel,
    registryMirrors: settings.registryMirrors,
    monitorUidBase: installation.monitorUidBase,
  });
}
