import { request } from 'node:http';
import type { Duplex } from 'node:stream';
import { SpdySession, type SpdyStream } from '../streaming/spdy-session.ts';

/** Upgrades a streaming URL to SPDY/3.1; answers the chosen protocol, or throws with the status of a refusal. */
export async function dialSpdy(
  url: string,
  protocols: readonly string[],
): Promise<{ readonly session: SpdySession; readonly socket: Duplex; readonly protocol: string }> {
  return await new Promise((resolve, reject) => {
    const call = request(url, {
      method: 'POST',
      headers: { connection: 'Upgrade', upgrade: 'SPDY/3.1', 'x-stream-protocol-version': [...protocols] },
    });
    call.on('upgrade', (response, socket: Duplex, head) => {
      if (head.length > 0) socket.unshift(head);
      const protocol = String(response.headers['x-stream-protocol-version'] ?? '');
      resolve({ session: new SpdySession(socket, { role: 'client' }), socket, protocol });
    });
    call.on('response', (response) => {
      response.resume();
      reject(new Error(`HTTP status ${response.statusCode ?? 0}`));
    });
    call.on('error', reject);
    call.end();
  });
}

/** Everything a stream brings. */
export async function readText(stream: SpdyStream | undefined): Promise<string> {
  const chunks: Buffer[] = [];
  if (stream === undefined) return '';
  for await (const chunk of stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>)
    chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

/** What a client of exec or attach opens, in the order of client-go. */
export function openCommandStreams(
  session: SpdySession,
  wanted: {
    readonly stdin?: boolean;
    readonly stdout?: boolean;
    readonly stderr?: boolean;
    readonly resize?: boolean;
  },
): { error: SpdyStream; stdin?: SpdyStream; stdout?: SpdyStream; stderr?: SpdyStream; resize?: SpdyStream } {
  const open = (streamtype: string): SpdyStream => session.openStream({ streamtype });
  const error = open('error');
  error.end();
  return {
    error,
    ...(wanted.stdin === true ? { stdin: open('stdin') } : {}),
    ...(wanted.stdout === true ? { stdout: open('stdout') } : {}),
    ...(wanted.stderr === true ? { stderr: open('stderr') } : {}),
    ...(wanted.resize === true ? { resize: open('resize') } : {}),
  };
}
