import { PlatformError } from '@hypernetes/foundation/errors';
import type { RegistryAuth } from './image-store.ts';
import { readBody, reasonOfStatus, type HttpRequest, type RegistryHttp } from './registry-http.ts';

const tokenAnswerBytesMax = 1 << 20;

export interface Challenge {
  /** Lower case: `basic`, `bearer`. */
  readonly scheme: string;
  readonly parameters: Readonly<Record<string, string>>;
}

/** The challenges of a WWW-Authenticate header (RFC 9110 section 11.6.1). What cannot be understood is left out. */
export function parseChallenges(header: string): readonly Challenge[] {
  const challenges: { scheme: string; parameters: Record<string, string> }[] = [];
  const pattern =
    /\s*,?\s*(?:([A-Za-z0-9!#$%&'*+.^_`|~-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))|([A-Za-z0-9!#$%&'*+.^_`|~-]+))/y;
  const text = header.slice(0, 8_192);
  for (let match = pattern.exec(text); match !== null; match = pattern.exec(text)) {
    const [, name, quoted, plain, scheme] = match;
    if (scheme !== undefined) challenges.push({ scheme: scheme.toLowerCase(), parameters: {} });
    else if (name !== undefined) {
      const last = challenges.at(-1);
      const value = quoted === undefined ? (plain ?? '') : quoted.replace(/\\(.)/g, '$1');
      if (last !== undefined) last.parameters[name.toLowerCase()] = value;
    }
  }
  return challenges;
}

/** `Basic ...` of what the caller gave, undefined without a user name. */
export function basicHeader(auth: RegistryAuth | undefined): string | undefined {
  if (auth?.username === undefined || auth.username === '') return undefined;
  return `Basic ${Buffer.from(`${auth.username}:${auth.password ?? ''}`).toString('base64')}`;
}

/** Where to get a token for a challenge. The realm comes from the registry: only a URL as safe as the registry's own is used. */
export function tokenRequest(
  challenge: Challenge,
  registry: URL,
  repository: string,
  auth: RegistryAuth | undefined,
): HttpRequest {
  const { realm = '', service, scope = `repository:${repository}:pull` } = challenge.parameters;
  const url = URL.canParse(realm) ? new URL(realm) : undefined;
  const allowed = registry.protocol === 'https:' ? ['https:'] : ['https:', 'http:'];
  if (url === undefined || !allowed.includes(url.protocol)) {
    throw new PlatformError(
      'Unauthenticated',
      `registry ${registry.host}: the token service it names is not an ${registry.protocol}// URL`,
    );
  }
  if (auth?.identityToken !== undefined && auth.identityToken !== '') {
    const form = new URLSearchParams({
      grant_type: 'refresh_token',
      refresh_token: auth.identityToken,
      client_id: 'hypernetes',
      scope,
      ...(service === undefined ? {} : { service }),
    });
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    return { url, method: 'POST', body: form.toString(), headers };
  }
  if (service !== undefined) url.searchParams.set('service', service);
  url.searchParams.set('scope', scope);
  const basic = basicHeader(auth);
  return basic === undefined ? { url } : { url, headers: { authorization: basic } };
}

async function fetchToken(transport: RegistryHttp, request: HttpRequest): Promise<string> {
  const response = await transport.request(request);
  const status = response.statusCode ?? 0;
  const body = await readBody(response, request.url, tokenAnswerBytesMax);
  if (status !== 200) {
    const reason = status === 400 ? 'Unauthenticated' : reasonOfStatus(status);
    throw new PlatformError(reason, `token service ${request.url.host}: refused with HTTP status ${status}`);
  }
  try {
    const answer = JSON.parse(body.toString('utf8')) as { token?: unknown; access_token?: unknown };
    const token = answer.token ?? answer.access_token;
    if (typeof token === 'string' && /^[\x21-\x7e]+$/.test(token)) return token;
  } catch {
    // not JSON: the same error
  }
  throw new PlatformError('Unavailable', `token service ${request.url.host}: its answer holds no token`);
}

/**
 * The Authorization header that answers a 401, undefined when the challenge offers nothing we can do with what the caller gave.
 * (distribution spec, token authentication.)
 */
export async function answerChallenge(options: {
  readonly transport: RegistryHttp;
  readonly header: string;
  readonly registry: URL;
  readonly repository: string;
  readonly auth: RegistryAuth | undefined;
  readonly signal?: AbortSignal;
  readonly insecureTls: boolean;
}): Promise<string | undefined> {
  const challenges = parseChallenges(options.header);
  const bearer = challenges.find((challenge) => challenge.scheme === 'bearer');
  if (bearer !== undefined) {
    const request = tokenRequest(bearer, options.registry, options.repository, options.auth);
    const token = await fetchToken(options.transport, {
      ...request,
      insecureTls: options.insecureTls && request.url.hostname === options.registry.hostname,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    return `Bearer ${token}`;
  }
  return challenges.some((challenge) => challenge.scheme === 'basic') ? basicHeader(options.auth) : undefined;
}
