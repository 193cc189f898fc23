import { DisposalStack } from '@hypernetes/foundation/lifecycle';
import { createKubeClient, type KubeClient } from '@hypernetes/kubernetes/client';
import { startApiServer, type KeyAndCertificate } from '@hypernetes/kubernetes/apiserver';
import { startControllers } from '@hypernetes/kubernetes/controllers';
import { startScheduler } from '@hypernetes/kubernetes/scheduler';
import { join } from 'node:path';
import {
  nodeAddress,
  repositoryRoot,
  serviceCidr,
  type Installation,
  type Settings,
} from '../config/installation.ts';
import { preparePki } from '../setup/pki.ts';

/** The control plane: API server with its store, controllers and scheduler; the last two are clients of the first like any other. */
export async function runServer(installation: Installation, settings: Settings): Promise<AsyncDisposable> {
  const pki = await preparePki(installation, settings);
  const stack = new DisposalStack();
  const api = stack.use(
    await startApiServer({
      dataDir: join(installation.dataDir, 'server'),
      pki,
      bindAddress: '0.0.0.0',
      port: settings.apiPort,
      advertiseAddress: nodeAddress(),
      serviceCidr,
      schemasPath: join(repositoryRoot(), 'build', 'schemas.json'),
      kubestackSocket: installation.kubestackSocket,
    }),
  );
  const connect = (credentials: KeyAndCertificate, userAgent: string): KubeClient =>
    stack.use(
      createKubeClient({
        server: `https://127.0.0.1:${api.port}`,
        caPem: pki.caPem,
        clientCertPem: credentials.certificatePem,
        clientKeyPem: credentials.keyPem,
        userAgent,
      }),
    );
  stack.use(
    startControllers({
      client: connect(pki.controllerManager, 'hypernetes-controllers'),
      kubestackSocket: installation.kubestackSocket,
      caPem: pki.caPem,
      advertised: { address: nodeAddress(), port: api.port },
    }),
  );
  stack.use(await startScheduler({ client: connect(pki.scheduler, 'hypernetes-scheduler') }));
  return stack;
}
