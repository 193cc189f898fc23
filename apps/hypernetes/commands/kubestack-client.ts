import { credentials } from '@grpc/grpc-js';
import { clientOptions, unixAddress } from '@hypernetes/foundation/grpc';
import {
  IdentityClient,
  InformationClient,
  NetworksClient,
  VolumesClient,
} from '@hypernetes/proto/kubestack';
import type { Installation } from '../config/installation.ts';

export interface KubestackClients extends Disposable {
  readonly information: InformationClient;
  readonly identity: IdentityClient;
  readonly networks: NetworksClient;
  readonly volumes: VolumesClient;
}

/** Clients of the running kubestackd. */
export function connectKubestack(installation: Installation): KubestackClients {
  const address = unixAddress(installation.kubestackSocket);
  const clients = {
    information: new InformationClient(address, credentials.createInsecure(), clientOptions),
    identity: new IdentityClient(address, credentials.createInsecure(), clientOptions),
    networks: new NetworksClient(address, credentials.createInsecure(), clientOptions),
    volumes: new VolumesClient(address, credentials.createInsecure(), clientOptions),
  };
  return {
    ...clients,
    [Symbol.dispose]() {
      for (const client of Object.values(clients)) client.close();
    },
  };
}
