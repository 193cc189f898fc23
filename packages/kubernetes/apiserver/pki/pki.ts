import { generateKeyPairSync } from 'node:crypto';
import { join } from 'node:path';
import { PlatformError } from '@hypernetes/foundation/errors';
import { readFileIfExists, writeFileAtomic } from '@hypernetes/foundation/files';
import { systemClock, type Clock } from '@hypernetes/foundation/lifecycle';
import {
  createAuthority,
  createCertificate,
  isCertificateGood,
  type CertificateSubject,
  type KeyAndCertificate,
} from './certificates.ts';

export interface PkiOptions {
  /** The node's name, as in its Node object. */
  readonly nodeName: string;
  /** Further names and addresses clients reach the API server and the kubelet by (the node's addresses). */
  readonly addresses: readonly string[];
  /** The address of the Service default/kubernetes, for example 10.96.0.1. */
  readonly serviceClusterIp: string;
  readonly clock?: Clock;
}

/** Everything the parts of the control plane and the node prove themselves with. */
export interface Pki {
  /** The authority's certificate (PEM) without its key: what clients trust. */
  readonly caPem: string;
  /** Serving certificate of the API server. */
  readonly apiServer: KeyAndCertificate;
  /** The API server as a client of the kubelet. */
  readonly apiServerKubeletClient: KeyAndCertificate;
  /** Cluster administrator (O=system:masters). */
  readonly admin: KeyAndCertificate;
  readonly controllerManager: KeyAndCertificate;
  readonly scheduler: KeyAndCertificate;
  /** The kubelet as a client of the API server (CN=system:node:<name>, O=system:nodes). */
  readonly node: KeyAndCertificate;
  /** Serving certificate of the kubelet. */
  readonly kubelet: KeyAndCertificate;
  /** Signs service account tokens (PKCS #8 PEM, P-256). */
  readonly serviceAccountKeyPem: string;
}

function subjectsOf(options: PkiOptions): Record<string, CertificateSubject> {
  const addresses = [...new Set(options.addresses)];
  const apiServerNames = new Set([
    '127.0.0.1',
    'localhost',
    ...addresses,
    options.nodeName,
    options.serviceClusterIp,
    'kubernetes',
    'kubernetes.default',
    'kubernetes.default.svc',
    'kubernetes.default.svc.cluster.local',
  ]);
  return {
    apiserver: { commonName: 'kube-apiserver', alternativeNames: [...apiServerNames], use: 'server' },
    'apiserver-kubelet-client': {
      commonName: 'kube-apiserver-kubelet-client',
      organizations: ['system:masters'],
      use: 'client',
    },
    admin: { commonName: 'kubernetes-admin', organizations: ['system:masters'], use: 'client' },
    'controller-manager': { commonName: 'system:kube-controller-manager', use: 'client' },
    scheduler: { commonName: 'system:kube-scheduler', use: 'client' },
    node: {
      commonName: `system:node:${options.nodeName}`,
      organizations: ['system:nodes'],
      use: 'client',
    },
    kubelet: {
      commonName: `system:node:${options.nodeName}`,
      organizations: ['system:nodes'],
      alternativeNames: [...new Set(['127.0.0.1', 'localhost', options.nodeName, ...addresses])],
      use: 'server',
    },
  };
}

/**
 * The key material in `dir` (certificates 0644, keys 0600), made where absent, renewed when it is near its end or no longer says
 * what the options want. Idempotent; the authority is never replaced, so what trusts it keeps working.
 */
export async function ensurePki(dir: string, options: PkiOptions): Promise<Pki> {
  const now = (options.clock ?? systemClock).now();
  const authority = await ensureAuthority(dir, now);
  const pairs: Record<string, KeyAndCertificate> = {};
  for (const [name, subject] of Object.entries(subjectsOf(options))) {
    pairs[name] = await ensurePair(dir, name, authority, subject, now);
  }
  const pair = (name: string): KeyAndCertificate => {
    const found = pairs[name];
    if (found === undefined) throw new PlatformError('Internal', `no certificate ${name}`);
    return found;
  };
  return {
    caPem: authority.certificatePem,
    apiServer: pair('apiserver'),
    apiServerKubeletClient: pair('apiserver-kubelet-client'),
    admin: pair('admin'),
    controllerManager: pair('controller-manager'),
    scheduler: pair('scheduler'),
    node: pair('node'),
    kubelet: pair('kubelet'),
    serviceAccountKeyPem: await ensureServiceAccountKey(dir),
  };
}

async function readPair(dir: string, name: string): Promise<KeyAndCertificate | undefined> {
  const certificatePem = await readFileIfExists(join(dir, `${name}.crt`));
  const keyPem = await readFileIfExists(join(dir, `${name}.key`));
  return certificatePem === undefined || keyPem === undefined ? undefined : { certificatePem, keyPem };
}

// The key goes first: a crash in between leaves a pair that does not fit, which the next start replaces.
async function writePair(dir: string, name: string, pair: KeyAndCertificate): Promise<void> {
  await writeFileAtomic(join(dir, `${name}.key`), pair.keyPem, 0o600);
  await writeFileAtomic(join(dir, `${name}.crt`), pair.certificatePem, 0o644);
}

async function ensureAuthority(dir: string, now: number): Promise<KeyAndCertificate> {
  const present = await readPair(dir, 'ca');
  if (present !== undefined) return present;
  const made = await createAuthority('hypernetes-ca', now);
  await writePair(dir, 'ca', made);
  return made;
}

async function ensurePair(
  dir: string,
  name: string,
  authority: KeyAndCertificate,
  subject: CertificateSubject,
  now: number,
): Promise<KeyAndCertificate> {
  const present = await readPair(dir, name);
  if (present !== undefined && (await isCertificateGood(authority, present, subject, now))) return present;
  const made = await createCertificate(authority, subject, now);
  await writePair(dir, name, made);
  return made;
}

async function ensureServiceAccountKey(dir: string): Promise<string> {
  const path = join(dir, 'service-account.key');
  const present = await readFileIfExists(path);
  if (present !== undefined) return present;
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pem = privateKey.export({ format: 'pem', type: 'pkcs8' }).toString();
  await writeFileAtomic(path, pem, 0o600);
  return pem;
}
