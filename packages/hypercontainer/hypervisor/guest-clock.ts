import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PlatformError } from '@hypernetes/foundation/errors';
import { readFileIfExists, writeFileAtomic } from '@hypernetes/foundation/files';
import { runText } from '@hypernetes/foundation/process';

/** A guest whose clock is further off is refused: sleeps, timeouts and certificates in it would be wrong. */
export const clockErrorMax = 0.02;

/** One reading of both clocks at the same moment. */
export interface ClockReading {
  readonly guestNs: bigint;
  readonly hostNs: bigint;
}

/** How fast the guest's clock runs, 1 is right. Pure. */
export function clockRate(first: ClockReading, second: ClockReading): number {
  return Number(second.guestNs - first.guestNs) / Number(second.hostNs - first.hostNs);
}

/** The time stamp counter's frequency in kHz out of a kernel log, undefined when it says none. The later, refined figure wins. Pure. */
export function tscFrequencyOfLog(log: string): number | undefined {
  const found = [
    ...log.matchAll(/tsc: (?:Refined TSC clocksource calibration|Detected)[: ]+(\d+)\.(\d{3}) MHz/g),
  ];
  const last = found.at(-1);
  return last === undefined ? undefined : Number(last[1]) * 1000 + Number(last[2]);
}

/** The same out of /proc/cpuinfo: only a first guess, the figure may be the present frequency. Pure. */
export function tscFrequencyOfCpuinfo(cpuinfo: string): number | undefined {
  const found = /^cpu MHz\s*:\s*(\d+)\.(\d{3})/m.exec(cpuinfo);
  return found === null ? undefined : Number(found[1]) * 1000 + Number(found[2]);
}

/**
 * The frequency to tell guests (kernel argument tsc_early_khz): what an earlier machine was measured to need, else what the host's kernel found.
 * Every template is checked against the host's clock, and a wrong figure corrected by correct().
 */
export class TscFrequency {
  readonly #path: string;

  constructor(cacheDir: string) {
    this.#path = join(cacheDir, 'tsc-frequency.json');
  }

  async read(): Promise<number> {
    const known = await readFileIfExists(this.#path);
    const bootId = await readBootId();
    if (known !== undefined) {
      const value = JSON.parse(known) as { bootId?: unknown; khz?: unknown };
      if (value.bootId === bootId && typeof value.khz === 'number') return value.khz;
    }
    const log = await runText('dmesg', []).catch(() => '');
    const found = tscFrequencyOfLog(log) ?? tscFrequencyOfCpuinfo(await readFile('/proc/cpuinfo', 'utf8'));
    if (found === undefined)
      throw new PlatformError(
        'Precondition',
        "time stamp counter: neither the kernel's log nor /proc/cpuinfo says its frequency",
      );
    return found;
  }

  /** Remembers the frequency a guest with `usedKhz` was measured to need. */
  async correct(usedKhz: number, rate: number): Promise<number> {
    const khz = Math.round(usedKhz * rate);
    await writeFileAtomic(this.#path, JSON.stringify({ bootId: await readBootId(), khz }), 0o644);
    return khz;
  }
}

async function readBootId(): Promise<string> {
  return (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
}
