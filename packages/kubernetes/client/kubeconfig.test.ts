import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadKubeconfig } from './index.ts';

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'hn-kubeconfig-'));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

const base = (user: string): string => `
current-context: two
contexts:
- {name: one, context: {cluster: x, user: x}}
- {name: two, context: {cluster: c, user: u, namespace: ns}}
clusters:
- {name: c, cluster: {server: 'https://127.0.0.1:6443', certificate-authority: ca.pem}}
users:
- {name: u, user: ${user}}
`;

test('inline data, files beside it, token', async () => {
  const path = join(folder, 'config');
  await writeFile(join(folder, 'ca.pem'), 'CA');
  await writeFile(path, base(`{client-certificate-data: ${btoa('CERT')}, client-key-data: ${btoa('KEY')}}`));
  expect(await loadKubeconfig(path)).toEqual({
    server: 'https://127.0.0.1:6443',
    caPem: 'CA',
    clientCertPem: 'CERT',
    clientKeyPem: 'KEY',
    namespace: 'ns',
  });
  await writeFile(path, base('{token: t}'));
  expect(await loadKubeconfig(path)).toMatchObject({ token: 't' });
});

test.each([
  ['{exec: {command: x}}', 'Unimplemented'],
  ['{}\n- broken', undefined],
])('refuses %s', async (user, reason) => {
  const path = join(folder, 'bad');
  await writeFile(path, base(user));
  await expect(loadKubeconfig(path)).rejects.toMatchObject(reason === undefined ? {} : { reason });
});
