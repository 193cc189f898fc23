export { removeNodeProxy, startNodeProxy, type NodeProxyOptions } from './node-proxy.ts';
