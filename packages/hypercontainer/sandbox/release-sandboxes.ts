import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { killProcess } from '@hypernetes/foundation/process';
import { findMonitors } from '../hypervisor/index.ts';
import { templateFolder } from './sandbox-manager.ts';

/**
 * Ends every virtual machine of an installation whose daemon does not run (any more), and removes sockets and templates. The records stay: the next
 * daemon finds their machines gone, gives ports and volumes back when asked to, and the pods are made anew.
 */
export async function releaseSandboxes(installation: {
  readonly dataDir: string;
  readonly runDir: string;
  readonly instancePrefix: string;
}): Promise<void> {
  for (const found of await findMonitors(`${installation.instancePrefix}-`)) await killProcess(found.process);
  await rm(join(installation.runDir, 'vm'), { recursive: true, force: true });
  await rm(templateFolder(installation.instancePrefix), { recursive: true, force: true });
}
