import type { CpuRate } from './to-cri.ts';

const samplesMax = 10_000;
// Closer together than this two samples say nothing but noise: the last rate is answered again.
const intervalNsMin = 1_000_000_000n;

interface Sample {
  readonly timestampNs: bigint;
  readonly usageNs: bigint;
  readonly rate: bigint | undefined;
}

/** CPU use per second out of samples of the total, remembered per identifier. */
export function createCpuRates(): CpuRate {
  const samples = new Map<string, Sample>();
  return (id, timestampNs, usageNs) => {
    const last = samples.get(id);
    const elapsedNs = last === undefined ? 0n : timestampNs - last.timestampNs;
    if (last !== undefined && elapsedNs < intervalNsMin) return last.rate;
    const usedNs = last === undefined ? 0n : usageNs - last.usageNs;
    const rate = last === undefined || usedNs < 0n ? undefined : (usedNs * 1_000_000_000n) / elapsedNs;
    samples.delete(id);
    const oldest = samples.keys().next();
    if (samples.size >= samplesMax && oldest.done !== true) samples.delete(oldest.value);
    samples.set(id, { timestampNs, usageNs, rate });
    return rate;
  };
}
