import { X509Certificate } from 'node:crypto';
import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { ensurePki } from './pki.ts';
import { formatKubeconfig } from './kubeconfig.ts';

let dir = '';
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'pki-'));
});
afterEach(async () => {
  await rm(dir, { recursive: true });
});

const options = { nodeName: 'node1', addresses: ['10.1.2.3'], serviceClusterIp: '10.96.0.1' };

describe('ensurePki', () => {
  test('signs everything with one authority and names what clients dial', async () => {
    const pki = await ensurePki(dir, options);
    const ca = new X509Certificate(pki.caPem);
    const serving = new X509Certificate(pki.apiServer.certificatePem);
    expect(serving.verify(ca.publicKey)).toBe(true);
    for (const ip of ['127.0.0.1', '10.1.2.3', '10.96.0.1']) expect(serving.checkIP(ip)).toBe(ip);
    expect(serving.checkHost('kubernetes.default.svc.cluster.local')).toBeDefined();
    expect(new X509Certificate(pki.admin.certificatePem).subject).toBe(
      'O=system:masters\nCN=kubernetes-admin',
    );
    expect(new X509Certificate(pki.node.certificatePem).subject).toBe('O=system:nodes\nCN=system:node:node1');
    expect((await stat(join(dir, 'admin.key'))).mode & 0o777).toBe(0o600);
    expect((await stat(join(dir, 'service-account.key'))).mode & 0o777).toBe(0o600);
  });

  test('is idempotent, renews near the end and when names change, keeps the authority', async () => {
    const first = await ensurePki(dir, options);
    expect(await ensurePki(dir, options)).toEqual(first);
    const later = Date.now() + 300 * 86_400_000;
    const renewed = await ensurePki(dir, { ...options, clock: { now: () => later } });
    expect(renewed.caPem).toBe(first.caPem);
    expect(renewed.apiServer.certificatePem).not.toBe(first.apiServer.certificatePem);
    const moved = await ensurePki(dir, { ...options, addresses: ['10.9.9.9'] });
    expect(new X509Certificate(moved.apiServer.certificatePem).checkIP('10.9.9.9')).toBe('10.9.9.9');
    expect(moved.caPem).toBe(first.caPem);
  });
});

test('formatKubeconfig embeds what is needed', () => {
  const text = formatKubeconfig({
    server: 'https://127.0.0.1:6443',
    caPem: 'CA',
    userName: 'alice',
    credentials: { token: 't' },
    namespace: 'ns1',
  });
  const parsed = parse(text);
  expect(parsed['current-context']).toBe('alice@hypernetes');
  expect(parsed.users[0].user).toEqual({ token: 't' });
  expect(parsed.contexts[0].context.namespace).toBe('ns1');
});
