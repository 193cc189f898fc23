import { createPrivateKey, createPublicKey, randomUUID, type KeyObject } from 'node:crypto';
import { jwtVerify, SignJWT, errors, decodeJwt } from 'jose';
import type { Clock } from '@hypernetes/foundation/lifecycle';
import type { ApiObject } from '../../api/index.ts';
import { groupNames, serviceAccountUserName, type UserInfo } from './user.ts';

/** As the real server calls itself in its tokens. */
export const tokenIssuer = 'https://kubernetes.default.svc.cluster.local';
const algorithm = 'ES256';

export interface NamedObject {
  readonly name: string;
  readonly uid: string;
}

export interface TokenClaims {
  readonly namespace: string;
  readonly serviceAccount: NamedObject;
  /** The token dies with the pod. */
  readonly pod?: NamedObject;
  readonly node?: { readonly name: string };
  readonly audiences: readonly string[];
  readonly lifetimeSeconds: number;
}

/** Reads objects a token is bound to; undefined when there is none. */
export type ObjectReader = (
  plural: 'serviceaccounts' | 'pods',
  place: { readonly namespace: string; readonly name: string },
) => Promise<ApiObject | undefined>;

interface KubernetesClaim {
  readonly namespace?: unknown;
  readonly serviceaccount?: { readonly name?: unknown; readonly uid?: unknown };
  readonly pod?: { readonly name?: unknown; readonly uid?: unknown };
}

/** Issues and checks tokens of service accounts: JWTs bound to the account and, where asked, to a pod. */
export class ServiceAccountTokens {
  readonly #privateKey: KeyObject;
  readonly #publicKey: KeyObject;
  readonly #read: ObjectReader;
  readonly #clock: Clock;

  constructor(keyPem: string, read: ObjectReader, clock: Clock) {
    this.#privateKey = createPrivateKey(keyPem);
    this.#publicKey = createPublicKey(keyPem);
    this.#read = read;
    this.#clock = clock;
  }

  async issue(claims: TokenClaims): Promise<{ readonly token: string; readonly expiresAtMs: number }> {
    const now = Math.floor(this.#clock.now() / 1000);
    const expires = now + claims.lifetimeSeconds;
    const token = await new SignJWT({
      'kubernetes.io': {
        namespace: claims.namespace,
        serviceaccount: claims.serviceAccount,
        ...(claims.pod === undefined ? {} : { pod: claims.pod }),
        ...(claims.node === undefined ? {} : { node: claims.node }),
      },
    })
      .setProtectedHeader({ alg: algorithm, typ: 'JWT' })
      .setIssuer(tokenIssuer)
      .setSubject(serviceAccountUserName(claims.namespace, claims.serviceAccount.name))
      .setAudience([...claims.audiences])
      .setIssuedAt(now)
      .setNotBefore(now)
      .setExpirationTime(expires)
      .setJti(randomUUID())
      .sign(this.#privateKey);
    return { token, expiresAtMs: expires * 1000 };
  }

  /** Whether a bearer token claims to be one of ours; says nothing about whether it is good. */
  static looksLike(token: string): boolean {
    try {
      return token.split('.').length === 3 && decodeJwt(token).iss === tokenIssuer;
    } catch {
      return false;
    }
  }

  /** The user of a token; undefined when it is forged, expired, for others, or what it is bound to is gone. */
  async verify(token: string, audience: string): Promise<UserInfo | undefined> {
    try {
      const { payload } = await jwtVerify(token, this.#publicKey, {
        algorithms: [algorithm],
        issuer: tokenIssuer,
        audience,
        currentDate: new Date(this.#clock.now()),
      });
      return await this.#userOf(payload['kubernetes.io'] as KubernetesClaim | undefined, payload.jti);
    } catch (error) {
      if (error instanceof errors.JOSEError) return undefined;
      throw error;
    }
  }

  async #userOf(claim: KubernetesClaim | undefined, id: string | undefined): Promise<UserInfo | undefined> {
    const namespace = claim?.namespace;
    const account = parseNamed(claim?.serviceaccount);
    if (typeof namespace !== 'string' || account === undefined) return undefined;
    if (!(await this.#exists('serviceaccounts', namespace, account))) return undefined;
    const pod = claim?.pod === undefined ? undefined : parseNamed(claim.pod);
    if (claim?.pod !== undefined && pod === undefined) return undefined;
    if (pod !== undefined && !(await this.#exists('pods', namespace, pod))) return undefined;
    return {
      name: serviceAccountUserName(namespace, account.name),
      uid: account.uid,
      groups: [
        groupNames.serviceAccounts,
        `${groupNames.serviceAccounts}:${namespace}`,
        groupNames.authenticated,
      ],
      extra: {
        ...(id === undefined ? {} : { 'authentication.kubernetes.io/credential-id': [`JTI=${id}`] }),
        ...(pod === undefined
          ? {}
          : {
              'authentication.kubernetes.io/pod-name': [pod.name],
              'authentication.kubernetes.io/pod-uid': [pod.uid],
            }),
      },
    };
  }

  async #exists(plural: 'serviceaccounts' | 'pods', namespace: string, named: NamedObject): Promise<boolean> {
    const found = await this.#read(plural, { namespace, name: named.name });
    return found?.metadata.uid === named.uid;
  }
}

function parseNamed(
  value: { readonly name?: unknown; readonly uid?: unknown } | undefined,
): NamedObject | undefined {
  return typeof value?.name === 'string' && typeof value.uid === 'string'
    ? { name: value.name, uid: value.uid }
    : undefined;
}
