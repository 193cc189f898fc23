import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { parse } from 'yaml';
import { PlatformError } from '@hypernetes/foundation/errors';
import type { KubeClientOptions } from './http2-kube-client.ts';

type Fields = Readonly<Record<string, unknown>>;

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};
}

function textOf(fields: Fields, name: string): string | undefined {
  const value = fields[name];
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function entry(config: Fields, list: string, name: string | undefined, inner: string, path: string): Fields {
  const entries = Array.isArray(config[list]) ? (config[list] as unknown[]) : [];
  const found = entries.map(fieldsOf).find((candidate) => candidate['name'] === name);
  if (found === undefined) {
    throw new PlatformError('Invalid', `kubeconfig ${path}: no entry ${name ?? '(none)'} in ${list}`);
  }
  return fieldsOf(found[inner]);
}

/** `<field>-data` (base64) or the file `<field>` names, relative to the kubeconfig. */
async function pemOf(fields: Fields, field: string, path: string): Promise<string | undefined> {
  const inline = textOf(fields, `${field}-data`);
  if (inline !== undefined) return Buffer.from(inline, 'base64').toString('utf8');
  const file = textOf(fields, field);
  return file === undefined ? undefined : await readFile(resolve(dirname(path), file), 'utf8');
}

/** Server and credentials of a kubeconfig's current context. Invalid when the file is not one; exec plug-ins are Unimplemented. */
export async function loadKubeconfig(
  path: string,
): Promise<KubeClientOptions & { readonly namespace?: string }> {
  const config = fieldsOf(parse(await readFile(path, 'utf8')) as unknown);
  const context = entry(config, 'contexts', textOf(config, 'current-context'), 'context', path);
  const cluster = entry(config, 'clusters', textOf(context, 'cluster'), 'cluster', path);
  const user = entry(config, 'users', textOf(context, 'user'), 'user', path);
  const server = textOf(cluster, 'server');
  if (server === undefined)
    throw new PlatformError('Invalid', `kubeconfig ${path}: the cluster has no server`);
  if ('exec' in user || 'auth-provider' in user) {
    throw new PlatformError(
      'Unimplemented',
      `kubeconfig ${path}: credentials by plug-in are not supported here`,
    );
  }
  const tokenFile = textOf(user, 'tokenFile');
  const found = {
    caPem: await pemOf(cluster, 'certificate-authority', path),
    clientCertPem: await pemOf(user, 'client-certificate', path),
    clientKeyPem: await pemOf(user, 'client-key', path),
    token:
      textOf(user, 'token') ??
      (tokenFile === undefined
        ? undefined
        : (await readFile(resolve(dirname(path), tokenFile), 'utf8')).trim()),
    namespace: textOf(context, 'namespace'),
  };
  const given = Object.entries(found).filter(([, value]) => value !== undefined);
  return { server, ...(Object.fromEntries(given) as Partial<Record<keyof typeof found, string>>) };
}
