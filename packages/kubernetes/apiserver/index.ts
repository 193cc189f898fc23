export { startApiServer, type ApiServer, type ApiServerOptions } from './server/start.ts';
export { ensurePki, type Pki, type PkiOptions } from './pki/pki.ts';
export { formatKubeconfig, writeKubeconfig, type KubeconfigOptions } from './pki/kubeconfig.ts';
export type { KeyAndCertificate } from './pki/certificates.ts';
