import type { Duplex } from 'node:stream';
import { isPlatformError, PlatformError, toPlatformError } from '@hypernetes/foundation/errors';
import { withDeadline } from '@hypernetes/foundation/lifecycle';
import type { Container, Probe } from '../kube-types.ts';
import { checkGrpcHealth } from './grpc-health.ts';
import { httpGet } from './http-get.ts';
import { resolvePort, type PodConnections } from './pod-connections.ts';

const outputCharactersMax = 10_240;
/** A TCP connection that was not refused for this long is there: the pod's side reports a refusal at once. */
const refusalMs = 500;

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
  readonly ok: boolean;
  /** What was wrong, as it stands in the Unhealthy event. */
  readonly output: string;
}

/** Runs a probe once, within its timeout. Never throws: what cannot be asked has failed. */
export async function runProbe(
  probe: Probe,
  target: ProbeTarget,
  tools: ProbeTools,
  signal: AbortSignal,
): Promise<ProbeResult> {
  const timeoutS = probe.timeoutSeconds ?? 1;
  try {
    const output =
      probe.exec === undefined
        ? await withDeadline(
            'probe',
            timeoutS * 1_000,
            async (inner) => await askNetwork(probe, target, tools, inner),
            signal,
          )
        : await askCommand(probe.exec.command ?? [], timeoutS, target, tools, signal);
    return { ok: output === undefined, output: (output ?? '').slice(0, outputCharactersMax) };
  } catch (error) {
    return { ok: false, output: describeFailure(probe, target, error).slice(0, outputCharactersMax) };
  }
}

async function askCommand(
  command: readonly string[],
  timeoutS: number,
  target: ProbeTarget,
  tools: ProbeTools,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    const { exitCode, output } = await tools.execSync(target.containerId, command, timeoutS, signal);
    return exitCode === 0 ? undefined : output;
  } catch (error) {
    if (!isPlatformError(error, 'DeadlineExceeded')) throw error;
    return `command timed out: "${command.join(' ')}" timed out after ${timeoutS}s`;
  }
}

async function askNetwork(
  probe: Probe,
  target: ProbeTarget,
  tools: ProbeTools,
  signal: AbortSignal,
): Promise<string | undefined> {
  const connect = async (port: number | string) =>
    await tools.connections.connect(target.sandboxId, resolvePort(target.container, port));
  if (probe.httpGet !== undefined) {
    const connection = await connect(probe.httpGet.port);
    const { status } = await httpGet(httpRequestOf(probe.httpGet, target), connection, signal);
    return status >= 200 && status < 400 ? undefined : `HTTP probe failed with statuscode: ${status}`;
  }
  if (probe.tcpSocket !== undefined) {
    await stayOpen(await connect(probe.tcpSocket.port), signal);
    return undefined;
  }
  if (probe.grpc !== undefined) {
    return await checkGrpcHealth(await connect(probe.grpc.port), probe.grpc.service ?? '', signal);
  }
  throw new PlatformError('Invalid', 'missing probe handler');
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

async function stayOpen(connection: Duplex, signal: AbortSignal): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      const refused = (cause?: Error): void =>
        reject(new PlatformError('Unavailable', cause?.message ?? 'connection closed', { cause }));
      let timer: NodeJS.Timeout | undefined;
      connection.once('error', refused);
      connection.once('end', () => refused());
      connection.once('data', () => resolve());
      connection.once('established', () => (timer = setTimeout(resolve, refusalMs)));
      signal.addEventListener('abort', () => refused(new Error('i/o timeout')), { once: true });
      connection.once('close', () => clearTimeout(timer));
    });
  } finally {
    connection.destroy();
  }
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
