import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { GuestAgent } from '../../guest-agent/index.ts';
import type { Hypervisor } from '../hypervisor.ts';
import { copyScratch } from '../scratch-disk.ts';

/** Durations of bare clones, in milliseconds, in the order they were made. */
export interface CloneFloor {
  /** From the start of QEMU to the guest agent's hello: nothing of a pod's start can be quicker. */
  readonly samplesMs: readonly number[];
}

/** Clones the template `count` times, one after another, to the agent's hello. The template is made before the first measurement. */
export async function measureCloneFloor(
  hypervisor: Hypervisor,
  options: {
    readonly count: number;
    readonly workDir: string;
    readonly runDir: string;
    readonly uid: number;
    readonly namePrefix: string;
    readonly memoryMiB?: number;
  },
): Promise<CloneFloor> {
  const samplesMs: number[] = [];
  // The first only makes the template and warms the caches.
  for (let index = -1; index < options.count; index++) {
    const durationMs = await measureOne(hypervisor, options);
    if (index >= 0) samplesMs.push(durationMs);
  }
  return { samplesMs };
}

async function measureOne(
  hypervisor: Hypervisor,
  options: Parameters<typeof measureCloneFloor>[1],
): Promise<number> {
  const id = randomBytes(4).toString('hex');
  const scratchPath = join(options.workDir, `floor-${id}.raw`);
  const runDir = join(options.runDir, `floor-${id}`);
  const logFile = join(options.workDir, `floor-${id}.log`);
  await copyScratch(hypervisor.scratchBasePath, scratchPath, options.uid);
  try {
    const started = performance.now();
    const machine = await hypervisor.start({
      name: `${options.namePrefix}-floor-${id}`,
      tenantId: '',
      memoryMiB: options.memoryMiB ?? 256,
      cpus: 1,
      uid: options.uid,
      networkNamespace: undefined,
      tapName: 'tap0',
      scratchPath,
      runDir,
      logFile,
    });
    try {
      await using agent = new GuestAgent({
        socketPath: machine.agentSocketPath,
        fresh: true,
        onEvent: () => Promise.resolve(),
      });
      await agent.waitConnected(30_000);
      return performance.now() - started;
    } finally {
      await machine[Symbol.asyncDispose]();
      await machine.kill();
    }
  } finally {
    await Promise.all(
      [scratchPath, runDir, logFile].map((path) => rm(path, { recursive: true, force: true })),
    );
  }
}
