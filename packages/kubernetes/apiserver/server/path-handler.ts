import { createHash } from 'node:crypto';
import type { Logger } from '@hypernetes/foundation/logging';
import { openApiV2, openApiV2Protobuf, openApiV3, openApiV3Index, type Schemas } from '../../api/index.ts';
import {
  aggregatedDiscovery,
  apiGroup,
  apiGroupList,
  apiResourceList,
  apiVersions,
} from '../discovery/discovery.ts';
import { negotiate, parseAccept, wantsAggregatedDiscovery } from '../http/negotiation.ts';
import type { RequestContext } from '../http/request-context.ts';
import { headerOf } from '../http/responder.ts';
import { send, sendValue } from '../http/responder.ts';
import { methodNotAllowed, unknownPath } from '../http/status-error.ts';
import { versionInfo } from './version.ts';

/** Something that must be well for the server to be ready. */
export interface HealthCheck {
  readonly name: string;
  readonly check: () => unknown;
}

export interface PathHandlerOptions {
  readonly schemas: Schemas;
  readonly serverAddress: string;
  readonly healthChecks: readonly HealthCheck[];
  readonly metrics: () => string;
  readonly log: Logger;
}

const protobufV2 = 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf';
const protobufV2Short = 'application/com.github.proto-openapi.spec.v2.v1.0+protobuf';

/** An answer that does not change while the server runs: text, bytes and entity tag are made once. */
interface FixedAnswer {
  readonly bytes: Uint8Array;
  readonly etag: string;
}

/** Everything that is not a resource: discovery, schemas, version, health, metrics. */
export class PathHandler {
  readonly #options: PathHandlerOptions;
  readonly #fixed = new Map<string, FixedAnswer>();

  constructor(options: PathHandlerOptions) {
    this.#options = options;
  }

  async handle(context: RequestContext): Promise<void> {
    const { path, verb } = context.info;
    if (verb !== 'get' && verb !== 'head') throw methodNotAllowed(verb, { group: '', plural: path });
    const [root = '', ...rest] = path.split('/').filter((part) => part !== '');
    switch (root) {
      case '': {
        await this.#sendJson(context, { paths: rootPaths });
        return;
      }
      case 'api':
      case 'apis': {
        await this.#discovery(context, root, rest);
        return;
      }
      case 'openapi': {
        await this.#openApi(context, rest);
        return;
      }
      case 'version': {
        await this.#sendJson(context, versionInfo);
        return;
      }
      case 'healthz':
      case 'livez':
      case 'readyz': {
        await this.#health(context, root);
        return;
      }
      case 'metrics': {
        await send(context.request, context.response, this.#options.metrics(), {
          code: 200,
          contentType: 'text/plain; version=0.0.4; charset=utf-8',
        });
        return;
      }
      default:
        throw unknownPath();
    }
  }

  async #sendJson(context: RequestContext, value: unknown, contentType = 'application/json'): Promise<void> {
    await send(context.request, context.response, JSON.stringify(value), { code: 200, contentType });
  }

  async #discovery(context: RequestContext, root: 'api' | 'apis', rest: readonly string[]): Promise<void> {
    const accept = headerOf(context.request, 'accept');
    const aggregated = rest.length === 0 ? wantsAggregatedDiscovery(accept) : undefined;
    if (aggregated !== undefined) {
      await this.#sendFixed(context, `${root}/${aggregated}`, {
        contentType: `application/json;g=apidiscovery.k8s.io;v=${aggregated};as=APIGroupDiscoveryList`,
        make: () => JSON.stringify(aggregatedDiscovery(root, aggregated)),
      });
      return;
    }
    const { encoding } = negotiate(accept);
    const value = this.#plainDiscovery(root, rest);
    if (value === undefined) throw unknownPath();
    await sendValue(context.request, context.response, value, { code: 200, encoding });
  }

  #plainDiscovery(root: 'api' | 'apis', rest: readonly string[]): Record<string, unknown> | undefined {
    const [first, second, ...more] = rest;
    if (root === 'api') {
      if (first === undefined) return apiVersions(this.#options.serverAddress);
      return second === undefined ? apiResourceList('', first) : undefined;
    }
    if (first === undefined) return apiGroupList();
    if (second === undefined) return apiGroup(first);
    return more.length === 0 && first !== '' ? apiResourceList(first, second) : undefined;
  }

  async #openApi(context: RequestContext, [version, ...rest]: readonly string[]): Promise<void> {
    const { schemas } = this.#options;
    if (version === 'v2' && rest.length === 0) {
      await this.#openApiV2(context);
      return;
    }
    if (version !== 'v3') throw unknownPath();
    const path = rest.join('/');
    const make = path === '' ? () => openApiV3Index(schemas) : () => openApiV3(schemas, path);
    await this.#sendFixed(context, `openapi/v3/${path}`, {
      contentType: 'application/json',
      make: () => {
        const document = make();
        if (document === undefined) throw unknownPath();
        return JSON.stringify(document);
      },
    });
  }

  async #openApiV2(context: RequestContext): Promise<void> {
    const { schemas } = this.#options;
    const wanted = parseAccept(headerOf(context.request, 'accept'))[0]?.type;
    if (wanted === protobufV2 || wanted === protobufV2Short) {
      await this.#sendFixed(context, 'openapi/v2+protobuf', {
        contentType: protobufV2Short,
        make: () => openApiV2Protobuf(schemas),
      });
      return;
    }
    await this.#sendFixed(context, 'openapi/v2', {
      contentType: 'application/json',
      make: () => JSON.stringify(openApiV2(schemas)),
    });
  }

  async #sendFixed(
    context: RequestContext,
    key: string,
    answer: { readonly contentType: string; readonly make: () => string | Uint8Array },
  ): Promise<void> {
    let fixed = this.#fixed.get(key);
    if (fixed === undefined) {
      const made = answer.make();
      const bytes = typeof made === 'string' ? Buffer.from(made, 'utf8') : made;
      fixed = {
        bytes,
        etag: `"${createHash('sha256').update(bytes).digest('hex').slice(0, 32).toUpperCase()}"`,
      };
      this.#fixed.set(key, fixed);
    }
    const known = headerOf(context.request, 'if-none-match') === fixed.etag;
    const headers = { etag: fixed.etag, vary: 'Accept' };
    await send(context.request, context.response, known ? '' : fixed.bytes, {
      code: known ? 304 : 200,
      contentType: answer.contentType,
      headers,
    });
  }

  async #health(context: RequestContext, root: string): Promise<void> {
    const lines: string[] = [];
    let failed = false;
    for (const { name, check } of this.#options.healthChecks) {
      try {
        await check();
        lines.push(`[+]${name} ok`);
      } catch (error) {
        failed = true;
        this.#options.log.warn({ err: error, check: name }, 'health check failed');
        lines.push(`[-]${name} failed: reason withheld`);
      }
    }
    const verbose = failed || context.query.has('verbose');
    const text = verbose ? `${lines.join('\n')}\n${root} check ${failed ? 'failed' : 'passed'}\n` : 'ok';
    await send(context.request, context.response, text, {
      code: failed ? 500 : 200,
      contentType: 'text/plain; charset=utf-8',
      headers: { 'x-content-type-options': 'nosniff' },
    });
  }
}

const rootPaths = [
  '/api',
  '/api/v1',
  '/apis',
  '/healthz',
  '/livez',
  '/metrics',
  '/openapi/v2',
  '/openapi/v3',
  '/readyz',
  '/version',
];
