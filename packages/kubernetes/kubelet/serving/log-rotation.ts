import { rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { toPlatformError } from '@hypernetes/foundation/errors';
import { sleep } from '@hypernetes/foundation/lifecycle';
import { createLogger } from '@hypernetes/foundation/logging';
import { ContainerState as CriContainerState, type Container as CriContainer } from '@hypernetes/proto/cri';
import { logPathOf as logPathInPod } from '../containers/container-config.ts';
import { logDirectoryOf } from '../containers/sandbox-config.ts';
import { criAnnotations, criLabels } from '../runtime/labels.ts';
import { listLogFiles } from './log-files.ts';

const log = createLogger('kubelet:logs');
const periodMs = 10_000;

export interface RotationRuntime {
  listContainers(): Promise<Pick<CriContainer, 'id' | 'state' | 'labels' | 'annotations'>[]>;
  reopenLog(containerId: string): Promise<void>;
}

/**
 * Moves a log that has grown past the limit aside and has the runtime open a new one; keeps `filesMax` files. Should the runtime not open a
 * new one, the old name comes back, so that nothing written meanwhile is lost to readers.
 */
export async function rotateLog(
  logPath: string,
  limits: { readonly bytesMax: number; readonly filesMax: number },
  reopen: () => Promise<void>,
): Promise<boolean> {
  const size = (await stat(logPath).catch(() => undefined))?.size ?? 0;
  if (size < limits.bytesMax) return false;
  const aside = `${logPath}.${new Date().toISOString().replace(/[-:.TZ]/g, '')}`;
  await rename(logPath, aside);
  try {
    await reopen();
  } catch (error) {
    await rename(aside, logPath);
    throw error;
  }
  const rotated = (await listLogFiles(logPath)).filter((path) => path !== logPath);
  for (const path of rotated.slice(0, Math.max(0, rotated.length - (limits.filesMax - 1)))) {
    await rm(path, { force: true });
  }
  return true;
}

/** Where the runtime writes a container's log; the labels and annotations say what it was told. */
function logPathOf(
  { labels, annotations }: Pick<CriContainer, 'labels' | 'annotations'>,
  podLogsDir: string,
): string {
  const metadata = {
    namespace: labels[criLabels.podNamespace] ?? '',
    name: labels[criLabels.podName] ?? '',
    uid: labels[criLabels.podUid] ?? '',
  };
  const attempt = Number(annotations[criAnnotations.restartCount] ?? 0);
  return join(
    logDirectoryOf({ metadata }, podLogsDir),
    logPathInPod(labels[criLabels.containerName] ?? '', attempt),
  );
}

/** Looks at the logs of all running containers, over and over, until the signal. */
export async function rotateLogsForever(
  runtime: RotationRuntime,
  podLogsDir: string,
  limits: { readonly bytesMax: number; readonly filesMax: number },
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    try {
      await sleep(periodMs, signal);
    } catch {
      return;
    }
    for (const container of await runtime.listContainers().catch(() => [])) {
      if (container.state !== CriContainerState.CONTAINER_RUNNING) continue;
      try {
        await rotateLog(logPathOf(container, podLogsDir), limits, () => runtime.reopenLog(container.id));
      } catch (error) {
        log.warn({ containerId: container.id, error: toPlatformError(error).message }, 'log not rotated');
      }
    }
  }
}
