import {
  createAuthority,
  createCertificate,
  type KeyAndCertificate,
} from '../../apiserver/pki/certificates.ts';

export interface TestCertificates {
  readonly authorityPem: string;
  readonly serving: KeyAndCertificate;
  /** The API server as a client. */
  readonly apiServer: KeyAndCertificate;
  /** Of the same authority, and not allowed. */
  readonly stranger: KeyAndCertificate;
}

export async function makeTestCertificates(): Promise<TestCertificates> {
  const now = Date.now();
  const authority = await createAuthority('test-ca', now);
  const client = (commonName: string) => createCertificate(authority, { commonName, use: 'client' }, now);
  return {
    authorityPem: authority.certificatePem,
    serving: await createCertificate(
      authority,
      { commonName: 'node1', alternativeNames: ['127.0.0.1'], use: 'server' },
      now,
    ),
    apiServer: await client('kube-apiserver-kubelet-client'),
    stranger: await client('somebody'),
  };
}
