import { ensurePki, writeKubeconfig, type Pki } from '@hypernetes/kubernetes/apiserver';
import { nodeAddress, nodeName, type Installation, type Settings } from '../config/installation.ts';

export const apiServiceAddress = '10.96.0.1';

/** The installation's key material, made or renewed; and the administrator's kubeconfig (0600). Idempotent. */
export async function preparePki(installation: Installation, settings: Settings): Promise<Pki> {
  const pki = await ensurePki(installation.pkiDir, {
    nodeName: nodeName(),
    addresses: [nodeAddress()],
    serviceClusterIp: apiServiceAddress,
  });
  await writeKubeconfig(installation.kubeconfigPath, {
    server: `https://127.0.0.1:${settings.apiPort}`,
    caPem: pki.caPem,
    userName: 'kubernetes-admin',
    credentials: pki.admin,
  });
  return pki;
}
