import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import {
  grpcCodeOf,
  httpStatusOf,
  kubernetesReasonOf,
  PlatformError,
  reasonOfGrpcCode,
  reasons,
  toPlatformError,
} from './index.ts';

describe('the table of reasons', () => {
  const page = readFileSync(
    join(import.meta.dirname, '..', '..', '..', 'docs', 'reference', 'errors.md'),
    'utf8',
  );
  const rows = page
    .split('\n')
    .filter((line) => /^\| [A-Z]/.test(line) && !line.startsWith('| Reason'))
    .map((line) => line.split('|').map((cell) => cell.trim()));

  it('is the documented one, both ways', () => {
    expect(rows.map((row) => row[1])).toEqual([...reasons]);
    for (const row of rows) {
      const reason = reasons.find((known) => known === row[1])!;
      expect([kubernetesReasonOf(reason), httpStatusOf(reason), grpcCodeOf(reason)]).toEqual([
        row[3],
        Number(row[4]),
        Number(row[5]),
      ]);
    }
  });

  it('maps gRPC codes back', () => {
    for (const reason of reasons) expect(reasonOfGrpcCode(grpcCodeOf(reason))).toBe(reason);
    expect(reasonOfGrpcCode(2)).toBe('Internal');
  });
});

describe('toPlatformError', () => {
  it('keeps one of ours and wraps the rest', () => {
    const ours = new PlatformError('NotFound', 'x');
    expect(toPlatformError(ours)).toBe(ours);
    expect(toPlatformError(new Error('boom'), 'do a thing')).toMatchObject({
      reason: 'Internal',
      message: 'do a thing: boom',
    });
    expect(toPlatformError('text')).toMatchObject({ reason: 'Internal', message: 'text' });
    expect(toPlatformError(new DOMException('stop', 'AbortError')).reason).toBe('Canceled');
  });

  it('knows what is worth another try', () => {
    expect(new PlatformError('Unavailable', 'x').retryable).toBe(true);
    expect(new PlatformError('Invalid', 'x').retryable).toBe(false);
    expect(new PlatformError('Invalid', 'x', { retryable: true }).retryable).toBe(true);
  });
});
