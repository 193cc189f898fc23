import type { LinuxResources } from './sandbox-service.ts';

/** What guest kernel and agent need besides the containers. */
const overheadMiB = 64;
const defaultMemoryMiB = 256;
const cpusMax = 32;

/** Memory and processors of a machine: few sizes, because each has a template of its own. Pure. */
export function machineSize(
  resources: LinuxResources,
  hostCpus: number,
): { readonly memoryMiB: number; readonly cpus: number } {
  const limit = resources.memoryLimitBytes ?? 0;
  const wantedMiB = limit > 0 ? Math.ceil(limit / 2 ** 20) + overheadMiB : defaultMemoryMiB;
  const quota = resources.cpuQuotaUs ?? 0;
  const period = resources.cpuPeriodUs ?? 0;
  const wantedCpus = quota > 0 && period > 0 ? Math.ceil(quota / period) : 1;
  return {
    memoryMiB: Math.max(defaultMemoryMiB, nextPowerOfTwo(wantedMiB)),
    cpus: Math.min(nextPowerOfTwo(wantedCpus), Math.max(1, hostCpus), cpusMax),
  };
}

function nextPowerOfTwo(value: number): number {
  let power = 1;
  while (power < value) power *= 2;
  return power;
}
