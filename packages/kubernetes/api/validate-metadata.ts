import { isDeepStrictEqual } from 'node:util';
import type { FieldErrors } from './field-errors.ts';
import { asText } from './fields.ts';
import type { Kind } from './kind.ts';
import {
  dns1035LabelErrors,
  dnsLabelErrors,
  dnsSubdomainErrors,
  labelNameErrors,
  pathSegmentErrors,
} from './names.ts';
import type { ObjectMeta } from './object.ts';
import { validateLabels } from './validate-labels.ts';

type NameRule = (name: string) => string[];

/** Kinds whose names are not DNS subdomains. */
const nameRules: Readonly<Record<string, NameRule>> = {
  '/Namespace': dnsLabelErrors,
  '/Network': dnsLabelErrors,
  '/Service': dns1035LabelErrors,
  'rbac.authorization.k8s.io/ClusterRole': pathSegmentErrors,
  'rbac.authorization.k8s.io/ClusterRoleBinding': pathSegmentErrors,
  'rbac.authorization.k8s.io/Role': pathSegmentErrors,
  'rbac.authorization.k8s.io/RoleBinding': pathSegmentErrors,
};

/** Bytes of all annotations of an object. */
const annotationBytesMax = 256 * 1024;

/** Name rule of a kind: what is wrong with the name; empty: nothing. */
export function nameErrors(kind: Pick<Kind, 'group' | 'kind'>, name: string): string[] {
  return (nameRules[`${kind.group}/${kind.kind}`] ?? dnsSubdomainErrors)(name);
}

export function validateMetadata(
  kind: Pick<Kind, 'group' | 'kind' | 'namespaced'>,
  metadata: ObjectMeta,
  errors: FieldErrors,
): void {
  const name = metadata.name ?? '';
  const generateName = metadata.generateName ?? '';
  if (generateName !== '') {
    // The part behind it is lower case letters and digits: what ends in a separator is right.
    const stem = `${generateName}x`;
    errors.invalidEach('metadata.generateName', generateName, nameErrors(kind, stem));
  }
  if (name !== '') errors.invalidEach('metadata.name', name, nameErrors(kind, name));
  else if (generateName === '') errors.required('metadata.name', 'name or generateName is required');
  const namespace = metadata.namespace ?? '';
  if (kind.namespaced && namespace === '') errors.required('metadata.namespace');
  else if (kind.namespaced) errors.invalidEach('metadata.namespace', namespace, dnsLabelErrors(namespace));
  else if (namespace !== '') errors.forbidden('metadata.namespace', 'not allowed on this type');
  validateLabels(metadata.labels, 'metadata.labels', errors);
  validateAnnotations(metadata.annotations ?? {}, errors);
  validateOwners(metadata, errors);
  validateFinalizers(metadata.finalizers ?? [], errors);
  errors.atLeast('metadata.generation', metadata.generation, 0);
}

function validateAnnotations(annotations: Readonly<Record<string, string>>, errors: FieldErrors): void {
  let bytes = 0;
  for (const [key, value] of Object.entries(annotations)) {
    errors.invalidEach('metadata.annotations', key, labelNameErrors(key.toLowerCase()));
    bytes += Buffer.byteLength(key) + Buffer.byteLength(value);
  }
  if (bytes > annotationBytesMax) errors.tooLong('metadata.annotations', annotationBytesMax);
}

function validateOwners(metadata: ObjectMeta, errors: FieldErrors): void {
  const owners = metadata.ownerReferences ?? [];
  owners.forEach((owner, index) => {
    for (const field of ['apiVersion', 'kind', 'name', 'uid'] as const) {
      if (asText(owner[field]) === '')
        errors.invalid(`metadata.ownerReferences[${index}].${field}`, '', 'must not be empty');
    }
  });
  const controllers = owners.filter((owner) => owner.controller === true);
  if (controllers.length > 1) {
    errors.invalid(
      'metadata.ownerReferences',
      controllers.map((owner) => owner.name),
      'only one reference can have controller set to true',
    );
  }
}

const standardFinalizers = new Set(['foregroundDeletion', 'kubernetes', 'orphan']);

function validateFinalizers(finalizers: readonly string[], errors: FieldErrors): void {
  finalizers.forEach((finalizer, index) => {
    const field = `metadata.finalizers[${index}]`;
    errors.invalidEach(field, finalizer, labelNameErrors(finalizer));
    if (!finalizer.includes('/') && !standardFinalizers.has(finalizer)) {
      errors.invalid(field, finalizer, 'name is neither a standard finalizer name nor is it fully qualified');
    }
  });
  if (finalizers.includes('orphan') && finalizers.includes('foregroundDeletion')) {
    errors.invalid(
      'metadata.finalizers',
      finalizers,
      'finalizer orphan and foregroundDeletion cannot be both set',
    );
  }
}

export function validateMetadataUpdate(metadata: ObjectMeta, old: ObjectMeta, errors: FieldErrors): void {
  for (const field of ['name', 'namespace', 'uid', 'creationTimestamp'] as const) {
    if (metadata[field] !== old[field]) {
      errors.invalid(`metadata.${field}`, metadata[field] ?? null, 'field is immutable');
    }
  }
  if (old.deletionTimestamp === undefined) return;
  const added = (metadata.finalizers ?? []).filter((each) => !(old.finalizers ?? []).includes(each));
  if (added.length > 0 && !isDeepStrictEqual(metadata.finalizers, old.finalizers)) {
    errors.forbidden('metadata.finalizers', 'no new finalizers can be added if the object is being deleted');
  }
}
