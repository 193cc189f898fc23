import { randomBytes } from 'node:crypto';
import { inject } from 'vitest';
import { TestInstallation } from '../fixtures/installation.ts';
import type { Kubectl } from '../fixtures/kubectl.ts';

/** The cluster the run shares. */
export function sharedInstallation(): TestInstallation {
  return TestInstallation.existing(inject('dataDir'));
}

export function uniqueName(prefix: string): string {
  return `${prefix}-${randomBytes(3).toString('hex')}`;
}

/** A tenant with a network of the given CIDR (first address as gateway). Answers the tenant's id. */
export async function createTenantNetwork(
  installation: TestInstallation,
  kubectl: Kubectl,
  network: string,
  cidr = '192.168.0.0/24',
): Promise<string> {
  const tenantId = randomBytes(16).toString('hex');
  await installation.run(['tenant', 'create', uniqueName('tenant'), '--id', tenantId]);
  const gateway = cidr.replace(/\.0\/\d+$/, '.1');
  await kubectl.apply(`
apiVersion: v1
kind: Network
metadata: {name: ${network}}
spec:
  tenantID: ${tenantId}
  subnets:
    subnet1: {cidr: ${cidr}, gateway: ${gateway}}
`);
  await kubectl.run(['wait', `network/${network}`, '--for=condition=Ready', '--timeout=30s']);
  return tenantId;
}

export async function createNamespace(kubectl: Kubectl, name: string, network?: string): Promise<void> {
  await kubectl.apply(`
apiVersion: v1
kind: Namespace
metadata: {name: ${name}}
spec: {${network === undefined ? '' : `network: ${network}`}}
`);
}

/** A pod of one busybox container that sleeps, unless a command is given. */
export function busyboxPod(
  name: string,
  options: { readonly command?: string; readonly labels?: string; readonly extra?: string } = {},
): string {
  return `
apiVersion: v1
kind: Pod
metadata:
  name: ${name}
  labels: {${options.labels ?? `app: ${name}`}}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: busybox
    command: ["sh", "-c", ${JSON.stringify(options.command ?? 'sleep 100000')}]
${options.extra ?? ''}
`;
}

export async function podAddress(kubectl: Kubectl, namespace: string, pod: string): Promise<string> {
  return await kubectl.run(['get', 'pod', '-n', namespace, pod, '-o', 'jsonpath={.status.podIP}']);
}
