import type { Command } from 'commander';
import { PlatformError } from '@hypernetes/foundation/errors';
import { installationAt, type Installation } from '../config/installation.ts';

/** The installation a command is about (global option --data-dir). */
export function installationOf(command: Command): Installation {
  return installationAt(command.optsWithGlobals<{ dataDir?: string }>().dataDir);
}

export function requireRoot(doing: string): void {
  if (process.getuid?.() !== 0) throw new PlatformError('Forbidden', `${doing} needs root: run it with sudo`);
}

const sizeUnits: Readonly<Record<string, bigint>> = {
  '': 1n,
  K: 1000n,
  M: 1000n ** 2n,
  G: 1000n ** 3n,
  T: 1000n ** 4n,
  Ki: 1n << 10n,
  Mi: 1n << 20n,
  Gi: 1n << 30n,
  Ti: 1n << 40n,
};

/** '1Gi', '500M', '1048576': bytes, by the suffixes of a Kubernetes quantity. */
export function parseSize(text: string): bigint {
  const match = /^([1-9][0-9]*)(|K|M|G|T|Ki|Mi|Gi|Ti)$/.exec(text);
  const unit = sizeUnits[match?.[2] ?? '?'];
  if (match?.[1] === undefined || unit === undefined) {
    throw new PlatformError(
      'Invalid',
      `size "${text}": must be a whole number with an optional suffix K, M, G, T, Ki, Mi, Gi or Ti, e.g. 1Gi`,
    );
  }
  return BigInt(match[1]) * unit;
}
