export { NameServer, type NameServerOptions } from './name-server.ts';
export { Forwarder } from './forwarder.ts';
export { makeClusterView, type ClusterView } from './cluster-names.ts';
