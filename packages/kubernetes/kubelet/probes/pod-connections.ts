import type { Duplex } from 'node:stream';
import { PlatformError, toPlatformError } from '@hypernetes/foundation/errors';
import type { Container } from '../kube-types.ts';
import { PortForwardStream } from './port-forward-stream.ts';
import { RuntimeUnreachable } from './runtime-unreachable.ts';

/** A byte stream to a port of a pod's loopback. */
export interface PodConnection extends Duplex {
  /** Resolves when something in the pod has taken the connection; rejects with Unavailable when nothing listens. */
  readonly connected: Promise<void>;
}

/** How the kubelet reaches what listens in a pod. */
export interface PodConnections {
  /** Has the runtime make a connection; answers when it has begun. Throws RuntimeUnreachable. */
  connect(sandboxId: string, port: number): Promise<PodConnection>;
}

export function portForwardConnections(runtime: {
  portForwardUrl(sandboxId: string, ports: readonly number[]): Promise<string>;
}): PodConnections {
  return {
    async connect(sandboxId, port) {
      let url: string;
      try {
        url = await runtime.portForwardUrl(sandboxId, [port]);
      } catch (error) {
        throw new RuntimeUnreachable(toPlatformError(error).message, error);
      }
      return await PortForwardStream.open(url);
    },
  };
}

/** A port as a probe or hook names it: a number, or the name of one of the container's ports. */
export function resolvePort(container: Container, port: number | string): number {
  const named = container.ports?.find(({ name }) => name === port)?.containerPort;
  const number = named ?? Number(port);
  if (!Number.isInteger(number) || number < 1 || number > 65_535) {
    throw new PlatformError('Invalid', `couldn't find port: ${port} in container ${container.name}`);
  }
  return number;
}
