import { readFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { credentials } from '@grpc/grpc-js';
import { callUnary, clientOptions, unixAddress } from '@hypernetes/foundation/grpc';
import { InformationClient } from '@hypernetes/proto/kubestack';
import { RuntimeServiceClient } from '@hypernetes/proto/cri';
import { nodeAddress, type Installation, type Settings } from '../config/installation.ts';
import type { DaemonName } from './daemon-records.ts';

/** Does the daemon answer on its contract? Errors mean no. */
export async function probeDaemon(
  installation: Installation,
  settings: Settings,
  name: DaemonName,
): Promise<boolean> {
  try {
    switch (name) {
      case 'kubestackd':
        return await probeKubestackd(installation);
      case 'hyperd':
        return await probeHyperd(installation);
      case 'server':
        return (await getStatus(installation, '127.0.0.1', settings.apiPort, '/readyz')) === 200;
      case 'node':
        return (await getStatus(installation, nodeAddress(), settings.kubeletPort, '/healthz')) !== undefined;
    }
  } catch {
    return false;
  }
}

async function probeKubestackd(installation: Installation): Promise<boolean> {
  const client = new InformationClient(
    unixAddress(installation.kubestackSocket),
    credentials.createInsecure(),
    clientOptions,
  );
  try {
    await callUnary(client.getInformation.bind(client), {}, 2_000);
    return true;
  } finally {
    client.close();
  }
}

async function probeHyperd(installation: Installation): Promise<boolean> {
  const client = new RuntimeServiceClient(
    unixAddress(installation.hyperdSocket),
    credentials.createInsecure(),
    clientOptions,
  );
  try {
    await callUnary(client.version.bind(client), { version: 'v1' }, 2_000);
    return true;
  } finally {
    client.close();
  }
}

/** The HTTP status of a GET with the administrator's client certificate. */
async function getStatus(
  installation: Installation,
  host: string,
  port: number,
  path: string,
): Promise<number | undefined> {
  const read = (file: string): Buffer => readFileSync(join(installation.pkiDir, file));
  return await new Promise((resolve, reject) => {
    const call = request(
      {
        host,
        port,
        path,
        ca: read('ca.crt'),
        cert: read('admin.crt'),
        key: read('admin.key'),
        timeout: 2_000,
        agent: false,
        // The kubelet's certificate is for its node name; that it is ours is what the CA shows.
        checkServerIdentity: () => undefined,
      },
      (response) => {
        response.resume();
        resolve(response.statusCode);
      },
    );
    call.on('timeout', () => call.destroy(new Error('no answer')));
    call.on('error', reject);
    call.end();
  });
}
