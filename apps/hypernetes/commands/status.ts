import type { Command } from 'commander';
import { resources, type Namespace, type Network, type Node, type Pod } from '@hypernetes/kubernetes/client';
import { buildId, defaultSettings, loadSettings, type Installation } from '../config/installation.ts';
import { daemonNames, findRunningDaemon, type DaemonName } from '../daemons/daemon-records.ts';
import { probeDaemon } from '../daemons/probe-daemon.ts';
import { formatTable } from '../output/table.ts';
import { connectKubernetes } from './readiness.ts';
import { installationOf, requireRoot } from './options.ts';

interface DaemonStatus {
  readonly name: DaemonName;
  readonly state: 'running' | 'not answering' | 'stopped';
  readonly pid: number | null;
  readonly since: string | null;
  readonly currentBuild: boolean;
}

interface ClusterStatus {
  readonly nodes: readonly { readonly name: string; readonly ready: boolean }[];
  readonly pods: Readonly<Record<string, number>>;
  readonly isolation: Readonly<Record<string, number>>;
  readonly namespaces: number;
  readonly networks: Readonly<Record<string, number>>;
}

export function addStatus(program: Command): void {
  program
    .command('status')
    .description('what runs')
    .option('--json', 'as JSON')
    .action(async (options: { json?: boolean }, command: Command) => {
      requireRoot('status');
      const installation = installationOf(command);
      const daemons = await daemonStatus(installation);
      const cluster =
        daemons.find((daemon) => daemon.name === 'server')?.state === 'running'
          ? await clusterStatus(installation)
          : null;
      if (options.json === true)
        console.log(JSON.stringify({ dataDir: installation.dataDir, daemons, cluster }, undefined, 2));
      else print(installation, daemons, cluster);
      process.exitCode = daemons.every((daemon) => daemon.state === 'running') ? 0 : 1;
    });
}

async function daemonStatus(installation: Installation): Promise<readonly DaemonStatus[]> {
  const settings = (await loadSettings(installation)) ?? defaultSettings;
  return await Promise.all(
    daemonNames.map(async (name): Promise<DaemonStatus> => {
      const record = await findRunningDaemon(installation, name);
      if (record === undefined) return { name, state: 'stopped', pid: null, since: null, currentBuild: true };
      const answers = await probeDaemon(installation, settings, name);
      return {
        name,
        state: answers ? 'running' : 'not answering',
        pid: record.pid,
        since: record.startedAt,
        currentBuild: record.buildId === buildId(),
      };
    }),
  );
}

function countBy<T>(items: readonly T[], key: (item: T) => string): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const item of items) counts[key(item)] = (counts[key(item)] ?? 0) + 1;
  return counts;
}

async function clusterStatus(installation: Installation): Promise<ClusterStatus> {
  await using client = await connectKubernetes(installation);
  const [nodes, pods, namespaces, networks] = await Promise.all([
    client.list<Node>(resources.nodes),
    client.list<Pod>(resources.pods),
    client.list<Namespace>(resources.namespaces),
    client.list<Network>(resources.networks),
  ]);
  return {
    nodes: nodes.items.map((node) => ({
      name: node.metadata.name,
      ready:
        node.status?.conditions?.some(
          (condition) => condition.type === 'Ready' && condition.status === 'True',
        ) === true,
    })),
    pods: countBy(pods.items, (pod) => pod.status?.phase ?? 'Unknown'),
    isolation: countBy(
      pods.items.filter((pod) => pod.status?.phase === 'Running'),
      (pod) => pod.metadata.annotations?.['hypernetes.io/isolation'] ?? 'unknown',
    ),
    namespaces: namespaces.items.length,
    networks: countBy(networks.items, (network) => network.status?.phase ?? 'Unknown'),
  };
}

function describeCounts(counts: Readonly<Record<string, number>>): string {
  const parts = Object.entries(counts).map(([name, count]) => `${count} ${name}`);
  return parts.length === 0 ? 'none' : parts.join(', ');
}

function print(
  installation: Installation,
  daemons: readonly DaemonStatus[],
  cluster: ClusterStatus | null,
): void {
  console.log(
    formatTable(
      ['DAEMON', 'STATE', 'PID', 'SINCE'],
      daemons.map((daemon) => [
        daemon.name,
        daemon.state + (daemon.currentBuild ? '' : ' (an older build: run up)'),
        daemon.pid === null ? '-' : String(daemon.pid),
        daemon.since ?? '-',
      ]),
    ),
  );
  if (cluster !== null) {
    console.log(`
nodes:      ${cluster.nodes.map((node) => `${node.name} ${node.ready ? 'Ready' : 'NotReady'}`).join(', ')}
pods:       ${describeCounts(cluster.pods)}
isolation:  ${describeCounts(cluster.isolation)}
namespaces: ${cluster.namespaces}
networks:   ${describeCounts(cluster.networks)}
kubeconfig: ${installation.kubeconfigPath}`);
  }
}
