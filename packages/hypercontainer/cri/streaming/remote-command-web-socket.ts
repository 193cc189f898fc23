import type { Writable } from 'node:stream';
import type { WebSocket } from 'ws';
import type { RemoteCommandStreams } from './remote-command.ts';
import type { StreamFlags } from './remote-command-spdy.ts';
import { formatStatus } from './status.ts';
import { WebSocketChannels } from './web-socket-channels.ts';

const channels = { stdin: 0, stdout: 1, stderr: 2, error: 3, resize: 4 } as const;

/** Subprotocols of remote commands over WebSocket; the first a client offers that is here is taken. */
export const webSocketCommandProtocols: Readonly<
  Record<string, { readonly version: number; readonly isBase64: boolean }>
> = {
  'v5.channel.k8s.io': { version: 5, isBase64: false },
  'v4.channel.k8s.io': { version: 4, isBase64: false },
  'v4.base64.channel.k8s.io': { version: 4, isBase64: true },
  'channel.k8s.io': { version: 1, isBase64: false },
  'base64.channel.k8s.io': { version: 1, isBase64: true },
};

async function flushed(output: Writable | undefined): Promise<void> {
  await new Promise<void>((resolve) => {
    if (output === undefined || output.destroyed) resolve();
    else output.end(() => resolve());
  });
}

/** The channels of exec or attach on a WebSocket. */
export async function acceptWebSocketCommand(
  socket: WebSocket,
  protocolName: string,
  flags: StreamFlags,
): Promise<RemoteCommandStreams> {
  const protocol = webSocketCommandProtocols[protocolName] ?? { version: 1, isBase64: false };
  const ends = new WebSocketChannels(socket, {
    isBase64: protocol.isBase64,
    readable: [channels.stdin, channels.resize],
  });
  const hasStderr = flags.stderr && !flags.tty;
  if (!flags.stdin) ends.input(channels.stdin).resume();
  if (!flags.tty) ends.input(channels.resize).resume();
  // An empty message tells clients that wait for one that the connection stands.
  const greeted = flags.stdout ? channels.stdout : hasStderr ? channels.stderr : channels.error;
  await ends.send(greeted, Buffer.alloc(0)).catch(() => undefined);
  const stdout = flags.stdout ? ends.output(channels.stdout) : undefined;
  const stderr = hasStderr ? ends.output(channels.stderr) : undefined;
  return {
    stdin: flags.stdin ? ends.input(channels.stdin) : undefined,
    stdout,
    stderr,
    resizes: flags.tty ? ends.input(channels.resize) : undefined,
    signal: ends.signal,
    async finish(status) {
      await Promise.all([flushed(stdout), flushed(stderr)]);
      const text = formatStatus(status, protocol.version);
      if (text !== '') await ends.send(channels.error, Buffer.from(text)).catch(() => undefined);
      await ends.close();
    },
  };
}
