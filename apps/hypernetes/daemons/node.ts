import { DisposalStack } from '@hypernetes/foundation/lifecycle';
import { createKubeClient } from '@hypernetes/kubernetes/client';
import { startKubelet } from '@hypernetes/kubernetes/kubelet';
import { startNodeProxy } from '@hypernetes/kubernetes/proxy';
import { nodeAddress, nodeName, type Installation, type Settings } from '../config/installation.ts';
import { preparePki } from '../setup/pki.ts';

/** Kubelet and node proxy. */
export async function runNode(installation: Installation, settings: Settings): Promise<AsyncDisposable> {
  const pki = await preparePki(installation, settings);
  const stack = new DisposalStack();
  const client = stack.use(
    createKubeClient({
      server: `https://127.0.0.1:${settings.apiPort}`,
      caPem: pki.caPem,
      clientCertPem: pki.node.certificatePem,
      clientKeyPem: pki.node.keyPem,
      userAgent: 'hypernetes-node',
    }),
  );
  stack.use(
    await startKubelet({
      client,
      nodeName: nodeName(),
      nodeAddress: nodeAddress(),
      criSocket: installation.hyperdSocket,
      runDir: installation.runDir,
      dataDir: installation.dataDir,
      podLogsDir: installation.podLogsDir,
      servingCert: pki.kubelet.certificatePem,
      servingKey: pki.kubelet.keyPem,
      clientCa: pki.caPem,
      allowedClientNames: ['kube-apiserver-kubelet-client', 'kubernetes-admin'],
      port: settings.kubeletPort,
    }),
  );
  stack.use(
    await startNodeProxy({ client, instancePrefix: installation.instancePrefix, nodeName: nodeName() }),
  );
  return stack;
}
