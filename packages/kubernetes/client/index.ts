export {
  keyOf,
  parseKey,
  type Informer,
  type KubeClient,
  type KubeObject,
  type ListOptions,
  type ObjectKey,
  type ObjectMeta,
  type OwnerReference,
  type PatchType,
  type Resource,
  type WatchEvent,
} from './kube-client.ts';
export { createKubeClient, type KubeClientOptions } from './http2-kube-client.ts';
export { createInformer, type InformerOptions } from './informer.ts';
export { loadKubeconfig } from './kubeconfig.ts';
export { apiVersionOf, pathOf, resources } from './resources.ts';
export { createEventRecorder, type EventObject, type EventRecorder } from './event-recorder.ts';
export { updateStatusWithRetry } from './update-status.ts';
export { discoverResources, type DiscoveredResource } from './discovery.ts';
export { errorOfStatus, type Status } from './status-error.ts';
export type {
  Condition,
  ConfigMap,
  ControllerRevision,
  CronJob,
  DaemonSet,
  Deployment,
  EndpointSlice,
  Endpoints,
  Event,
  Job,
  Lease,
  Namespace,
  Network,
  NetworkSubnet,
  Node,
  Pod,
  PriorityClass,
  ReplicaSet,
  ReplicationController,
  RoleBinding,
  RuntimeClass,
  Secret,
  Service,
  ServiceAccount,
  StatefulSet,
  Typed,
} from './kinds.ts';
