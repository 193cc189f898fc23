import type { PodReference } from './pod-reference.ts';

/** The uid of the node's default pod network. */
export const defaultNetworkUid = 'default';

export interface HostRoute {
  readonly destination: string;
  readonly nextHop: string;
}

export interface SubnetSpec {
  /** Unique in the network; the key a subnet is updated by. */
  readonly name: string;
  readonly cidr: string;
  /** Empty: the first address of the CIDR. */
  readonly gateway: string;
  /** Name servers pods are told; empty: the gateway. */
  readonly dnsServers: readonly string[];
  readonly hostRoutes: readonly HostRoute[];
}

export interface NetworkSpec {
  /** The caller's key, the uid of the Network object. */
  readonly uid: string;
  readonly name: string;
  /** Empty only for the default network. */
  readonly tenantId: string;
  readonly subnets: readonly SubnetSpec[];
  /** A network that exists at the provider already and is used, never deleted; empty: made. Capability `network-adoption`. */
  readonly providerNetworkId: string;
}

export interface SubnetStatus {
  readonly subnet: SubnetSpec;
  readonly providerId: string;
  readonly addressesUsed: number;
  readonly addressesFree: number;
}

export type NetworkState = 'Active' | 'Pending' | 'Failed';

export interface Network {
  readonly uid: string;
  readonly name: string;
  readonly tenantId: string;
  readonly subnets: readonly SubnetStatus[];
  readonly providerId: string;
  readonly state: NetworkState;
  /** Why it is not Active. */
  readonly message: string;
  /** The host has a route to the pods. */
  readonly hostReachable: boolean;
  readonly mtu: number;
}

export interface PortSpec {
  /** The caller's key. */
  readonly sandboxId: string;
  readonly networkUid: string;
  readonly pod: PodReference | undefined;
  /** User id that may open the tap. */
  readonly tapOwnerUid: number;
  /** Empty: any free address. */
  readonly fixedAddress: string;
  readonly nodeName: string;
}

export interface Port {
  readonly sandboxId: string;
  readonly networkUid: string;
  readonly tenantId: string;
  readonly providerId: string;
  readonly mac: string;
  /** With the subnet's prefix length, `192.168.0.5/24`. */
  readonly addresses: readonly string[];
  readonly gateway: string;
  readonly routes: readonly HostRoute[];
  readonly dnsServers: readonly string[];
  readonly mtu: number;
  readonly tap: {
    /** Path of the network namespace the tap is in; empty: the host's. */
    readonly networkNamespace: string;
    readonly name: string;
  };
  readonly pod: PodReference | undefined;
}

/** What not every network provider can do; docs/reference/kubestack-capabilities.md. */
export type NetworkCapability = 'ipv4' | 'ipv6' | 'multiple-subnets' | 'anti-spoofing' | 'network-adoption';

/**
 * Networks and their ports. Idempotent on the caller's uids: the same call again answers the same. What was answered is durable.
 * Errors are PlatformErrors: Invalid (the specification), NotFound, Precondition (in use, immutable), AlreadyExists (a fixed address
 * is taken), Exhausted (no free address), Unimplemented (a missing capability), Unavailable (try again).
 */
export interface NetworkProvider extends AsyncDisposable {
  readonly name: string;
  readonly capabilities: ReadonlySet<NetworkCapability>;
  /** Makes everything that is on record exist again and removes leftovers; called at start, may be called at any time. */
  reconcile(): Promise<void>;
  /** Makes the network as described, changing what may change: names, and subnets no port is on. Answers when it carries packets. */
  ensureNetwork(spec: NetworkSpec): Promise<Network>;
  /** NotFound. */
  getNetwork(uid: string): Promise<Network>;
  listNetworks(): Promise<readonly Network[]>;
  /** Precondition while ports exist, naming the pods. Unknown: success. */
  deleteNetwork(uid: string): Promise<void>;
  /** The port of a sandbox, with its tap made again if it is gone. */
  setupPort(spec: PortSpec): Promise<Port>;
  /** NotFound. */
  getPort(sandboxId: string): Promise<Port>;
  listPorts(networkUid?: string): Promise<readonly Port[]>;
  /** Unknown: success. */
  teardownPort(sandboxId: string): Promise<void>;
}
