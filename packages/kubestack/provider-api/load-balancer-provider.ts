export interface Member {
  readonly address: string;
  readonly port: number;
}

export interface Listener {
  readonly name: string;
  readonly protocol: 'TCP' | 'UDP';
  readonly port: number;
  readonly members: readonly Member[];
}

export interface LoadBalancerSpec {
  /** The caller's key, the uid of the Service. */
  readonly uid: string;
  /** For people: `namespace/name` of the Service. */
  readonly name: string;
  readonly tenantId: string;
  readonly networkUid: string;
  /** None: one from the provider's pool, which stays the same for the load balancer's life. */
  readonly addresses: readonly string[];
  readonly listeners: readonly Listener[];
  /** Seconds a client stays with a member after its last connection; 0: no affinity. */
  readonly affinityTimeoutS: number;
  /** CIDRs clients may come from; none: all. */
  readonly sourceRanges: readonly string[];
}

export interface LoadBalancer {
  readonly uid: string;
  readonly name: string;
  readonly networkUid: string;
  readonly addresses: readonly string[];
  readonly listeners: readonly Listener[];
  readonly providerId: string;
  readonly state: 'Active' | 'Pending' | 'Failed';
  readonly message: string;
}

export type LoadBalancerCapability =
  'load-balancer-tcp' | 'load-balancer-udp' | 'load-balancer-source-ranges' | 'load-balancer-address-pool';

/**
 * Load balancers in front of pod addresses of one network, on addresses outside it. Idempotent on uid. Errors: Invalid, NotFound (the
 * network), AlreadyExists (an address is another load balancer's; the message names it), Forbidden (an address that may not be taken),
 * Exhausted (the pool), Unimplemented (a missing capability), Unavailable.
 */
export interface LoadBalancerProvider extends AsyncDisposable {
  readonly name: string;
  readonly capabilities: ReadonlySet<LoadBalancerCapability>;
  /** Makes everything that is on record exist again and removes leftovers. */
  reconcile(): Promise<void>;
  /** Makes it as described; a change of members alone cuts no connection. Network and tenant never change. */
  ensureLoadBalancer(spec: LoadBalancerSpec): Promise<LoadBalancer>;
  /** NotFound. */
  getLoadBalancer(uid: string): Promise<LoadBalancer>;
  listLoadBalancers(): Promise<readonly LoadBalancer[]>;
  /** Unknown: success. */
  deleteLoadBalancer(uid: string): Promise<void>;
}
