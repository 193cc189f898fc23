export { formatHolder, type PodReference } from './pod-reference.ts';
export {
  defaultNetworkUid,
  type HostRoute,
  type Network,
  type NetworkCapability,
  type NetworkProvider,
  type NetworkSpec,
  type NetworkState,
  type Port,
  type PortSpec,
  type SubnetSpec,
  type SubnetStatus,
} from './network-provider.ts';
export type {
  Listener,
  LoadBalancer,
  LoadBalancerCapability,
  LoadBalancerProvider,
  LoadBalancerSpec,
  Member,
} from './load-balancer-provider.ts';
export type {
  Attachment,
  AttachmentSpec,
  Volume,
  VolumeCapability,
  VolumeConnection,
  VolumeProvider,
  VolumeSpec,
  VolumeState,
} from './volume-provider.ts';
export {
  tenantRoles,
  type AuthenticatedUser,
  type IdentityCapability,
  type IdentityProvider,
  type IssuedToken,
  type Tenant,
  type TenantEvent,
  type TenantRole,
  type TokenSpec,
} from './identity-provider.ts';
