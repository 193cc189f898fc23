import { describe, expect, test } from 'vitest';
import { findKind, type ApiObject } from '../../api/index.ts';
import type { AdmissionRequest } from './admission.ts';
import { tenantGuard } from './tenant-guard.ts';

const guard = tenantGuard({
  find: () => Promise.resolve(undefined),
  listPods: () => Promise.resolve([]),
  authorizer: { tenantOfCaller: ({ name }) => (name === 'operator' ? undefined : name) },
});

function request(kind: string, old: Record<string, unknown>, caller: string): AdmissionRequest {
  const found = findKind('v1', kind);
  if (found === undefined) throw new Error(kind);
  return {
    operation: 'delete',
    kind: found,
    subresource: '',
    namespace: '',
    name: 'x',
    old: old as unknown as ApiObject,
    user: { name: caller, groups: [], extra: {} },
    dryRun: false,
    warnings: [],
  };
}

describe('an object that was replaced between the look and the write', () => {
  const namespace = { metadata: { name: 'x', annotations: { 'hypernetes.io/tenant-id': 't2' } } };
  const network = { metadata: { name: 'x' }, spec: { tenantID: 't2' } };

  test.each([
    ['Namespace', namespace],
    ['Namespace', { metadata: { name: 'x' } }],
    ['Network', network],
  ])('is a %s the caller cannot find', (kind, old) => {
    expect(() => guard.validate?.(request(kind, old, 't1'))).toThrow(/"x" not found/);
  });

  test.each([
    ['Namespace', namespace],
    ['Network', network],
  ])('is the own %s of the tenant and of operators', (kind, old) => {
    for (const caller of ['t2', 'operator']) {
      expect(() => guard.validate?.(request(kind, old, caller))).not.toThrow();
    }
  });
});
