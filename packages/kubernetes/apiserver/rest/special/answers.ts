import { findKind, type ApiObject, type Kind } from '../../../api/index.ts';
import { PlatformError } from '@hypernetes/foundation/errors';
import { negotiate } from '../../http/negotiation.ts';
import type { RequestContext } from '../../http/request-context.ts';
import { headerOf } from '../../http/responder.ts';
import { sendValue } from '../../http/responder.ts';
import { methodNotAllowed } from '../../http/status-error.ts';
import type { ResourceCall } from '../resource-handler.ts';

/** Sends an object that is not stored. */
export async function answer(context: RequestContext, value: unknown, code: number): Promise<void> {
  const { encoding } = negotiate(headerOf(context.request, 'accept'));
  await sendValue(context.request, context.response, value, { code, warnings: context.warnings, encoding });
}

/** meta/v1 Status of something that was done. */
export const success = {
  kind: 'Status',
  apiVersion: 'v1',
  metadata: {},
  status: 'Success',
  code: 201,
} as const;

/** 405 for all verbs but the given ones. */
export function requireVerb({ info }: ResourceCall, ...verbs: readonly string[]): void {
  if (verbs.includes(info.verb)) return;
  const plural = info.subresource === '' ? info.resource : `${info.resource}/${info.subresource}`;
  throw methodNotAllowed(info.verb, { group: info.group, plural });
}

/** A kind of the API by its name; it is there by construction. */
export function kindOf(apiVersion: string, kind: string): Kind {
  const found = findKind(apiVersion, kind);
  if (found === undefined) throw new PlatformError('Internal', `no kind ${kind} in ${apiVersion}`);
  return found;
}

/** The spec of a review or request as an open record. */
export function specOf(object: ApiObject): Record<string, unknown> {
  return (object['spec'] ?? {}) as Record<string, unknown>;
}
