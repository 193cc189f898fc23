import { join } from 'node:path';
import { PlatformError } from '@hypernetes/foundation/errors';
import { readFileIfExists } from '@hypernetes/foundation/files';

/** The kernel and images every machine starts from (guest/README.md "What the host gets"). */
export interface GuestArtifacts {
  readonly id: string;
  readonly kernel: string;
  readonly initramfs: string;
  readonly tools: string;
  readonly kernelRelease: string;
}

/** Reads `<cacheDir>/guest/current.json`. Precondition when it is not there or incomplete. */
export async function readGuestArtifacts(cacheDir: string): Promise<GuestArtifacts> {
  const path = join(cacheDir, 'guest', 'current.json');
  const text = await readFileIfExists(path);
  if (text === undefined)
    throw new PlatformError('Precondition', `guest artifacts: ${path} is missing; run hypernetes up`);
  const value = JSON.parse(text) as Record<string, unknown>;
  const field = (name: string): string => {
    const found = value[name];
    if (typeof found !== 'string' || found === '')
      throw new PlatformError('Precondition', `guest artifacts: ${path} has no ${name}; run hypernetes up`);
    return found;
  };
  return {
    id: field('id'),
    kernel: field('kernel'),
    initramfs: field('initramfs'),
    tools: field('tools'),
    kernelRelease: field('kernelRelease'),
  };
}
