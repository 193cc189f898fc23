import type { Duplex } from 'node:stream';
import { joinConnection, openConnection, parsePort, type OpenConnection } from './port-forward.ts';
import { SpdySession, type SpdyStream } from './spdy-session.ts';

export const portForwardProtocol = 'portforward.k8s.io';

/** The two streams of one forwarded connection must both come within this. */
const pairTimeoutMs = 30_000;

interface Pair {
  data?: SpdyStream;
  error?: SpdyStream;
  readonly timer: NodeJS.Timeout;
}

/** Streams of one connection carry the same request identifier; old clients send none, and open the error stream right before the data stream. */
function requestIdOf(stream: SpdyStream): string {
  const said = stream.headers['requestid'];
  if (said !== undefined && said !== '') return said;
  return String(stream.headers['streamtype'] === 'error' ? stream.id : stream.id - 2);
}

/** Answers what went wrong, as the client is to read it; empty when nothing did. */
async function forward(open: OpenConnection, data: SpdyStream): Promise<string> {
  const port = parsePort(data.headers['port']);
  if (port === undefined) {
    data.reset();
    return `invalid port ${JSON.stringify((data.headers['port'] ?? '').slice(0, 20))}`;
  }
  const connection = await openConnection(open, port);
  if (typeof connection === 'string') {
    data.destroy();
    return connection;
  }
  await joinConnection(connection, data);
  return '';
}

async function serve(open: OpenConnection, pair: { data: SpdyStream; error: SpdyStream }): Promise<void> {
  const problem = await forward(open, pair.data);
  pair.error.resume();
  pair.error.end(problem);
}

/** Serves port-forward on a SPDY connection until it ends: per connection an error stream and a data stream. */
export async function servePortForwardSpdy(transport: Duplex, open: OpenConnection): Promise<void> {
  const pairs = new Map<string, Pair>();
  const onStream = (stream: SpdyStream): void => {
    const type = stream.headers['streamtype'];
    if (type !== 'data' && type !== 'error') {
      stream.reset();
      return;
    }
    const id = requestIdOf(stream);
    const pair = pairs.get(id) ?? {
      timer: setTimeout(() => {
        pairs.get(id)?.data?.reset();
        pairs.get(id)?.error?.reset();
        pairs.delete(id);
      }, pairTimeoutMs),
    };
    if (pair[type] !== undefined) {
      stream.reset();
      return;
    }
    pair[type] = stream;
    pairs.set(id, pair);
    const { data, error } = pair;
    if (data === undefined || error === undefined) return;
    clearTimeout(pair.timer);
    pairs.delete(id);
    void serve(open, { data, error });
  };
  const session = new SpdySession(transport, { role: 'server', onStream });
  await session.closed;
  for (const { timer } of pairs.values()) clearTimeout(timer);
}
