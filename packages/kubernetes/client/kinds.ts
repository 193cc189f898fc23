import type * as apps from 'kubernetes-types/apps/v1';
import type * as batch from 'kubernetes-types/batch/v1';
import type * as coordination from 'kubernetes-types/coordination/v1';
import type * as core from 'kubernetes-types/core/v1';
import type * as discovery from 'kubernetes-types/discovery/v1';
import type * as node from 'kubernetes-types/node/v1';
import type * as rbac from 'kubernetes-types/rbac/v1';
import type * as scheduling from 'kubernetes-types/scheduling/v1';
import type { KubeObject } from './kube-client.ts';

/** A kind of `kubernetes-types` as it comes from a server: metadata and name are always there. */
export type Typed<T> = Omit<T, 'metadata' | 'apiVersion' | 'kind'> & KubeObject;

export type Pod = Typed<core.Pod>;
export type Node = Typed<core.Node>;
export type Service = Typed<core.Service>;
export type Endpoints = Typed<core.Endpoints>;
export type ConfigMap = Typed<core.ConfigMap>;
export type Secret = Typed<core.Secret>;
export type ServiceAccount = Typed<core.ServiceAccount>;
export type Event = Typed<core.Event>;
export type ReplicationController = Typed<core.ReplicationController>;
export type Deployment = Typed<apps.Deployment>;
export type ReplicaSet = Typed<apps.ReplicaSet>;
export type StatefulSet = Typed<apps.StatefulSet>;
export type DaemonSet = Typed<apps.DaemonSet>;
export type ControllerRevision = Typed<apps.ControllerRevision>;
export type Job = Typed<batch.Job>;
export type CronJob = Typed<batch.CronJob>;
export type EndpointSlice = Typed<discovery.EndpointSlice>;
export type Lease = Typed<coordination.Lease>;
export type RoleBinding = Typed<rbac.RoleBinding>;
export type RuntimeClass = Typed<node.RuntimeClass>;
export type PriorityClass = Typed<scheduling.PriorityClass>;

/** A Namespace; `network` names the Network its pods are on (ours). */
export type Namespace = Omit<Typed<core.Namespace>, 'spec'> & {
  spec?: core.NamespaceSpec & { network?: string };
};

export interface NetworkSubnet {
  cidr: string;
  gateway: string;
}

/** What status conditions of ours look like (meta/v1 Condition). */
export interface Condition {
  type: string;
  status: 'True' | 'False' | 'Unknown';
  reason?: string;
  message?: string;
  lastTransitionTime?: string;
  observedGeneration?: number;
}

/** Kind Network of v1, as the announcement prints it. */
export interface Network extends KubeObject {
  spec: {
    tenantID: string;
    subnets?: Record<string, NetworkSubnet>;
    /** Adopt a network the provider has already; it is never deleted. */
    providerNetworkID?: string;
  };
  status?: {
    phase?: 'Initializing' | 'Pending' | 'Active' | 'Failed' | 'Terminating';
    conditions?: Condition[];
    providerNetworkID?: string;
    /** Why it is not active: CamelCase, and for people. */
    reason?: string;
    message?: string;
  };
}
