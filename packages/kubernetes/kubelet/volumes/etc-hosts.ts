import { writeFile } from 'node:fs/promises';
import { mkdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import { readFileIfExists } from '@hypernetes/foundation/files';
import { fullNameOf, hostnameOf } from '../containers/sandbox-config.ts';
import type { Pod } from '../kube-types.ts';

/** /etc/hosts of a pod: loopback, the pod's own name, the pod's hostAliases. */
export function etcHosts(pod: Pod, addresses: readonly string[], clusterDomain: string): string {
  const fullName = fullNameOf(pod, clusterDomain);
  const names = fullName === undefined ? hostnameOf(pod) : `${fullName}\t${hostnameOf(pod)}`;
  const aliases = pod.spec.hostAliases ?? [];
  return [
    '# Kubernetes-managed hosts file.',
    '127.0.0.1\tlocalhost',
    '::1\tlocalhost ip6-localhost ip6-loopback',
    'fe00::0\tip6-localnet',
    'fe00::0\tip6-mcastprefix',
    'fe00::1\tip6-allnodes',
    'fe00::2\tip6-allrouters',
    ...addresses.map((address) => `${address}\t${names}`),
    ...(aliases.length === 0 ? [] : ['', '# Entries added by HostAliases.']),
    ...aliases.map(({ ip, hostnames }) => `${ip ?? ''}\t${(hostnames ?? []).join('\t')}`),
    '',
  ].join('\n');
}

/** Written in place, so that whoever holds the file sees the change. */
export async function writeIfChanged(path: string, content: string, mode: number): Promise<void> {
  if ((await readFileIfExists(path)) === content) return;
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  await writeFile(path, content, { mode });
}
