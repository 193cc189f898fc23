import type { PlatformError } from '@hypernetes/foundation/errors';
import { invalid, statusError, type FieldError } from '../../api/index.ts';
import { forbidden, qualifiedName } from '../http/status-error.ts';
import type { AdmissionRequest } from './admission.ts';

/** 403 for the object of the request. */
export function refuse(request: AdmissionRequest, why: string): PlatformError {
  return forbidden(request.kind, nameOf(request), why);
}

/** 422 for one field of the object of the request. */
export function refuseField(request: AdmissionRequest, error: FieldError): PlatformError {
  return invalid(request.kind, nameOf(request), [error]);
}

/** 403 with the cause clients know a namespace on its way out by. */
export function namespaceTerminating(request: AdmissionRequest): PlatformError {
  const { kind, namespace } = request;
  const name = nameOf(request);
  return statusError('Forbidden', {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message: `${qualifiedName(kind)} "${name}" is forbidden: unable to create new content in namespace ${namespace} because it is being terminated`,
    reason: 'Forbidden',
    details: {
      name,
      ...(kind.group === '' ? {} : { group: kind.group }),
      kind: kind.plural,
      causes: [
        {
          reason: 'NamespaceTerminating',
          message: `namespace ${namespace} is being terminated`,
          field: 'metadata.namespace',
        },
      ],
    },
    code: 403,
  });
}

function nameOf(request: AdmissionRequest): string {
  return request.name !== '' ? request.name : (request.object?.metadata.generateName ?? '');
}

/** Whether the request is about this kind of the core group itself, not one of its subresources. */
export function isMain(request: AdmissionRequest, plural: string): boolean {
  return request.kind.group === '' && request.kind.plural === plural && request.subresource === '';
}
