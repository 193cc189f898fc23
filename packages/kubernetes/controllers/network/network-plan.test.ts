import { describe, expect, test } from 'vitest';
import { PlatformError, reasons, type Reason } from '@hypernetes/foundation/errors';
import type { Network } from '../../client/index.ts';
import { deletionBlockers, networkRequest, verdictOfError, withVerdict } from './network-plan.ts';

const network: Network = {
  metadata: { name: 'n', uid: 'u', generation: 2 },
  spec: {
    tenantID: 't',
    subnets: {
      b: { cidr: '10.1.0.0/24', gateway: '10.1.0.1' },
      a: { cidr: '10.0.0.0/24', gateway: '10.0.0.1' },
    },
  },
};

test('the request names the subnets in a fixed order', () => {
  expect(networkRequest(network)).toMatchObject({
    uid: 'u',
    tenantId: 't',
    subnets: [{ name: 'a' }, { name: 'b' }],
  });
});

describe('refusals', () => {
  test.each<[Reason, string, string]>([
    ['NotFound', 'Pending', 'TenantNotFound'],
    ['Unavailable', 'Pending', 'ProviderUnavailable'],
    ['DeadlineExceeded', 'Pending', 'ProviderUnavailable'],
    ['Invalid', 'Failed', 'InvalidNetwork'],
    ['Exhausted', 'Pending', 'ProviderExhausted'],
    ['Internal', 'Pending', 'ProviderError'],
  ])('%s: %s %s', (reason, phase, said) => {
    expect(verdictOfError(new PlatformError(reason, 'why'), network)).toMatchObject({ phase, reason: said });
  });

  test('every one of them is tried again', () => {
    for (const reason of reasons) {
      expect(verdictOfError(new PlatformError(reason, 'why'), network).retryAfterMs).toBeGreaterThan(0);
    }
  });
});

test('the status tells the verdict; becoming active takes reason and message away, and time moves only with status', () => {
  const pending = withVerdict(network, verdictOfError(new PlatformError('NotFound', 'x'), network), 0);
  expect(pending.status).toMatchObject({ phase: 'Pending', reason: 'TenantNotFound' });
  expect(pending.status?.conditions?.map(({ type, status }) => `${type} ${status}`)).toEqual([
    'Ready False',
    'TenantExists False',
  ]);
  const still = withVerdict(pending, verdictOfError(new PlatformError('Unavailable', 'x'), network), 5_000);
  expect(still.status?.conditions?.[0]).toMatchObject({
    reason: 'ProviderUnavailable',
    lastTransitionTime: '1970-01-01T00:00:00Z',
  });
  const active = withVerdict(
    still,
    { phase: 'Active', reason: 'NetworkActive', message: 'm', tenantExists: true, providerNetworkId: 'p' },
    9_000,
  );
  expect(active.status).toMatchObject({ phase: 'Active', providerNetworkID: 'p' });
  expect(active.status).not.toHaveProperty('reason');
  expect(active.status?.conditions?.[0]).toMatchObject({
    status: 'True',
    lastTransitionTime: '1970-01-01T00:00:09Z',
    observedGeneration: 2,
  });
});

test('blockers by name, not endlessly', () => {
  expect(deletionBlockers([], [])).toBe('');
  expect(deletionBlockers(['b', 'a'], ['a/p'])).toBe('namespaces a, b, pods a/p');
  expect(deletionBlockers(['1', '2', '3', '4', '5', '6', '7'], [])).toBe(
    'namespaces 1, 2, 3, 4, 5 and 2 more',
  );
});
