import type { Duplex } from 'node:stream';
import { toPlatformError } from '@hypernetes/foundation/errors';
import { writeChunk } from '../../image-store/write-chunk.ts';

/** Opens a connection to a port of the pod. */
export type OpenConnection = (port: number) => Promise<Duplex>;

/** A TCP port number, undefined for anything else. */
export function parsePort(text: string | undefined): number | undefined {
  if (text === undefined || !/^[1-9][0-9]{0,4}$/.test(text)) return undefined;
  const port = Number(text);
  return port <= 65_535 ? port : undefined;
}

/** Copies until the source ends, and ends the target then. The streams live on: each has another direction. */
async function copy(from: Duplex, to: Duplex): Promise<void> {
  for await (const chunk of from.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    if (!(await writeChunk(to, chunk))) return;
  }
  await new Promise<void>((resolve) => {
    to.once('close', resolve);
    to.end(() => resolve());
  });
}

async function closing(stream: Duplex): Promise<void> {
  if (!stream.closed) await new Promise<void>((resolve) => stream.once('close', resolve));
}

/** Connects to the port, or says what is wrong as the client is to read it. */
export async function openConnection(open: OpenConnection, port: number): Promise<Duplex | string> {
  try {
    const connection = await open(port);
    connection.on('error', () => undefined); // a reset is how many connections end: each side sees it as the end of the other
    return connection;
  } catch (thrown) {
    return `error forwarding port ${port}: ${toPlatformError(thrown).message}`;
  }
}

/** Joins a client's stream and a connection in the pod until both directions are over, or one side is gone. What the pod sent before it closed reaches the client. */
export async function joinConnection(connection: Duplex, client: Duplex): Promise<void> {
  const up = copy(client, connection).catch(() => connection.destroy());
  const down = copy(connection, client).catch(() => client.destroy());
  await Promise.race([down, closing(client)]);
  await Promise.race([up, closing(connection), closing(client)]);
  connection.destroy();
  client.destroy();
}
