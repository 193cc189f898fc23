import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '@hypernetes/foundation/process';
import { PlatformError } from '@hypernetes/foundation/errors';
import { readFileIfExists } from '@hypernetes/foundation/files';
import { repositoryRoot, type Installation } from '../config/installation.ts';

export interface GuestArtifacts {
  readonly kernel: string;
  readonly initramfs: string;
  readonly tools: string;
  readonly kernelRelease: string;
  readonly id: string;
}

/** The kernel, initramfs and tools image in the cache, undefined before the first assembly. */
export async function findGuest(installation: Installation): Promise<GuestArtifacts | undefined> {
  const text = await readFileIfExists(join(installation.cacheDir, 'guest', 'current.json'));
  return text === undefined ? undefined : (JSON.parse(text) as GuestArtifacts);
}

export async function ensureGuestIsCurrent(installation: Installation): Promise<boolean> {
  const guest = await findGuest(installation);
  return (
    guest !== undefined && [guest.kernel, guest.initramfs, guest.tools].every((file) => existsSync(file))
  );
}

/** Fetches and unpacks the kernel, compiles hyperstart, packs the initramfs; quick when nothing changed. */
export async function assembleGuest(
  installation: Installation,
  note: (text: string) => void,
): Promise<GuestArtifacts> {
  await run(join(repositoryRoot(), 'guest', 'hyperkernel', 'assemble.sh'), [installation.cacheDir], {
    timeoutMs: 900_000,
  });
  const guest = await findGuest(installation);
  if (guest === undefined) throw new PlatformError('Internal', 'guest assembly left no current.json');
  note(guest.kernelRelease);
  return guest;
}
