import type { ApiObject, Kind } from '../../api/index.ts';
import type { UserInfo } from '../authentication/user.ts';

/** A write on its way to the store, as admission sees it. */
export interface AdmissionRequest {
  readonly operation: 'create' | 'update' | 'delete';
  readonly kind: Kind;
  readonly subresource: string;
  readonly namespace: string;
  /** Empty on create with generateName only. */
  readonly name: string;
  /** May be changed by `mutate`; absent on delete. */
  readonly object?: ApiObject;
  /** What is stored; absent on create. */
  readonly old?: ApiObject;
  readonly user: UserInfo;
  readonly dryRun: boolean;
  readonly warnings: string[];
}

/** A rule that changes or refuses writes. It must have no effect outside the object. */
export interface AdmissionPlugin {
  readonly name: string;
  mutate?(request: AdmissionRequest): Promise<void> | void;
  validate?(request: AdmissionRequest): Promise<void> | void;
}

/** All rules in order: first every change, then, on the finished object, every refusal. */
export class AdmissionChain {
  readonly #plugins: readonly AdmissionPlugin[];

  constructor(plugins: readonly AdmissionPlugin[]) {
    this.#plugins = plugins;
  }

  async mutate(request: AdmissionRequest): Promise<void> {
    for (const plugin of this.#plugins) await plugin.mutate?.(request);
  }

  async validate(request: AdmissionRequest): Promise<void> {
    for (const plugin of this.#plugins) await plugin.validate?.(request);
  }
}
