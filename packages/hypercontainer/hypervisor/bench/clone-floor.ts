import { randomBytes } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { GuestAgent } from '../../guest-agent/index.ts';
import type { Hypervisor, MachineIsolation } from '../hypervisor.ts';
import { withTemporaryHypervisor } from '../qemu/qemu-hypervisor.ts';
import { copyScratch } from '../scratch-disk.ts';

/** Durations of bare clones, in milliseconds, in the order they were made. */
export interface CloneFloor {
  /** From the start of QEMU to the guest agent's hello: nothing of a pod's start can be quicker. */
  readonly samplesMs: readonly number[];
  readonly accelerator: MachineIsolation;
}

/** Clones a template `count` times, one after another, to the agent's hello. The template is made before the first measurement. */
export async function measureCloneFloor(options: {
  readonly cacheDir: string;
  readonly count: number;
}): Promise<CloneFloor> {
  return await withTemporaryHypervisor(options.cacheDir, async (hypervisor, folder, uid) => {
    const samplesMs: number[] = [];
    // The first only makes the template and warms the caches.
    await measureOne(hypervisor, folder, uid);
    for (let index = 0; index < options.count; index++)
      samplesMs.push(await measureOne(hypervisor, folder, uid));
    return { samplesMs, accelerator: hypervisor.isolation };
  });
}

async function measureOne(hypervisor: Hypervisor, folder: string, uid: number): Promise<number> {
  const id = randomBytes(4).toString('hex');
  const scratchPath = join(folder, `floor-${id}.raw`);
  const runDir = join(folder, `floor-${id}`);
  const logFile = join(folder, `floor-${id}.log`);
  await copyScratch(hypervisor.scratchBasePath, scratchPath, uid);
  try {
    const started = performance.now();
    const machine = await hypervisor.start({
      name: `hntmp-floor-${id}`,
      tenantId: '',
      memoryMiB: 256,
      cpus: 1,
      uid,
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
