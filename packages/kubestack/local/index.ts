export { LocalIdentityProvider } from './identity-provider.ts';
export {
  LocalNetworkProvider,
  type LocalNetworkOptions,
  type NetworkNameServer,
} from './network-provider.ts';
export { LocalVolumeProvider } from './volume-provider.ts';
export { instanceNames, type InstanceNames } from './names.ts';
