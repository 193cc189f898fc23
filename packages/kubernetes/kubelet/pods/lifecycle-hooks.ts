import { PlatformError } from '@hypernetes/foundation/errors';
import { sleep, withDeadline } from '@hypernetes/foundation/lifecycle';
import type { LifecycleHandler } from '../kube-types.ts';
import { httpGet } from '../probes/http-get.ts';
import { resolvePort } from '../probes/pod-connections.ts';
import { httpRequestOf, type ProbeTarget, type ProbeTools } from '../probes/run-probe.ts';

/** Runs a postStart or preStop handler within the time; throws with what went wrong. */
export async function runHook(
  hook: LifecycleHandler,
  target: ProbeTarget,
  tools: ProbeTools,
  timeoutS: number,
  signal?: AbortSignal,
): Promise<void> {
  await withDeadline(
    'lifecycle hook',
    timeoutS * 1_000,
    async (inner) => {
      if (hook.exec !== undefined) {
        const command = hook.exec.command ?? [];
        const { exitCode, output } = await tools.execSync(target.containerId, command, timeoutS, inner);
        if (exitCode === 0) return;
        throw new PlatformError(
          'Precondition',
          `command '${command.join(' ')}' exited with ${exitCode}: ${output.slice(0, 512)}`,
        );
      }
      if (hook.sleep !== undefined) {
        await sleep(hook.sleep.seconds * 1_000, inner);
      } else if (hook.httpGet !== undefined) {
        const port = resolvePort(target.container, hook.httpGet.port);
        const connection = await tools.connections.connect(target.sandboxId, port);
        const leave = (): void => void connection.destroy();
        inner.addEventListener('abort', leave, { once: true });
        await connection.connected;
        // Whatever it answers: a hook tells, it does not ask.
        await httpGet(httpRequestOf(hook.httpGet, target), connection, inner);
      }
    },
    signal,
  );
}
