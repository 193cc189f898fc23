export { identityProviderConformance } from './identity-provider-conformance.ts';
export {
  loadBalancerProviderConformance,
  type LoadBalancerFixture,
} from './load-balancer-provider-conformance.ts';
export { networkProviderConformance, type ProviderFixture } from './network-provider-conformance.ts';
export { volumeProviderConformance } from './volume-provider-conformance.ts';
