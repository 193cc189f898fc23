import { resources, type ConfigMap } from '../../client/index.ts';
import type { Controller, ControllerContext } from '../machinery/controller.ts';
import { startInEachNamespace } from '../machinery/each-namespace.ts';
import { ensureObject } from '../machinery/ensure-object.ts';

/** Every namespace has the ConfigMap `kube-root-ca.crt`, by which pods verify the API server. */
export function startRootCaController(context: ControllerContext, caPem: string): Controller {
  const target = { resource: resources.configMaps, name: 'kube-root-ca.crt' };
  return startInEachNamespace(context, 'root-ca', target, async ({ metadata }, known) => {
    const wanted: ConfigMap = {
      metadata: {
        name: target.name,
        namespace: metadata.name,
        annotations: {
          'kubernetes.io/description':
            'Certificate of the authority that signed the certificate of the Kubernetes API server, for connections ' +
            'from inside the cluster. It promises nothing about other uses.',
        },
      },
      data: { 'ca.crt': caPem },
    };
    await ensureObject<ConfigMap>(context.client, resources.configMaps, wanted, known);
  });
}
