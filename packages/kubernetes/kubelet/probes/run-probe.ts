import { isPlatformError, PlatformError, toPlatformError } from '@hypernetes/foundation/errors';
import { withDeadline } from '@hypernetes/foundation/lifecycle';
import type { Container, Probe } from '../kube-types.ts';
import { checkGrpcHealth } from './grpc-health.ts';
import { httpGet } from './http-get.ts';
import { resolvePort, type PodConnection, type PodConnections } from './pod-connections.ts';
import { RuntimeUnreachable } from './runtime-unreachable.ts';

const outputCharactersMax = 10_240;

export interface ProbeTarget {
  readonly containerId: string;
  readonly sandboxId: string;
  readonly podAddress: string;
  readonly container: Container;
}

export interface ProbeTools {
  readonly connections: PodConnections;
  execSync(
    containerId: string,
    command: readonly string[],
    timeoutS: number,
    signal?: AbortSignal,
  ): Promise<{ readonly exitCode: number; readonly output: string }>;
}

export interface ProbeResult {
  /** unknown: the runtime could not be asked, which says nothing of the container. */
  readonly verdict: 'success' | 'failure' | 'unknown';
  /** What was wrong, as it stands in the Unhealthy event. */
  readonly output: string;
}

/** Runs a probe once, within its timeout. Never throws. */
export async function runProbe(
  probe: Probe,
  target: ProbeTarget,
  tools: ProbeTools,
  signal: AbortSignal,
): Promise<ProbeResult> {
  // The given signal lives as long as the container: what listens to a probe's own goes with the probe.
  const own = AbortSignal.any([signal]);
  try {
    const output =
      probe.exec === undefined
        ? await askNetwork(probe, target, tools, own)
        : await askCommand(probe, target, tools, own);
    return {
      verdict: output === undefined ? 'success' : 'failure',
      output: (output ?? '').slice(0, outputCharactersMax),
    };
  } catch (error) {
    const verdict = error instanceof RuntimeUnreachable || signal.aborted ? 'unknown' : 'failure';
    return { verdict, output: describeFailure(probe, target, error).slice(0, outputCharactersMax) };
  }
}

async function askCommand(
  probe: Probe,
  target: ProbeTarget,
  tools: ProbeTools,
  signal: AbortSignal,
): Promise<string | undefined> {
  const command = probe.exec?.command ?? [];
  const timeoutS = probe.timeoutSeconds ?? 1;
  try {
    const { exitCode, output } = await tools.execSync(target.containerId, command, timeoutS, signal);
    return exitCode === 0 ? undefined : output;
  } catch (error) {
    if (isPlatformError(error, 'DeadlineExceeded')) {
      return `command timed out: "${command.join(' ')}" timed out after ${timeoutS}s`;
    }
    throw new RuntimeUnreachable(toPlatformError(error).message, error);
  }
}

/** Reaching the runtime is not part of what the probe's timeout measures. */
async function askNetwork(
  probe: Probe,
  target: ProbeTarget,
  tools: ProbeTools,
  signal: AbortSignal,
): Promise<string | undefined> {
  const action = probe.httpGet ?? probe.tcpSocket ?? probe.grpc;
  if (action === undefined) throw new PlatformError('Invalid', 'missing probe handler');
  const port = resolvePort(target.container, action.port);
  const connection = await tools.connections.connect(target.sandboxId, port);
  try {
    return await withDeadline(
      'probe',
      (probe.timeoutSeconds ?? 1) * 1_000,
      async (inner) => await askConnection(probe, target, connection, inner),
      signal,
    );
  } finally {
    connection.destroy();
  }
}

async function askConnection(
  probe: Probe,
  target: ProbeTarget,
  connection: PodConnection,
  signal: AbortSignal,
): Promise<string | undefined> {
  await connectedWithin(connection, signal);
  if (probe.httpGet !== undefined) {
    const { status } = await httpGet(httpRequestOf(probe.httpGet, target), connection, signal);
    return status >= 200 && status < 400 ? undefined : `HTTP probe failed with statuscode: ${status}`;
  }
  if (probe.grpc !== undefined) {
    return await checkGrpcHealth(connection, probe.grpc.service ?? '', signal);
  }
  return undefined; // TCP: that there is a connection is all that was asked
}

export function httpRequestOf(
  action: NonNullable<Probe['httpGet']>,
  target: Pick<ProbeTarget, 'container' | 'podAddress'>,
) {
  const path = action.path ?? '/';
  return {
    scheme: action.scheme?.toUpperCase() === 'HTTPS' ? ('https' as const) : ('http' as const),
    host: action.host ?? target.podAddress,
    port: resolvePort(target.container, action.port),
    path: path.startsWith('/') ? path : `/${path}`,
    headers: action.httpHeaders ?? [],
  };
}

async function connectedWithin(connection: PodConnection, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    const giveUp = (): void => reject(new PlatformError('DeadlineExceeded', 'i/o timeout'));
    signal.addEventListener('abort', giveUp, { once: true });
    connection.connected.then(resolve, reject).finally(() => signal.removeEventListener('abort', giveUp));
  });
}

function describeFailure(probe: Probe, target: ProbeTarget, error: unknown): string {
  const { reason, message } = toPlatformError(error);
  const why =
    reason === 'DeadlineExceeded' || reason === 'Canceled'
      ? 'context deadline exceeded (Client.Timeout exceeded while awaiting headers)'
      : message;
  if (probe.httpGet !== undefined) {
    const { scheme, port, path = '/' } = probe.httpGet;
    const url = `${scheme?.toLowerCase() ?? 'http'}://${target.podAddress}:${port}${path}`;
    return `Get "${url}": ${why}`;
  }
  if (probe.tcpSocket !== undefined) return `dial tcp ${target.podAddress}:${probe.tcpSocket.port}: ${why}`;
  if (probe.grpc !== undefined)
    return `timeout or failure to connect service "${target.podAddress}:${probe.grpc.port}": ${why}`;
  return why;
}
