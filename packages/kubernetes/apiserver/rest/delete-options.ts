import { badRequest } from '../../api/index.ts';
import type { DeleteOptions } from '../registry/deletion.ts';
import type { Preconditions } from '../registry/resource-storage.ts';
import { isDryRun } from './request-body.ts';

export interface ParsedDeleteOptions extends DeleteOptions {
  readonly preconditions?: Preconditions;
  readonly dryRun: boolean;
}

const policies = ['Foreground', 'Background', 'Orphan'] as const;

/** DeleteOptions from the body, or from the query as older clients send them. */
export function parseDeleteOptions(
  body: Record<string, unknown> | undefined,
  query: URLSearchParams,
): ParsedDeleteOptions {
  const options = body ?? {};
  const grace = options['gracePeriodSeconds'] ?? numberOf(query.get('gracePeriodSeconds'));
  if (grace !== undefined && (typeof grace !== 'number' || !Number.isSafeInteger(grace) || grace < 0)) {
    throw badRequest('gracePeriodSeconds: must be a whole number that is not negative');
  }
  const policy = policyOf(options, query);
  const preconditions = preconditionsOf(options['preconditions']);
  const dryRun = Array.isArray(options['dryRun']) ? options['dryRun'].map(String) : [];
  return {
    ...(grace === undefined ? {} : { gracePeriodSeconds: grace }),
    ...(policy === undefined ? {} : { propagationPolicy: policy }),
    ...(preconditions === undefined ? {} : { preconditions }),
    dryRun:
      isDryRun(new URLSearchParams(dryRun.map((value): [string, string] => ['dryRun', value]))) ||
      isDryRun(query),
  };
}

function numberOf(text: string | null): number | undefined {
  return text === null || text === '' ? undefined : Number(text);
}

function policyOf(
  options: Record<string, unknown>,
  query: URLSearchParams,
): DeleteOptions['propagationPolicy'] {
  const said = options['propagationPolicy'] ?? query.get('propagationPolicy') ?? undefined;
  const orphan = options['orphanDependents'] ?? query.get('orphanDependents') ?? undefined;
  if (said !== undefined && said !== '' && orphan !== undefined) {
    throw badRequest('orphanDependents and propagationPolicy cannot be both set');
  }
  if (orphan !== undefined) return orphan === true || orphan === 'true' ? 'Orphan' : 'Background';
  if (said === undefined || said === '') return undefined;
  const policy = policies.find((each) => each === said);
  if (policy === undefined) throw badRequest(`propagationPolicy: must be one of ${policies.join(', ')}`);
  return policy;
}

function preconditionsOf(value: unknown): Preconditions | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'object') throw badRequest('preconditions: must be an object');
  const { uid, resourceVersion } = value as Record<string, unknown>;
  return {
    ...(typeof uid === 'string' ? { uid } : {}),
    ...(typeof resourceVersion === 'string' ? { resourceVersion } : {}),
  };
}
