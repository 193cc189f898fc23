import type { FieldError } from './errors.ts';
import { FieldErrors } from './field-errors.ts';
import { asFields } from './fields.ts';
import type { Kind } from './kind.ts';
import type { ApiObject } from './object.ts';
import { validateMetadata, validateMetadataUpdate } from './validate-metadata.ts';
import { validateNetwork } from './validate-network.ts';
import * as others from './validate-others.ts';
import { validatePodSpec, validatePodUpdate } from './validate-pod.ts';
import { validateService } from './validate-service.ts';
import * as workloads from './validate-workloads.ts';

export interface ValidateOptions {
  /** The stored object, on update: immutable fields are compared with it. */
  readonly old?: ApiObject;
  /** Writing through a subresource ('status', 'binding' ...): the rules of spec do not apply. */
  readonly subresource?: string;
}

type Validator = (object: ApiObject, old: ApiObject | undefined, errors: FieldErrors) => void;

/**
 * What is wrong with a defaulted object; empty: it may be stored. Answer with `invalid(kind, name, errors)`. On update the metadata that the
 * server owns must have been carried over from the old object before.
 */
export function validateObject(
  kind: Pick<Kind, 'group' | 'kind' | 'namespaced'>,
  object: ApiObject,
  options: ValidateOptions = {},
): readonly FieldError[] {
  const errors = new FieldErrors();
  validateMetadata(kind, object.metadata, errors);
  if (options.old !== undefined) validateMetadataUpdate(object.metadata, options.old.metadata, errors);
  const name = `${kind.group}/${kind.kind}`;
  if (options.subresource === undefined) validators[name]?.(object, options.old, errors);
  else if (options.subresource === 'status') statusValidators[name]?.(object, options.old, errors);
  return errors.list;
}

function validatePod(pod: ApiObject, old: ApiObject | undefined, errors: FieldErrors): void {
  validatePodSpec(asFields(pod['spec']), 'spec', errors);
  if (old !== undefined) validatePodUpdate(pod, old, errors);
}

const podPhases = ['Pending', 'Running', 'Succeeded', 'Failed', 'Unknown'];
const networkPhases = ['Initializing', 'Pending', 'Active', 'Failed', 'Terminating'];

const statusValidators: Readonly<Record<string, Validator>> = {
  '/Pod': (pod, _old, errors) => errors.oneOf('status.phase', asFields(pod['status'])['phase'], podPhases),
  '/Network': (network, _old, errors) =>
    errors.oneOf('status.phase', asFields(network['status'])['phase'], networkPhases),
};

const validators: Readonly<Record<string, Validator>> = {
  '/ConfigMap': others.validateConfigMap,
  '/Endpoints': others.validateEndpoints,
  '/Event': others.validateEvent,
  '/LimitRange': others.validateLimitRange,
  '/Namespace': others.validateNamespace,
  '/Network': validateNetwork,
  '/Node': others.validateNode,
  '/PersistentVolume': others.validatePersistentVolume,
  '/PersistentVolumeClaim': others.validatePersistentVolumeClaim,
  '/Pod': validatePod,
  '/PodTemplate': (object, _old, errors) =>
    workloads.validateTemplate(object['template'], 'template', ['Always', 'OnFailure', 'Never'], errors),
  '/ReplicationController': workloads.validateReplicationController,
  '/ResourceQuota': others.validateResourceQuota,
  '/Secret': others.validateSecret,
  '/Service': validateService,
  'apps/DaemonSet': workloads.validateDaemonSet,
  'apps/Deployment': workloads.validateDeployment,
  'apps/ReplicaSet': workloads.validateReplicaSet,
  'apps/StatefulSet': workloads.validateStatefulSet,
  'batch/CronJob': workloads.validateCronJob,
  'batch/Job': workloads.validateJob,
  'coordination.k8s.io/Lease': others.validateLease,
  'discovery.k8s.io/EndpointSlice': others.validateEndpointSlice,
  'events.k8s.io/Event': others.validateEvent,
  'networking.k8s.io/Ingress': others.validateIngress,
  'networking.k8s.io/NetworkPolicy': others.validateNetworkPolicy,
  'node.k8s.io/RuntimeClass': others.validateRuntimeClass,
  'policy/PodDisruptionBudget': others.validateDisruptionBudget,
  'rbac.authorization.k8s.io/ClusterRole': others.validateRole,
  'rbac.authorization.k8s.io/ClusterRoleBinding': others.validateBinding,
  'rbac.authorization.k8s.io/Role': others.validateRole,
  'rbac.authorization.k8s.io/RoleBinding': others.validateBinding,
  'scheduling.k8s.io/PriorityClass': others.validatePriorityClass,
  'storage.k8s.io/StorageClass': others.validateStorageClass,
};
