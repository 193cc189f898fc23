import type { KubeClient } from '../client/index.ts';

/** What startKubelet needs. Paths are absolute, PEM texts are given as they are in the files. */
export interface KubeletOptions {
  readonly client: KubeClient;
  readonly nodeName: string;
  /** Address the API server reaches this kubelet at; the node's InternalIP. */
  readonly nodeAddress: string;
  /** Unix socket of the container runtime. */
  readonly criSocket: string;
  /** For the direct-volume registry. */
  readonly runDir: string;
  /** Pod volumes are made below `<dataDir>/kubelet`. */
  readonly dataDir: string;
  readonly podLogsDir: string;
  readonly servingCert: string;
  readonly servingKey: string;
  /** Authority of the API server's client certificate. */
  readonly clientCa: string;
  /** Common names of client certificates that may use the HTTPS server. */
  readonly allowedClientNames: readonly string[];
  /** Default 10250; 0 takes a free one. */
  readonly port?: number;
  /** Default: nodeAddress. */
  readonly listenAddress?: string;
  readonly clusterDns?: readonly string[];
  readonly clusterDomain?: string;
  readonly maxPods?: number;
  /** Kept from pods for the host. */
  readonly reservedCpuMillis?: number;
  readonly reservedMemoryBytes?: number;
  /** Labels of the Node besides the well-known ones. */
  readonly nodeLabels?: Readonly<Record<string, string>>;
  /** Defaults: 10 MiB and 5 files. */
  readonly logMaxBytes?: number;
  readonly logMaxFiles?: number;
}

/** Options with the defaults filled in. */
export type KubeletConfig = Required<KubeletOptions>;

const mebibyte = 1 << 20;

export function resolveKubeletConfig(options: KubeletOptions): KubeletConfig {
  return {
    port: 10_250,
    listenAddress: options.nodeAddress,
    clusterDns: ['10.96.0.10'],
    clusterDomain: 'cluster.local',
    maxPods: 500,
    reservedCpuMillis: 200,
    reservedMemoryBytes: 512 * mebibyte,
    nodeLabels: {},
    logMaxBytes: 10 * mebibyte,
    logMaxFiles: 5,
    ...options,
  };
}
