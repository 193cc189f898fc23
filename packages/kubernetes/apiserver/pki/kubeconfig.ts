import { stringify } from 'yaml';
import { writeFileAtomic } from '@hypernetes/foundation/files';
import type { KeyAndCertificate } from './certificates.ts';

export interface KubeconfigOptions {
  /** https://127.0.0.1:6443 */
  readonly server: string;
  readonly caPem: string;
  readonly clusterName?: string;
  readonly userName: string;
  /** The namespace of the context. */
  readonly namespace?: string;
  /** How the user proves who they are. */
  readonly credentials: KeyAndCertificate | { readonly token: string };
}

const base64 = (text: string): string => Buffer.from(text, 'utf8').toString('base64');

/** A kubeconfig document (YAML) with everything inside, no reference to other files. */
export function formatKubeconfig(options: KubeconfigOptions): string {
  const cluster = options.clusterName ?? 'hypernetes';
  const context = `${options.userName}@${cluster}`;
  const user =
    'token' in options.credentials
      ? { token: options.credentials.token }
      : {
          'client-certificate-data': base64(options.credentials.certificatePem),
          'client-key-data': base64(options.credentials.keyPem),
        };
  return stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name: cluster,
        cluster: { server: options.server, 'certificate-authority-data': base64(options.caPem) },
      },
    ],
    users: [{ name: options.userName, user }],
    contexts: [
      {
        name: context,
        context: {
          cluster,
          user: options.userName,
          ...(options.namespace === undefined ? {} : { namespace: options.namespace }),
        },
      },
    ],
    'current-context': context,
  });
}

/** Writes the kubeconfig for its owner only (0600), atomically. */
export async function writeKubeconfig(path: string, options: KubeconfigOptions): Promise<void> {
  await writeFileAtomic(path, formatKubeconfig(options), 0o600);
}
