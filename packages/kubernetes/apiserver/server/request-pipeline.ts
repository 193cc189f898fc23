import type { IncomingMessage } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { toPlatformError } from '@hypernetes/foundation/errors';
import type { Logger } from '@hypernetes/foundation/logging';
import type { Authenticator } from '../authentication/authenticator.ts';
import { groupNames, parseServiceAccountUserName, type UserInfo } from '../authentication/user.ts';
import type { Authorizer } from '../authorization/authorizer.ts';
import type { AccessAttributes } from '../authorization/rules.ts';
import type { RequestContext } from '../http/request-context.ts';
import { headerOf } from '../http/responder.ts';
import { parseRequestInfo, type RequestInfo, type ResourceRequest } from '../http/request-info.ts';
import { sendValue, type HttpRequest, type HttpResponse } from '../http/responder.ts';
import { forbidden, toStatus } from '../http/status-error.ts';
import type { UpgradeProxy } from '../proxy/upgrade-proxy.ts';
import type { ResourceHandler } from '../rest/resource-handler.ts';
import { badRequest, statusError } from '../../api/index.ts';
import type { PathHandler } from './path-handler.ts';
import type { RequestMetrics } from './request-metrics.ts';

export interface RequestPipelineOptions {
  readonly authenticator: Authenticator;
  readonly authorizer: Authorizer;
  readonly resources: ResourceHandler;
  readonly paths: PathHandler;
  readonly upgrades: UpgradeProxy;
  readonly metrics: RequestMetrics;
  readonly log: Logger;
}

/** authenticate -> impersonate -> authorize -> resource or path. */
export class RequestPipeline implements Disposable {
  readonly #options: RequestPipelineOptions;
  readonly #running = new Set<AbortController>();

  constructor(options: RequestPipelineOptions) {
    this.#options = options;
  }

  /** Answers one request; never throws. */
  async handle(request: HttpRequest, response: HttpResponse, socket: TLSSocket): Promise<void> {
    const started = process.hrtime.bigint();
    const gone = new AbortController();
    this.#running.add(gone);
    response.on('close', () => gone.abort());
    const { signal } = gone;
    let info: RequestInfo | undefined;
    try {
      const url = parseUrl(request.url);
      info = parseRequestInfo(request.method ?? 'GET', url.pathname, url.searchParams);
      const user = await this.#identify(request, socket);
      await this.#authorize(user, info);
      const { log } = this.#options;
      const context: RequestContext = {
        request,
        response,
        info,
        query: url.searchParams,
        user,
        signal,
        warnings: [],
        log,
      };
      if (info.kind === 'resource') await this.#options.resources.handle(context, info);
      else await this.#options.paths.handle(context);
    } catch (error) {
      await this.#fail(request, response, error);
    } finally {
      const seconds = Number(process.hrtime.bigint() - started) / 1e9;
      this.#options.metrics.observe(info, response.statusCode, seconds);
      this.#running.delete(gone);
    }
  }

