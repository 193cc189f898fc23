import { resources, type Informer, type Namespace, type Network } from '../../client/index.ts';
import type { InformerSet } from '../machinery/informer-set.ts';

export const defaultNetworkUid = 'default';
export const defaultNetworkGateway = '10.244.0.1';

/** Which network the pods of a namespace are on. */
export class PodNetworks {
  readonly #namespaces: Informer<Namespace>;
  readonly #networks: Informer<Network>;

  constructor(informers: InformerSet) {
    this.#namespaces = informers.of<Namespace>(resources.namespaces);
    this.#networks = informers.of<Network>(resources.networks);
  }

  /** uid of the namespace's network; 'default' without one; undefined while the namespace or its network is unknown. */
  uidOf(namespace: string): string | undefined {
    const found = this.#namespaces.get(namespace);
    if (found === undefined) return undefined;
    return networkUidOf(found, (name) => this.#networks.get(name));
  }

  networkOf(namespace: string): Network | undefined {
    const found = this.#namespaces.get(namespace);
    return found === undefined ? undefined : networkOf(found, (name) => this.#networks.get(name));
  }

  namespacesOn(uid: string): string[] {
    return this.#namespaces
      .list()
      .map(({ metadata }) => metadata.name)
      .filter((name) => this.uidOf(name) === uid);
  }

  /** All networks: uid and the gateways of the subnets. */
  all(): { uid: string; gateway: string | undefined }[] {
    return [
      { uid: defaultNetworkUid, gateway: defaultNetworkGateway },
      ...this.#networks
        .list()
        .map((network) => ({ uid: network.metadata.uid ?? '', gateway: gatewayOf(network) })),
    ];
  }

  gatewayOf(uid: string): string | undefined {
    return this.all().find((network) => network.uid === uid)?.gateway;
  }
}

/** Whether the namespace is on the network: by name, and of the same tenant. Another tenant may have taken the name of one that is gone. */
export function isOn({ metadata, spec }: Namespace, network: Network): boolean {
  return (
    spec?.network === network.metadata.name &&
    metadata.annotations?.['hypernetes.io/tenant-id'] === network.spec.tenantID
  );
}

function networkOf(namespace: Namespace, find: (name: string) => Network | undefined): Network | undefined {
  const network = find(namespace.spec?.network ?? '');
  return network !== undefined && isOn(namespace, network) ? network : undefined;
}

export function networkUidOf(
  namespace: Namespace,
  find: (name: string) => Network | undefined,
): string | undefined {
  const name = namespace.spec?.network;
  if (name === undefined || name === '') return defaultNetworkUid;
  return networkOf(namespace, find)?.metadata.uid;
}

/** The gateway of the first subnet by name: where the network's name server answers. */
function gatewayOf({ spec }: Network): string | undefined {
  const [first] = Object.entries(spec.subnets ?? {}).sort(([a], [b]) => (a < b ? -1 : 1));
  return first?.[1].gateway;
}
