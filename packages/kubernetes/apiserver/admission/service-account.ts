import type { Container, Pod, PodSpec, ServiceAccount, Volume } from 'kubernetes-types/core/v1';
import { sleep } from '@hypernetes/foundation/lifecycle';
import { generateName } from '../registry/object-metadata.ts';
import type { AdmissionPlugin, AdmissionRequest } from './admission.ts';
import type { FindObject } from './namespace-lifecycle.ts';
import { isMain, refuse } from './refusals.ts';

const defaultAccount = 'default';
const tokenPath = '/var/run/secrets/kubernetes.io/serviceaccount';
/** An hour and the seven seconds by which real clusters make them known. */
const tokenLifetimeSeconds = 3607;
// A namespace is a moment older than its default account, which a controller makes.
const waitsForDefaultAccount = 25;
const waitMs = 200;

async function findAccount(
  find: FindObject,
  request: AdmissionRequest,
  name: string,
): Promise<ServiceAccount> {
  const attempts = name === defaultAccount ? waitsForDefaultAccount : 1;
  for (let attempt = 1; ; attempt++) {
    const account = await find('serviceaccounts', { namespace: request.namespace, name });
    if (account !== undefined) return account as unknown as ServiceAccount;
    if (attempt >= attempts) {
      throw refuse(
        request,
        `error looking up service account ${request.namespace}/${name}: serviceaccount "${name}" not found`,
      );
    }
    await sleep(waitMs);
  }
}

function tokenVolume(name: string): Volume {
  return {
    name,
    projected: {
      defaultMode: 0o644,
      sources: [
        { serviceAccountToken: { expirationSeconds: tokenLifetimeSeconds, path: 'token' } },
        { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
        {
          downwardAPI: {
            items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }],
          },
        },
      ],
    },
  };
}

function mountToken(spec: PodSpec): void {
  const containers: Container[] = [...spec.containers, ...(spec.initContainers ?? [])];
  const missing = containers.filter(
    (container) => container.volumeMounts?.some((mount) => mount.mountPath === tokenPath) !== true,
  );
  if (missing.length === 0) return;
  const volume = tokenVolume(generateName('kube-api-access-'));
  for (const container of missing) {
    container.volumeMounts = [
      ...(container.volumeMounts ?? []),
      { name: volume.name, readOnly: true, mountPath: tokenPath },
    ];
  }
  spec.volumes = [...(spec.volumes ?? []), volume];
}

function wantsToken(spec: PodSpec, account: ServiceAccount): boolean {
  return spec.automountServiceAccountToken ?? account.automountServiceAccountToken ?? true;
}

/** Pods run as a service account of their namespace, with its token in a file that is renewed. */
export function serviceAccount(find: FindObject): AdmissionPlugin {
  return {
    name: 'ServiceAccount',
    mutate: async (request) => {
      const { spec } = (request.object ?? {}) as unknown as Pod;
      if (spec === undefined || !isMain(request, 'pods') || request.operation !== 'create') return;
      if (!Array.isArray(spec.containers)) return; // validation says so
      const wanted = (spec.serviceAccountName ?? '') !== '' ? spec.serviceAccountName : spec.serviceAccount;
      const name = wanted === undefined || wanted === '' ? defaultAccount : wanted;
      spec.serviceAccountName = name;
      spec.serviceAccount = name;
      const account = await findAccount(find, request, name);
      if (wantsToken(spec, account)) mountToken(spec);
      if ((spec.imagePullSecrets ?? []).length === 0 && (account.imagePullSecrets ?? []).length > 0) {
        spec.imagePullSecrets = account.imagePullSecrets ?? [];
      }
    },
  };
}
