export { LocalIdentityProvider } from './identity-provider.ts';
export { LocalLoadBalancerProvider, type LocalLoadBalancerOptions } from './load-balancer-provider.ts';
export {
  LocalNetworkProvider,
  type LocalNetworkOptions,
  type NetworkNameServer,
} from './network-provider.ts';
export { LocalVolumeProvider } from './volume-provider.ts';
export { instanceNames, type InstanceNames } from './names.ts';
export { purgeLocalState, releaseKernelState, type RemovalOptions } from './removal.ts';
