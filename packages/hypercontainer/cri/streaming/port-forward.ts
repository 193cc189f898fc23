import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { toPlatformError } from '@hypernetes/foundation/errors';

/** Opens a connection to a port of the pod. */
export type OpenConnection = (port: number) => Promise<Duplex>;

/** A TCP port number, undefined for anything else. */
export function parsePort(text: string | undefined): number | undefined {
  if (text === undefined || !/^[1-9][0-9]{0,4}$/.test(text)) return undefined;
  const port = Number(text);
  return port <= 65_535 ? port : undefined;
}

/**
 * Joins a client's stream and a connection in the pod until both directions are over. Answers what went wrong, as the client is to read it;
 * undefined when nothing did.
 */
export async function forwardConnection(
  open: OpenConnection,
  port: number,
  client: Duplex,
): Promise<string | undefined> {
  let connection: Duplex;
  try {
    connection = await open(port);
  } catch (thrown) {
    client.destroy();
    return `error forwarding port ${port}: ${toPlatformError(thrown).message}`;
  }
  try {
    await Promise.all([pipeline(client, connection), pipeline(connection, client)]);
    return undefined;
  } catch {
    // A reset from either side is how many connections end; there is nobody to tell but the other side, which sees its own end.
    return undefined;
  } finally {
    connection.destroy();
    client.destroy();
  }
}
