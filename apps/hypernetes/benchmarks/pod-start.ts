import { setTimeout as delay } from 'node:timers/promises';
import { measureCloneFloor } from '@hypernetes/hypercontainer/hypervisor';
import { resources, type KubeClient, type Pod } from '@hypernetes/kubernetes/client';
import { PlatformError } from '@hypernetes/foundation/errors';
import type { Installation } from '../config/installation.ts';
import { connectKubernetes } from '../commands/readiness.ts';
import { formatTable } from '../output/table.ts';
import { createProgress } from '../output/progress.ts';
import { distributionOf, type Distribution } from './statistics.ts';

interface PodStart {
  /** Create request sent to Ready seen by a watch, milliseconds. */
  readonly totalMs: number;
  /** Phases as the node measured them (annotation hypernetes.io/start-trace), milliseconds. */
  readonly phases: Readonly<Record<string, number>>;
}

/**
 * `bench pod-start`: from the create request to Ready, one pod after another, by phase; beside it the floor of the same run: a bare clone
 * of the same kind of template to the agent's hello.
 */
export async function benchPodStart(
  installation: Installation,
  options: { readonly json: boolean; readonly count: number; readonly image: string },
): Promise<void> {
  if (!Number.isInteger(options.count) || options.count < 1)
    throw new PlatformError('Invalid', '--count: must be a whole number from 1');
  const progress = createProgress();
  await using client = await connectKubernetes(installation);
  const starts: PodStart[] = [];
  await progress.step(`start ${options.count} pods`, async (note) => {
    await startPod(client, 'bench-warm-up', options.image); // pulls the image, makes the template
    for (let i = 0; i < options.count; i++) {
      starts.push(await startPod(client, `bench-${i}`, options.image));
      note(`${i + 1} of ${options.count}`);
    }
  });
  const floor = await progress.step(
    'bare clones',
    async () => await measureCloneFloor({ cacheDir: installation.cacheDir, count: options.count }),
  );
  report(starts, floor, options.json);
}

async function startPod(client: KubeClient, name: string, image: string): Promise<PodStart> {
  const namespace = 'default';
  const begin = performance.now();
  const created = await client.create<Pod>(resources.pods, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace },
    spec: {
      terminationGracePeriodSeconds: 0,
      containers: [{ name: 'main', image, command: ['sleep', '1000000'] }],
    },
  });
  try {
    const ready = await untilReady(client, created);
    const totalMs = performance.now() - begin;
    const trace = await startTrace(client, ready);
    return { totalMs, phases: trace };
  } finally {
    await client.delete(resources.pods, { namespace, name }, { gracePeriodSeconds: 0 });
    await untilGone(client, namespace, name);
  }
}

async function untilReady(client: KubeClient, pod: Pod): Promise<Pod> {
  const signal = AbortSignal.timeout(120_000);
  const watch = client.watch<Pod>(
    resources.pods,
    {
      namespace: pod.metadata.namespace ?? 'default',
      fieldSelector: `metadata.name=${pod.metadata.name}`,
      resourceVersion: pod.metadata.resourceVersion ?? '0',
    },
    signal,
  );
  for await (const event of watch) {
    if (
      event.object.status?.conditions?.some(
        (condition) => condition.type === 'Ready' && condition.status === 'True',
      ) === true
    ) {
      return event.object;
    }
  }
  throw new PlatformError('DeadlineExceeded', `pod ${pod.metadata.name} was not Ready after 120 s`);
}

// The annotation may follow the Ready status by a moment.
async function startTrace(client: KubeClient, pod: Pod): Promise<Readonly<Record<string, number>>> {
  for (let attempt = 0; attempt < 20; attempt++) {
    const now = await client.get<Pod>(resources.pods, {
      namespace: pod.metadata.namespace ?? 'default',
      name: pod.metadata.name,
    });
    const text = now.metadata.annotations?.['hypernetes.io/start-trace'];
    if (text !== undefined) return JSON.parse(text) as Record<string, number>;
    await delay(100);
  }
  return {};
}

async function untilGone(client: KubeClient, namespace: string, name: string): Promise<void> {
  for (let attempt = 0; attempt < 300; attempt++) {
    try {
      await client.get(resources.pods, { namespace, name });
    } catch {
      return;
    }
    await delay(100);
  }
}

function report(
  starts: readonly PodStart[],
  floor: { readonly samplesMs: readonly number[]; readonly accelerator: string },
  json: boolean,
): void {
  const names = [...new Set(starts.flatMap((start) => Object.keys(start.phases)))];
  const rows: (readonly [string, Distribution | undefined])[] = [
    ['create to Ready', distributionOf(starts.map((start) => start.totalMs))],
    ...names.map(
      (name) => [name, distributionOf(starts.flatMap((start) => start.phases[name] ?? []))] as const,
    ),
    ['floor: bare clone to hello', distributionOf(floor.samplesMs)],
  ];
  if (json) {
    const figures = Object.fromEntries(rows.map(([name, distribution]) => [name, distribution ?? null]));
    console.log(
      JSON.stringify(
        { benchmark: 'pod-start', unit: 'ms', accelerator: floor.accelerator, figures },
        undefined,
        2,
      ),
    );
    return;
  }
  const cell = (value: number | undefined): string => (value === undefined ? '-' : value.toFixed(0));
  console.log(
    formatTable(
      [`PHASE (ms, ${floor.accelerator})`, 'COUNT', 'P50', 'P95', 'MAX'],
      rows.map(([name, distribution]) => [
        name,
        String(distribution?.count ?? 0),
        cell(distribution?.p50),
        cell(distribution?.p95),
        cell(distribution?.max),
      ]),
    ),
  );
}
