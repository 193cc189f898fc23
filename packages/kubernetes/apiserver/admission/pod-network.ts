import type { ApiObject } from '../../api/index.ts';
import { tenantIdKey } from '../authorization/authorizer.ts';
import type { Network } from '../registry/network.ts';
import type { AdmissionPlugin } from './admission.ts';
import type { FindObject } from './namespace-lifecycle.ts';
import { isMain, refuse } from './refusals.ts';
import { networkNameOf } from './tenant-guard.ts';

const networkUidKey = 'hypernetes.io/network-uid';
const networkKey = 'hypernetes.io/network';
const ownKeys = [networkUidKey, networkKey, tenantIdKey] as const;
const defaultNetworkUid = 'default';

function setAnnotations(pod: ApiObject, values: Readonly<Partial<Record<string, string>>>): void {
  const others = Object.entries(pod.metadata.annotations ?? {}).filter(
    ([key]) => !ownKeys.some((own) => own === key),
  );
  const own = Object.entries(values).filter((entry): entry is [string, string] => entry[1] !== undefined);
  pod.metadata.annotations = Object.fromEntries([...others, ...own]);
}

/**
 * Writes onto every pod which network it is on and whose it is, from its namespace; whatever the user typed there is overwritten.
 * A Network that is not active yet is no obstacle: the kubelet waits for it.
 */
export function podNetwork(find: FindObject): AdmissionPlugin {
  return {
    name: 'PodNetwork',
    mutate: async (request) => {
      const pod = request.object;
      if (pod === undefined || request.kind.group !== '' || request.kind.plural !== 'pods') return;
      if (request.old !== undefined) {
        const { annotations } = request.old.metadata;
        setAnnotations(pod, Object.fromEntries(ownKeys.map((key) => [key, annotations?.[key]])));
        return;
      }
      if (!isMain(request, 'pods')) return;
      const namespace = await find('namespaces', { namespace: '', name: request.namespace });
      const name = networkNameOf(namespace);
      const tenant = namespace?.metadata.annotations?.[tenantIdKey];
      if (name === undefined) {
        setAnnotations(pod, { [networkUidKey]: defaultNetworkUid, [tenantIdKey]: tenant ?? '' });
        return;
      }
      const network = await find('networks', { namespace: '', name });
      if (network === undefined) {
        throw refuse(
          request,
          `namespace "${request.namespace}" is on Network "${name}", which does not exist any more`,
        );
      }
      const owner = (network as unknown as Network).spec?.tenantID;
      // The Network the namespace was put on may be gone, and this one another tenant's who took the name.
      if (owner !== tenant) {
        throw refuse(
          request,
          `namespace "${request.namespace}" is on Network "${name}", which is not of its tenant any more`,
        );
      }
      setAnnotations(pod, {
        [networkUidKey]: network.metadata.uid,
        [networkKey]: name,
        [tenantIdKey]: tenant ?? '',
      });
    },
  };
}
