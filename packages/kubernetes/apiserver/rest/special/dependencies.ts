import type { Clock } from '@hypernetes/foundation/lifecycle';
import type { Schemas } from '../../../api/index.ts';
import type { Authenticator } from '../../authentication/authenticator.ts';
import type { ServiceAccountTokens } from '../../authentication/service-account-tokens.ts';
import type { Authorizer } from '../../authorization/authorizer.ts';
import type { HttpProxy } from '../../proxy/http-proxy.ts';
import type { KubeletLocator } from '../../proxy/kubelet-locator.ts';
import type { Catalogue } from '../../registry/catalogue.ts';

/** What special handlers work with. */
export interface SpecialDependencies {
  readonly schemas: Schemas;
  readonly catalogue: Catalogue;
  readonly authorizer: Authorizer;
  readonly authenticator: Authenticator;
  readonly tokens: ServiceAccountTokens;
  readonly locator: KubeletLocator;
  readonly proxy: HttpProxy;
  readonly clock: Clock;
}
