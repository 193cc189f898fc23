import { request as httpsRequest, Agent } from 'node:https';
import type { IncomingMessage } from 'node:http';
import { PlatformError } from '@hypernetes/foundation/errors';
import { badRequest, statusError } from '../../api/index.ts';
import type { RequestContext } from '../http/request-context.ts';
import { send, startStream } from '../http/responder.ts';
import { notFound } from '../http/status-error.ts';
import type { KubeletTarget } from './kubelet-locator.ts';
import type { KubeletCredentials } from './upgrade-proxy.ts';

const headersTimeoutMs = 30_000;
const maxErrorBytes = 16_384;

/** GET requests answered by a kubelet, streamed as they come (logs with follow). */
export class HttpProxy implements Disposable {
  readonly #agent: Agent;

  constructor(credentials: KubeletCredentials) {
    this.#agent = new Agent({
      ca: credentials.caPem,
      key: credentials.client.keyPem,
      cert: credentials.client.certificatePem,
      keepAlive: true,
    });
  }

  async stream(context: RequestContext, target: KubeletTarget, pod: string): Promise<void> {
    const answer = await this.#get(target, context.signal);
    if ((answer.statusCode ?? 500) >= 300) throw await failureOf(answer, pod);
    const contentType = answer.headers['content-type'] ?? 'text/plain';
    const stream = startStream(context.response, { code: answer.statusCode ?? 200, contentType });
    try {
      for await (const chunk of answer as AsyncIterable<Buffer>) {
        if (!stream.write(chunk)) await stream.drained(context.signal);
      }
      stream.end();
    } catch (error) {
      if (!context.signal.aborted) context.log.debug({ err: error }, 'answer of the kubelet broke off');
      stream.cut();
    }
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
  }

  async #get(target: KubeletTarget, signal: AbortSignal): Promise<IncomingMessage> {
    return await new Promise((resolve, reject) => {
      const fail = (cause: Error): void =>
        reject(
          new PlatformError(
            'Unavailable',
            `error dialing backend: kubelet ${target.host}:${target.port}: ${cause.message}`,
            { cause },
          ),
        );
      const outgoing = httpsRequest(
        {
          host: target.host,
          port: target.port,
          path: target.path,
          method: 'GET',
          agent: this.#agent,
          signal,
        },
        (answer) => {
          clearTimeout(timer);
          resolve(answer);
        },
      );
      const timer = setTimeout(() => outgoing.destroy(new Error('no answer')), headersTimeoutMs);
      outgoing.on('error', (error) => {
        clearTimeout(timer);
        fail(error);
      });
      outgoing.end();
    });
  }
}

/** The kubelet answers errors as text: made a Status as clients expect. */
async function failureOf(answer: IncomingMessage, pod: string): Promise<Error> {
  let text = '';
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    text = (text + chunk.toString('utf8')).slice(0, maxErrorBytes);
  }
  const message = text.trim();
  const code = answer.statusCode ?? 500;
  if (code === 400) return badRequest(message);
  if (code === 404 && message === '') return notFound({ group: '', plural: 'pods' }, pod);
  return statusError(code === 404 ? 'NotFound' : 'Internal', {
    kind: 'Status',
    apiVersion: 'v1',
    metadata: {},
    status: 'Failure',
    message,
    reason: code === 404 ? 'NotFound' : 'InternalError',
    details: { name: pod, kind: 'pods' },
    code: code === 404 ? 404 : 500,
  });
}

/** An answer without a body: there is no log yet. */
export async function sendNothing(context: RequestContext): Promise<void> {
  await send(context.request, context.response, '', { code: 200, contentType: 'text/plain' });
}