  /** Ends what runs, watches above all. */
  [Symbol.dispose](): void {
    for (const gone of this.#running) gone.abort();
  }

  /** A request that asks for another protocol (exec, attach, port-forward): checked like all others, then handed to the kubelet. */
  async handleUpgrade(request: IncomingMessage, socket: TLSSocket, head: Buffer): Promise<void> {
    socket.on('error', () => undefined);
    try {
      const url = parseUrl(request.url);
      const info = parseRequestInfo(request.method ?? 'GET', url.pathname, url.searchParams);
      const user = await this.#identify(request, socket);
      await this.#authorize(user, info);
      await this.#options.upgrades.handle({ request, socket, head, info, query: url.searchParams, user });
    } catch (error) {
      this.#note(error);
      const status = toStatus(error);
      const body = JSON.stringify(status);
      socket.end(
        `HTTP/1.1 ${status.code} ${status.reason}\r\ncontent-type: application/json\r\n` +
          `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
      );
    }
  }

  async #identify(request: HttpRequest, socket: TLSSocket): Promise<UserInfo> {
    const user = await this.#options.authenticator.authenticate(request, socket);
    return await this.#impersonated(request, user);
  }

  // Impersonation (Kubernetes, "User impersonation"): each part asks for the verb impersonate on its own resource.
  async #impersonated(request: HttpRequest, user: UserInfo): Promise<UserInfo> {
    const name = headerOf(request, 'impersonate-user');
    const groups = listOf(request, 'impersonate-group');
    const uid = headerOf(request, 'impersonate-uid');
    const extra = extraOf(request);
    if (name === undefined) {
      if (groups.length === 0 && uid === undefined && Object.keys(extra).length === 0) return user;
      throw forbidden({ group: '', plural: 'users' }, '', 'impersonation without a user name');
    }
    const ask = async (
      group: string,
      resource: string,
      namespace: string,
      value: string,
      sub = '',
    ): Promise<void> => {
      const wanted = { group, resource, subresource: sub, namespace, name: value };
      await this.#require(user, { kind: 'resource', verb: 'impersonate', ...wanted });
    };
    const account = parseServiceAccountUserName(name);
    if (account === undefined) await ask('', 'users', '', name);
    else await ask('', 'serviceaccounts', account.namespace, account.name);
    for (const group of groups) await ask('', 'groups', '', group);
    if (uid !== undefined) await ask('authentication.k8s.io', 'uids', '', uid);
    for (const [key, values] of Object.entries(extra)) {
      for (const value of values) await ask('authentication.k8s.io', 'userextras', '', value, key);
    }
    const ofAccount =
      account === undefined || groups.length > 0
        ? []
        : [groupNames.serviceAccounts, `${groupNames.serviceAccounts}:${account.namespace}`];
    return {
      name,
      ...(uid === undefined ? {} : { uid }),
      groups: [...new Set([...groups, ...ofAccount, groupNames.authenticated])],
      extra,
    };
  }

  async #authorize(user: UserInfo, info: RequestInfo): Promise<void> {
    const wanted: AccessAttributes =
      info.kind === 'path'
        ? { kind: 'path', verb: info.verb === 'head' ? 'get' : info.verb, path: info.path }
        : attributesOf(info);
    await this.#require(user, wanted);
  }

  async #require(user: UserInfo, wanted: AccessAttributes): Promise<void> {
    await this.#options.authorizer.load();
    if (this.#options.authorizer.authorize(user, wanted).allowed) return;
    throw refusal(user, wanted);
  }

  async #fail(request: HttpRequest, response: HttpResponse, thrown: unknown): Promise<void> {
    this.#note(thrown);
    if (response.headersSent) {
      response.destroy();
      return;
    }
    const status = toStatus(thrown);
    const retry = status.details?.retryAfterSeconds;
    await sendValue(request, response, status, {
      code: status.code,
      ...(retry === undefined ? {} : { headers: { 'retry-after': String(retry) } }),
    });
  }

  #note(thrown: unknown): void {
    const error = toPlatformError(thrown);
    if (error.reason === 'Internal') this.#options.log.error({ err: error }, 'request failed');
    else this.#options.log.debug({ reason: error.reason, message: error.message }, 'request refused');
  }
}

function attributesOf(info: ResourceRequest): AccessAttributes {
  return {
    kind: 'resource',
    verb: info.verb,
    group: info.group,
    resource: info.resource,
    subresource: info.subresource,
    namespace: info.namespace,
    name: info.name,
  };
}

function parseUrl(text = '/'): URL {
  try {
    return new URL(text, 'https://server');
  } catch {
    throw badRequest(`malformed path ${JSON.stringify(text)}`);
  }
}

function listOf(request: HttpRequest, name: string): string[] {
  const value = request.headers[name];
  if (value === undefined) return [];
  const values = Array.isArray(value) ? value : value.split(',');
  return values.map((each) => each.trim()).filter((each) => each !== '');
}

function extraOf(request: HttpRequest): Record<string, readonly string[]> {
  const prefix = 'impersonate-extra-';
  const names = Object.keys(request.headers).filter((name) => name.startsWith(prefix));
  return Object.fromEntries(
    names.map((name) => [extraKeyOf(name.slice(prefix.length)), listOf(request, name)]),
  );
}

function extraKeyOf(encoded: string): string {
  try {
    return decodeURIComponent(encoded);
  } catch {
    throw badRequest(`malformed header Impersonate-Extra-${encoded}`);
  }
}

/** 403 in the words of the real server: who may not do what, where. */
function refusal(user: UserInfo, wanted: AccessAttributes): Error {
  const who = `User ${JSON.stringify(user.name)} cannot ${wanted.verb}`;
  if (wanted.kind === 'path') {
    const message = `forbidden: ${who} path ${JSON.stringify(wanted.path)}`;
    return statusError('Forbidden', {
      kind: 'Status',
      apiVersion: 'v1',
      metadata: {},
      status: 'Failure',
      message,
      reason: 'Forbidden',
      details: {},
      code: 403,
    });
  }
  const resource = wanted.subresource === '' ? wanted.resource : `${wanted.resource}/${wanted.subresource}`;
  const where =
    wanted.namespace === '' ? 'at the cluster scope' : `in the namespace ${JSON.stringify(wanted.namespace)}`;
  return forbidden(
    { group: wanted.group, plural: wanted.resource },
    wanted.name,
    `${who} resource ${JSON.stringify(resource)} in API group ${JSON.stringify(wanted.group)} ${where}`,
  );
}
