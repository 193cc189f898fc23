import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { release } from 'node:os';
import { join } from 'node:path';
import { PlatformError, toPlatformError } from '@hypernetes/foundation/errors';
import { readFileIfExists, writeFileAtomic } from '@hypernetes/foundation/files';
import type { MachineIsolation } from '../hypervisor.ts';

/** What a probe found, and where from. */
export interface AcceleratorProof {
  readonly accelerator: MachineIsolation;
  /** For people: why not KVM, or that it was proven. */
  readonly reason: string;
}

/**
 * Chooses how machines run. /dev/kvm being there proves nothing (the host's KVM may not run ordinary guests): `boot` starts a real guest with it to its
 * hello. The answer is remembered per guest kernel, QEMU version, host kernel and CPU model. `kvm` where it does not work is a Precondition error.
 */
export async function probeAccelerator(options: {
  readonly wanted: 'auto' | 'kvm' | 'tcg';
  readonly cacheDir: string;
  readonly artifactsId: string;
  readonly qemuVersion: string;
  /** Do not trust what is remembered. */
  readonly again?: boolean;
  readonly boot: () => Promise<void>;
}): Promise<AcceleratorProof> {
  if (options.wanted === 'tcg') return { accelerator: 'tcg', reason: 'chosen' };
  const path = join(options.cacheDir, 'accelerator.json');
  const key = await probeKey(options.artifactsId, options.qemuVersion);
  const known = options.again === true ? undefined : await readKnown(path, key);
  const proof = known ?? (await probe(options.boot));
  if (known === undefined) await writeFileAtomic(path, JSON.stringify({ key, ...proof }), 0o644);
  if (options.wanted === 'kvm' && proof.accelerator !== 'kvm')
    throw new PlatformError('Precondition', `accelerator kvm: ${proof.reason}; use --accel auto or tcg`);
  return proof;
}

async function probe(boot: () => Promise<void>): Promise<AcceleratorProof> {
  try {
    await boot();
    return { accelerator: 'kvm', reason: 'proven by booting a guest' };
  } catch (error) {
    return { accelerator: 'tcg', reason: `KVM does not run our guest: ${toPlatformError(error).message}` };
  }
}

async function probeKey(artifactsId: string, qemuVersion: string): Promise<string> {
  const model = /^model name\s*:\s*(.*)$/m.exec(await readFile('/proc/cpuinfo', 'utf8'))?.[1] ?? '';
  return createHash('sha256')
    .update(JSON.stringify([artifactsId, qemuVersion, release(), model]))
    .digest('hex');
}

async function readKnown(path: string, key: string): Promise<AcceleratorProof | undefined> {
  const text = await readFileIfExists(path);
  if (text === undefined) return undefined;
  const value = JSON.parse(text) as { key?: unknown; accelerator?: unknown; reason?: unknown };
  const known = value.accelerator === 'kvm' || value.accelerator === 'tcg' ? value.accelerator : undefined;
  return value.key === key && known !== undefined
    ? { accelerator: known, reason: String(value.reason) }
    : undefined;
}
