import { describe, expect, it } from 'vitest';
import { clockRate, tscFrequencyOfCpuinfo, tscFrequencyOfLog } from './guest-clock.ts';

describe('guest clock', () => {
  it('reads the frequency out of a kernel log, the refined one when there is one', () => {
    expect(tscFrequencyOfLog('[    0.000052] tsc: Detected 2300.000 MHz processor\n')).toBe(2_300_000);
    const refined =
      'tsc: Detected 2300.000 MHz processor\ntsc: Refined TSC clocksource calibration: 2299.998 MHz';
    expect(tscFrequencyOfLog(refined)).toBe(2_299_998);
    expect(tscFrequencyOfLog('nothing of it')).toBeUndefined();
    expect(tscFrequencyOfCpuinfo('model name\t: x\ncpu MHz\t\t: 1996.250\n')).toBe(1_996_250);
  });

  it('says how fast the guest runs', () => {
    const rate = clockRate(
      { guestNs: 100n, hostNs: 0n },
      { guestNs: 100n + 500_000_000n, hostNs: 1_000_000_000n },
    );
    expect(rate).toBe(0.5);
  });
});
