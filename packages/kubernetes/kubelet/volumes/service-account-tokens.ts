import { systemClock, type Clock } from '@hypernetes/foundation/lifecycle';
import { resources, type KubeClient, type KubeObject } from '../../client/index.ts';
import type { Pod } from '../kube-types.ts';

/** A token is replaced when this share of its life is over, or at the latest after the longest age. */
const renewAtShare = 0.8;
const ageMsMax = 24 * 3_600_000;
const askedSecondsMin = 600;

interface TokenRequest extends KubeObject {
  spec: {
    audiences?: string[];
    expirationSeconds: number;
    boundObjectRef: { kind: 'Pod'; apiVersion: 'v1'; name: string; uid: string };
  };
  status?: { token: string; expirationTimestamp: string };
}

interface Held {
  readonly token: string;
  readonly renewAtMs: number;
}

/** Tokens of service accounts for pods, bound to the pod, asked for once and renewed in time. */
export class ServiceAccountTokens {
  readonly #client: KubeClient;
  readonly #clock: Clock;
  readonly #held = new Map<string, Map<string, Held>>();

  constructor(client: KubeClient, clock: Clock = systemClock) {
    this.#client = client;
    this.#clock = clock;
  }

  async get(
    pod: Pod,
    request: { readonly audience: string | undefined; readonly expirationSeconds: number },
  ): Promise<string> {
    const { uid } = pod.metadata;
    const ofPod = this.#held.get(uid) ?? new Map<string, Held>();
    this.#held.set(uid, ofPod);
    const key = JSON.stringify([request.audience ?? '', request.expirationSeconds]);
    const held = ofPod.get(key);
    if (held !== undefined && this.#clock.now() < held.renewAtMs) return held.token;
    const fresh = await this.#request(pod, request);
    ofPod.set(key, fresh);
    return fresh.token;
  }

  /** The pod is gone. */
  forget(podUid: string): void {
    this.#held.delete(podUid);
  }

  async #request(
    pod: Pod,
    request: { readonly audience: string | undefined; readonly expirationSeconds: number },
  ): Promise<Held> {
    const { name, namespace, uid } = pod.metadata;
    const now = this.#clock.now();
    const answer = await this.#client.create<TokenRequest>(
      resources.serviceAccounts,
      {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenRequest',
        metadata: { name: pod.spec.serviceAccountName ?? 'default', namespace },
        spec: {
          ...(request.audience === undefined ? {} : { audiences: [request.audience] }),
          expirationSeconds: Math.max(askedSecondsMin, request.expirationSeconds),
          boundObjectRef: { kind: 'Pod', apiVersion: 'v1', name, uid },
        },
      },
      'token',
    );
    const lifeMs = Math.max(0, Date.parse(answer.status?.expirationTimestamp ?? '') - now) || 0;
    return {
      token: answer.status?.token ?? '',
      renewAtMs: now + Math.min(lifeMs * renewAtShare, ageMsMax),
    };
  }
}
