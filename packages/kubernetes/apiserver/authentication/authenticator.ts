import type { PeerCertificate, TLSSocket } from 'node:tls';
import { isPlatformError } from '@hypernetes/foundation/errors';
import { headerOf } from '../http/responder.ts';
import type { HttpRequest } from '../http/responder.ts';
import { unauthorized, unavailable } from '../http/status-error.ts';
import { ServiceAccountTokens, tokenIssuer } from './service-account-tokens.ts';
import type { TenantTokens } from './tenant-tokens.ts';
import { anonymousUser, groupNames, type UserInfo } from './user.ts';

export interface AuthenticatorOptions {
  readonly serviceAccountTokens: ServiceAccountTokens;
  /** Absent: no tenants, their tokens are refused. */
  readonly tenantTokens: TenantTokens | undefined;
}

/** Finds out who makes a request: client certificate, then bearer token, else nobody (anonymous). */
export class Authenticator {
  readonly #options: AuthenticatorOptions;
  readonly #bySocket = new WeakMap<object, { readonly user: UserInfo | undefined }>();

  constructor(options: AuthenticatorOptions) {
    this.#options = options;
  }

  /** Throws Unauthorized (401) for a token that is not good. */
  async authenticate(request: HttpRequest, socket: TLSSocket): Promise<UserInfo> {
    const fromCertificate = this.#certificateUser(socket);
    if (fromCertificate !== undefined) return fromCertificate;
    const header = headerOf(request, 'authorization');
    if (header === undefined || header === '') return anonymousUser;
    const token = /^bearer +(\S+) *$/i.exec(header)?.[1];
    if (token === undefined) throw unauthorized();
    const user = await this.verifyToken(token, tokenIssuer);
    if (user === undefined) throw unauthorized();
    return user;
  }

  /** The user of a bearer token; undefined when it is not good for the audience. */
  async verifyToken(token: string, audience: string): Promise<UserInfo | undefined> {
    if (ServiceAccountTokens.looksLike(token)) {
      return await this.#options.serviceAccountTokens.verify(token, audience);
    }
    if (this.#options.tenantTokens === undefined || audience !== tokenIssuer) return undefined;
    try {
      return await this.#options.tenantTokens.verify(token);
    } catch (error) {
      if (!isPlatformError(error)) throw error;
      throw unavailable(`the identity service cannot check the token: ${error.message}; try again`);
    }
  }

  #certificateUser(socket: TLSSocket): UserInfo | undefined {
    let known = this.#bySocket.get(socket);
    if (known === undefined) {
      known = { user: socket.authorized ? userOfCertificate(socket.getPeerCertificate()) : undefined };
      this.#bySocket.set(socket, known);
    }
    return known.user;
  }
}

/** Common name is the user, organizations are the groups (Kubernetes, "X.509 client certificates"). */
function userOfCertificate(certificate: PeerCertificate | Record<string, never>): UserInfo | undefined {
  const subject = certificate.subject as { CN?: unknown; O?: unknown } | undefined;
  const name = first(subject?.CN);
  if (name === undefined) return undefined;
  const organizations = [subject?.O].flat().filter((each) => typeof each === 'string');
  return { name, groups: [...organizations, groupNames.authenticated], extra: {} };
}

function first(value: unknown): string | undefined {
  const one: unknown = Array.isArray(value) ? value[0] : value;
  return typeof one === 'string' && one !== '' ? one : undefined;
}
